"""Cells of a batch to ids, weights and times; what is wrong is said with its row and column."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from graphcl.datasets.faults import Faults
from graphcl.datasets.frames import Table
from graphcl.errors import InputError
from graphcl.recsys.data.id_map import as_ids

USER = ("user", "user_id", "userid")
ITEM = ("item", "item_id", "itemid")
WEIGHT = ("weight", "rating")
TIME = ("timestamp", "time", "datetime")

_ZONED = "%Y-%m-%d %H:%M:%S%.f%:z"
_PLAIN = ("%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%d %H:%M", "%Y-%m-%d")


@dataclass(frozen=True)
class Columns:
    """Which columns hold what; ``None`` for what there is not."""

    user: str
    item: str
    weight: str | None
    time: str | None

    def names(self) -> list[str]:
        """The columns to read, each once."""
        return list(dict.fromkeys(name for name in (self.user, self.item, self.weight, self.time) if name is not None))


def find_columns(head: Table, *, user: str | None, item: str | None, weight: str | None, time: str | None) -> Columns:
    """The columns as named, or as they are usually called.

    Raises:
        InputError: No such column, one column for both ends, or none that is called like users or items.
    """
    ends = []
    for role, name, usual in (("user", user, USER), ("item", item, ITEM)):
        found = name if name is not None else head.find(usual)
        if found is None:
            raise InputError(
                f"{head.name}: expected a column of {role}s called {', '.join(usual[:-1])} or {usual[-1]}, found "
                f"{', '.join(head.frame.columns) or 'no columns'}; name it with {role}="
            )
        ends.append(found)
    columns = Columns(ends[0], ends[1], weight or head.find(WEIGHT), time or head.find(TIME))
    for name in columns.names():
        head.column(name)
    if columns.user == columns.item:
        raise InputError(f"{head.name}: expected two different columns of users and items, got '{columns.user}' twice")
    return columns


def read_ids(table: Table, column: str, role: str, faults: Faults) -> pl.Series:
    """Ids of a column, see ``IdMap``; missing ones are noted as faults."""
    ids = as_ids(table.column(column), strip=table.text)
    missing = ids.is_null()
    if missing.any():
        at = int(missing.arg_max() or 0)
        faults.add(f"no {role}", f"{table.place(at)}, column '{column}': no {role}; every interaction needs a user and an item")
    return ids


def read_weights(table: Table, column: str, faults: Faults) -> NDArray[np.float32]:
    """Numbers of a column, 0 or more."""
    cells = table.column(column)
    numbers = cells.str.strip_chars().cast(pl.Float64, strict=False) if cells.dtype == pl.String else cells
    if not numbers.dtype.is_numeric():
        raise InputError(f"{table.name}, column '{column}': expected numbers as weights, got {cells.dtype}")
    values = numbers.cast(pl.Float64).to_numpy().astype(np.float32)
    for kind, bad in (("no number", ~np.isfinite(values)), ("negative", values < 0)):
        if bad.any():
            at = int(np.argmax(bad))
            got = _cell(cells, at)
            faults.add(f"weight {kind}", f"{table.place(at)}, column '{column}': expected a weight of 0 or more, got {got}")
    return values


def read_times(table: Table, column: str, faults: Faults) -> NDArray[np.int64]:
    """Times of a column: numbers as they are, without fractions; dates in unix seconds, UTC where no zone is said."""
    cells = table.column(column)
    if cells.dtype == pl.String:
        times = _from_text(cells)
    elif cells.dtype.is_integer():
        times = cells.cast(pl.Int64, strict=False)
    elif cells.dtype.is_float():
        times = _whole(cells)
    elif isinstance(cells.dtype, pl.Datetime) or cells.dtype == pl.Date:
        times = _seconds(cells)
    else:
        raise InputError(f"{table.name}, column '{column}': expected numbers or dates as times, got {cells.dtype}")
    bad = times.is_null()
    if bad.any():
        at = int(bad.arg_max() or 0)
        faults.add(
            "time",
            f"{table.place(at)}, column '{column}': expected a number or a date like 2024-03-31 or 2024-03-31T12:00:00Z, "
            f"got {_cell(cells, at)}",
        )
    values: NDArray[np.int64] = times.fill_null(0).to_numpy()
    return values


def _from_text(cells: pl.Series) -> pl.Series:
    text = cells.str.strip_chars()
    times = text.cast(pl.Int64, strict=False)  # first, since long integers do not survive a detour over floats
    if times.null_count():
        times = _coalesce([times, _whole(text.cast(pl.Float64, strict=False))])
    if times.null_count():
        text = text.str.replace("T", " ", literal=True).str.replace(r"Z$", "+00:00")
        plain = [text.str.to_datetime(pattern, strict=False, time_unit="us") for pattern in _PLAIN]
        zoned = text.str.to_datetime(_ZONED, strict=False, time_unit="us", time_zone="UTC")
        times = _coalesce([times, *(_seconds(stamps) for stamps in [*plain, zoned])])
    return times


def _coalesce(parts: Sequence[pl.Series]) -> pl.Series:
    frame = pl.DataFrame({str(number): part for number, part in enumerate(parts)})
    return frame.select(pl.coalesce(pl.all()).alias("time"))["time"]


def _whole(numbers: pl.Series) -> pl.Series:
    return numbers.floor().cast(pl.Int64, strict=False)


def _seconds(stamps: pl.Series) -> pl.Series:
    return stamps.dt.epoch("us") // 1_000_000


def _cell(cells: pl.Series, at: int) -> str:
    return "an empty cell" if cells[at] is None else f"'{cells[at]}'"
