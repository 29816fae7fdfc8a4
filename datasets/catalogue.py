"""What is under a data root: the folders that load by name, and the notes of a ``graphs.json`` beside them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from graphcl.datasets.arrays import read_shapes
from graphcl.datasets.provenance import NOT_STATED
from graphcl.errors import InputError

ABOUT = "about.json"  # of a folder of plain arrays that are mapped, not read; written last: a folder with it is whole
DOMAINS = ("citation", "copurchase", "coauthor", "clustering", "roles", "large")

# Keys of a note's sizes that mean one of ours.
_SIZES = {"nodes": "nodes", "undirected_edges": "edges", "features": "features", "classes": "classes", "labels": "classes"}


@dataclass(frozen=True)
class Record:
    """What ``graphs.json`` says of one set; the defaults stand for a set it does not mention."""

    title: str = ""
    source: str = NOT_STATED
    licence: str = NOT_STATED
    sha256: str | None = None
    counts: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Folder:
    """A folder that loads by name.

    Args:
        domain: The folder above it.
        name: Its own name.
        path: Where it is.
        record: What is known of it.
    """

    domain: str
    name: str
    path: Path
    record: Record

    @property
    def bundle(self) -> Path:
        """Its archive of arrays, which may be absent."""
        return self.path / "data.npz"

    @property
    def full_name(self) -> str:
        """``domain/name``, which no other folder has."""
        return f"{self.domain}/{self.name}"

    def counts(self) -> Mapping[str, int]:
        """Sizes as far as they can be told without reading arrays."""
        if self.record.counts or not self.bundle.is_file():
            return self.record.counts
        return _counts_from_shapes(read_shapes(self.bundle))


def scan(root: Path) -> list[Folder]:
    """Every folder under ``root`` that loads by name, by domain and name.

    Args:
        root: The data root; nothing is found in one that does not exist.

    Raises:
        InputError: ``graphs.json`` is not what it should be.
    """
    records = read_records(root)
    found = []
    for domain in DOMAINS:
        folders = sorted((root / domain).iterdir()) if (root / domain).is_dir() else []
        for path in folders:
            if any((path / name).is_file() for name in ("data.npz", ABOUT)) or any(path.glob("raw/ind.*.graph")):
                found.append(Folder(domain, path.name, path, records.get((domain, path.name), Record())))
    return found


def read_records(root: Path) -> dict[tuple[str, str], Record]:
    """The notes of ``root/graphs.json`` by domain and name; none when there is no such file.

    Raises:
        InputError: The file is not JSON, or has no list called ``datasets``.
    """
    path = root / "graphs.json"
    if not path.is_file():
        return {}
    try:
        content: object = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as JSON ({error}); fetch it again or remove it") from error
    entries = content.get("datasets") if isinstance(content, dict) else None
    if not isinstance(entries, list):
        raise InputError(f"{path}: expected an object with a list called 'datasets'; fetch it again or remove it")
    kept = [entry for entry in entries if isinstance(entry, dict)]
    return {(str(entry.get("domain")), str(entry.get("name"))): _record(entry) for entry in kept}


def _record(entry: Mapping[str, object]) -> Record:
    upstream, files, stats = entry.get("upstream"), entry.get("files"), entry.get("stats")
    if isinstance(upstream, list):
        upstream = "; ".join(str(part) for part in upstream)
    sums = [
        file["sha256"]
        for file in (files if isinstance(files, list) else [])
        if isinstance(file, dict) and file.get("file") == "data.npz" and isinstance(file.get("sha256"), str)
    ]
    sizes = stats.items() if isinstance(stats, dict) else ()
    return Record(
        title=str(entry.get("title") or ""),
        source=str(upstream or NOT_STATED),
        licence=str(entry.get("licence") or NOT_STATED),
        sha256=sums[0].lower() if sums else None,
        counts={_SIZES[key]: value for key, value in sizes if key in _SIZES and isinstance(value, int)},
    )


def _counts_from_shapes(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for name, length in [("x", 0), ("y", 0), ("x_indptr", 1), ("y_indptr", 1)]:
        if len(shapes.get(name, ())) >= 1:
            counts.setdefault("nodes", shapes[name][0] - length)
    if len(shapes.get("edge_index", ())) == 2:
        counts["edges"] = shapes["edge_index"][1] // 2
    if len(shapes.get("x", ())) == 2:
        counts["features"] = shapes["x"][1]
    return counts
