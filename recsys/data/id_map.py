"""Ids of the outside world to row numbers and back, with a checksum that goes where the model goes."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

from graphcl.datasets.arrays import read_arrays
from graphcl.datasets.frames import to_text
from graphcl.datasets.provenance import hash_arrays
from graphcl.errors import InputError

Ids: TypeAlias = pl.Series | NDArray[Any] | Sequence[object]
Codes: TypeAlias = NDArray[np.int64]

_SHOWN = 5
_INTEGERS = (pl.Int64, pl.Int32, pl.Int16, pl.Int8, pl.UInt32, pl.UInt16, pl.UInt8)


@dataclass(frozen=True, eq=False)
class IdMap:
    """A bijection between external ids and the numbers 0 to ``len(map) - 1``, in a stable order.

    Integers stay integers; everything else (text, UUIDs, categories) is text. Asking with the other spelling of an id
    works: ``7`` finds ``"7"``, and ``"7"`` finds ``7``, but ``"007"`` is only ever itself. The order never changes,
    and new ids are only ever added at the end, so numbers given out once stay valid. Looking up costs ``O(N + M)``
    for ``M`` ids in a map of ``N``.

    Args:
        ids: The external id of each number; Int64, UInt64 or String, without gaps or repeats. ``IdMap.of`` makes one
            from anything else.
        kind: What the ids are, for messages: ``"user"`` or ``"item"``.

    Raises:
        InputError: An id is missing or comes twice.
    """

    ids: pl.Series
    kind: str = "id"

    def __post_init__(self) -> None:
        if self.ids.dtype not in (pl.Int64, pl.UInt64, pl.String):
            raise InputError(f"expected {self.kind} ids as Int64, UInt64 or String, got {self.ids.dtype}; use IdMap.of")
        if self.ids.null_count():
            raise InputError(f"expected an id for every {self.kind}, number {self.ids.is_null().arg_max()} has none")
        if self.ids.n_unique() != len(self.ids):
            repeated = self.ids.filter(~self.ids.is_first_distinct())[0]
            raise InputError(f"expected {self.kind} ids that differ, got {repeated!r} twice")

    @classmethod
    def of(cls, ids: Ids, kind: str = "id") -> IdMap:
        """The map of different ids of any type, in the order given."""
        return cls(as_ids(ids), kind)

    @classmethod
    def count(cls, number: int, kind: str = "id") -> IdMap:
        """The map in which every id is its own number, 0 to ``number - 1``."""
        return cls(pl.Series("id", np.arange(number, dtype=np.int64)), kind)

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def sha256(self) -> str:
        """Checksum of the ids and their order; hexadecimal. Maps with equal checksums are interchangeable."""
        return hash_arrays(_packed(self.ids))

    def find(self, ids: Ids) -> Codes:
        """The number of each id, -1 where it is unknown.

        Shapes:
            ids: ``(M,)``; returns: ``(M,)`` int64.
        """
        return _look_up(self.ids, self._respelt(as_ids(ids)))

    def encode(self, ids: Ids) -> Codes:
        """The number of each id.

        Shapes:
            ids: ``(M,)``; returns: ``(M,)`` int64.

        Raises:
            InputError: Some are unknown; lists the first of them. ``find`` marks them instead.
        """
        given = as_ids(ids)
        codes = self.find(given)
        if (codes < 0).any():
            strangers = given.filter(codes < 0).unique(maintain_order=True)
            listed = ", ".join(repr(stranger) for stranger in strangers[:_SHOWN].to_list())
            more = f" and {len(strangers) - _SHOWN} more" if len(strangers) > _SHOWN else ""
            known = f"known are {len(self):,}, such as {self.ids[0]!r}" if len(self) else "none is known"
            raise InputError(f"unknown {self.kind} ids: {listed}{more}; {known}")
        return codes

    def decode(self, codes: NDArray[np.integer]) -> pl.Series:
        """The external id of each number.

        Shapes:
            codes: ``(M,)``; returns: ``(M,)``.

        Raises:
            InputError: A number outside 0 to ``len(map) - 1``.
        """
        numbers = np.asarray(codes, dtype=np.int64)
        outside = (numbers < 0) | (numbers >= len(self))
        if outside.any():
            raise InputError(f"expected {self.kind} numbers from 0 to {len(self) - 1}, got {numbers[outside][0]}")
        return self.ids.gather(numbers)

    def grow(self, ids: Ids) -> tuple[IdMap, Codes]:
        """The map with ids it lacks added at the end, in order of first appearance, and the number of each id given.

        An empty map takes over the type of what it is given first.
        """
        given = as_ids(ids)
        given = self._respelt(given) if len(self) else given
        if given.null_count():
            raise InputError(f"expected {self.kind} ids like {self.ids[:1].to_list()}, got one of another kind or none at all")
        codes = _look_up(self.ids, given) if len(self) else np.full(len(given), -1, dtype=np.int64)
        unknown = codes < 0
        if not unknown.any():
            return self, codes
        strangers = given.filter(unknown)
        new = strangers.unique(maintain_order=True).alias("id")
        codes[unknown] = len(self) + _look_up(new, strangers)
        # The ids are different by construction, and checking that again for every batch would cost more than the batch.
        grown = object.__new__(IdMap)
        object.__setattr__(grown, "ids", pl.concat([self.ids, new]) if len(self) else new)
        object.__setattr__(grown, "kind", self.kind)
        return grown, codes

    def expect(self, sha256: str, owner: str) -> None:
        """Checks that this is the map somebody else was made with.

        Args:
            sha256: Checksum of the other map.
            owner: Who it belongs to, for the message: ``"the model in runs/a"``.

        Raises:
            InputError: It is another map.
        """
        if self.sha256 != sha256:
            raise InputError(
                f"the {self.kind} ids are not those of {owner}: expected sha256 {sha256[:12]}, got {self.sha256[:12]} "
                f"({len(self):,} ids); numbers would mean other {self.kind}s: use the map that was saved with it"
            )

    def save(self, path: str | Path) -> None:
        """Writes the map to an ``.npz`` file, whole or not at all."""
        path = Path(path)
        handle, part = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".part")
        try:
            with os.fdopen(handle, "wb") as stream:
                named = {"kind": np.array(self.kind), "sha256": np.array(self.sha256), **_packed(self.ids)}
                np.savez_compressed(stream, allow_pickle=False, **named)
            Path(part).replace(path)
        finally:
            with suppress(OSError):
                Path(part).unlink()

    @classmethod
    def load(cls, path: str | Path) -> IdMap:
        """The map that ``save`` wrote.

        Raises:
            InputError: Missing or damaged, or the ids do not have the checksum that was saved with them.
        """
        path = Path(path)
        arrays = read_arrays(path)
        missing = {"kind", "sha256"} - arrays.keys()
        if missing or not ({"integers"} <= arrays.keys() or {"text", "lengths"} <= arrays.keys()):
            raise InputError(f"{path}: expected a saved id map, found {', '.join(arrays) or 'no arrays'}")
        said = str(arrays["sha256"])
        got = hash_arrays({key: arrays[key] for key in ("integers", "text", "lengths") if key in arrays})
        if got != said:
            raise InputError(f"{path}: expected sha256 {said[:12]}, got {got[:12]}; the ids were changed: save the map again")
        return cls(_unpacked(arrays), str(arrays["kind"]))

    def _respelt(self, ids: pl.Series) -> pl.Series:
        """Ids in the type of the map; null where the spelling cannot be one of its ids."""
        if ids.dtype == self.ids.dtype:
            return ids
        cast = ids.cast(self.ids.dtype, strict=False)
        if ids.dtype == pl.String:  # 007 is not 7
            cast = cast.set((cast.cast(pl.String) != ids).fill_null(True), None)
        return cast


def as_ids(values: Ids, *, strip: bool = False) -> pl.Series:
    """Ids of any type as Int64, UInt64 or String; missing ones are null.

    Args:
        values: A series, an array or a sequence.
        strip: Whether blanks around text mean nothing, as in text files.

    Raises:
        InputError: A single text, or ids that are lists themselves.
    """
    if isinstance(values, str):
        raise InputError(f"expected a list of ids, got the text {values!r}; for one id give [{values!r}]")
    if not isinstance(values, pl.Series):
        array = np.asarray(values) if hasattr(values, "__array__") else None
        if array is not None and array.ndim != 1:
            raise InputError(f"expected a list of ids, got an array of shape {array.shape}")
        if array is not None and array.dtype.kind in "iufb":
            values = pl.Series("id", np.ascontiguousarray(array))
        else:
            held = list(values) if array is None else array.tolist()
            if held and all(isinstance(value, int | np.integer) and not isinstance(value, bool) for value in held):
                values = pl.Series("id", held)
            else:
                values = pl.Series("id", [None if value is None else str(value) for value in held], dtype=pl.String)
    if values.dtype.is_nested():
        raise InputError(f"expected ids that are numbers or text, got {values.dtype} in column '{values.name}'")
    if values.dtype in _INTEGERS:
        return values.cast(pl.Int64)
    return values if values.dtype == pl.UInt64 else to_text(values, strip=strip)


def _look_up(known: pl.Series, ids: pl.Series) -> Codes:
    """Row of each id among the known, -1 where there is none; an array of its own."""
    table = pl.DataFrame({"id": known, "code": np.arange(len(known), dtype=np.int64)})
    found = pl.DataFrame({"id": ids}).join(table, on="id", how="left", maintain_order="left")["code"]
    codes: Codes = found.fill_null(-1).to_numpy(writable=True)
    return codes


def _packed(ids: pl.Series) -> dict[str, NDArray[Any]]:
    if ids.dtype != pl.String:
        return {"integers": ids.to_numpy()}
    text = np.frombuffer("".join(ids.to_list()).encode(), dtype=np.uint8)
    return {"text": text, "lengths": ids.str.len_bytes().to_numpy().astype(np.int64)}


def _unpacked(arrays: Mapping[str, NDArray[Any]]) -> pl.Series:
    if "integers" in arrays:
        return pl.Series("id", arrays["integers"])
    content, ends = arrays["text"].tobytes(), np.cumsum(arrays["lengths"]).tolist()
    return pl.Series("id", [content[a:b].decode() for a, b in zip([0, *ends], ends, strict=False)], dtype=pl.String)
