"""The rows of an edge table: two ids and a weight, checked."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from graphcl.datasets.faults import Faults
from graphcl.datasets.frames import Table, to_text
from graphcl.errors import InputError

_ENDS = (("source", "target"), ("src", "dst"), ("from", "to"))


@dataclass(frozen=True)
class EdgeRows:
    """What an edge table says.

    Args:
        source: One text a row.
        target: The same.
        weight: One number a row; ``None`` when unweighted.
    """

    source: pl.Series
    target: pl.Series
    weight: NDArray[np.float64] | None


def read_edges(table: Table, faults: Faults, *, source: str | None, target: str | None, weight: str | None) -> EdgeRows:
    """Reads both ends and the weight from a table; faults are noted, not raised.

    Args:
        table: The rows.
        faults: Where faults go; what is returned holds only when there is none.
        source: Column of one end; ``source``, ``src`` or ``from``, else the first two columns are the ends.
        target: Column of the other end; ``target``, ``dst`` or ``to``.
        weight: Column of weights; one called ``weight`` when ``None``, if there is one.

    Raises:
        InputError: A column that does not exist, or fewer than two columns.
    """
    first, second = _ends(table, source, target)
    ends = []
    for column in (first, second):
        ids = to_text(table.column(column), strip=table.text)
        missing = ids.is_null()
        if missing.any():
            at = int(missing.arg_max() or 0)
            faults.add("edges: missing id", f"{table.place(at)}: no id in column '{column}'; every edge needs two ends")
        ends.append(ids)
    weight_column = weight or table.find(["weight"])
    if weight is None and weight_column in (first, second):
        weight_column = None
    return EdgeRows(ends[0], ends[1], None if weight_column is None else _weights(table, weight_column, faults))


def _ends(table: Table, source: str | None, target: str | None) -> tuple[str, str]:
    columns = table.frame.columns
    if len(columns) < 2:
        raise InputError(f"{table.name}: expected two columns of ids, got {len(columns)} column: {', '.join(columns)}")
    for one, other in _ENDS:
        left, right = source or table.find([one]), target or table.find([other])
        if left is not None and right is not None and left != right:
            return left, right
    left = source or next(column for column in columns if column != target)
    right = target or next(column for column in columns if column != left)
    if left == right:
        raise InputError(f"{table.name}: expected two different columns of ids, got '{left}' twice")
    return left, right


def _weights(table: Table, column: str, faults: Faults) -> NDArray[np.float64]:
    cells = table.column(column)
    if cells.dtype == pl.String:
        numbers = cells.str.strip_chars().cast(pl.Float64, strict=False)
    elif cells.dtype.is_numeric():
        numbers = cells.cast(pl.Float64)
    else:
        raise InputError(f"{table.name}, column '{column}': expected numbers as weights, got {cells.dtype}")
    values: NDArray[np.float64] = numbers.to_numpy().astype(np.float64)
    for kind, bad in (("no number", ~np.isfinite(values)), ("negative", values < 0)):
        if bad.any():
            at = int(np.argmax(bad))
            got = "an empty cell" if cells[at] is None else f"'{cells[at]}'"
            faults.add(
                f"edges: weight {kind}", f"{table.place(at)}, column '{column}': expected a weight of 0 or more, got {got}"
            )
    return values
