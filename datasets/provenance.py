"""Where a graph came from, under which licence, and exactly which bytes it is."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

NOT_STATED = "not stated"
SIZES = ("nodes", "edges", "features", "classes", "users", "items", "interactions")


@dataclass(frozen=True)
class Provenance:
    """Origin, licence, checksum and sizes of a graph; found on ``data.provenance``.

    Args:
        name: What the set is called.
        domain: The folder of sets it belongs to, ``"embedded"`` or ``"own"``.
        source: Where its authors publish it, or the files it was read from.
        licence: As stated at the source, else ``"not stated"``.
        sha256: Of the file, or of the arrays when there is no single file; hexadecimal.
        counts: ``nodes``, ``edges`` (undirected), ``features``, ``classes``, then what tidying dropped or added.
    """

    name: str
    domain: str
    source: str
    licence: str
    sha256: str
    counts: Mapping[str, int] = field(default_factory=dict, hash=False)

    def summary(self) -> str:
        """Everything in one line, sizes first; zero counts of dropped things are left out."""
        sizes = ", ".join(f"{self.counts[key]:,} {key}" for key in SIZES if key in self.counts)
        rest = ", ".join(f"{key} {value:,}" for key, value in self.counts.items() if key not in SIZES and value)
        head = f"{self.name} ({self.domain}): {sizes}" + (f" ({rest})" if rest else "")
        return f"{head}; source: {self.source}; licence: {self.licence}; sha256 {self.sha256[:12]}"

    def __str__(self) -> str:
        return self.summary()


def hash_files(paths: Iterable[Path]) -> str:
    """SHA-256 of the files' bytes, one after the other; hexadecimal."""
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def hash_arrays(arrays: Mapping[str, NDArray[np.generic] | None]) -> str:
    """SHA-256 of named arrays: name, dtype, shape and bytes of each, in the order given; ``None`` is skipped."""
    digest = hashlib.sha256()
    for name, array in arrays.items():
        if array is not None:
            digest.update(f"{name}:{array.dtype.str}:{array.shape};".encode())
            digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
