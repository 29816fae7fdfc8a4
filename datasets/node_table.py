"""The rows of a nodes table: ids, features and classes, checked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from graphcl.datasets.faults import Faults
from graphcl.datasets.frames import Table, to_text
from graphcl.datasets.labels import Labels, encode_labels
from graphcl.datasets.matrix import Dense, check_dense
from graphcl.errors import InputError

_IDS = ("id", "node", "node_id")
_LABELS = ("label", "y")


@dataclass(frozen=True)
class Nodes:
    """What a nodes table says.

    Args:
        ids: One text a node, distinct.
        x: Features, when there are any.
        feature_names: One a column of ``x``.
        labels: Classes, when there are any.

    Shapes:
        x: ``(N, F)`` float32.
    """

    ids: pl.Series
    x: Dense | None
    feature_names: list[str]
    labels: Labels | None


def read_nodes(table: Table, faults: Faults, *, id: str | None, features: Sequence[str] | None, label: str | None) -> Nodes:
    """Reads ids, features and classes from a table; faults are noted, not raised.

    Args:
        table: The rows.
        faults: Where faults go; what is returned holds only when there is none.
        id: Column of ids; one called ``id``, ``node`` or ``node_id``, else the first.
        features: Columns of features; every other numeric column when ``None``.
        label: Column of classes; one called ``label`` or ``y`` when ``None``, if there is one.

    Raises:
        InputError: A column that does not exist.
    """
    id_column = id or table.find(_IDS) or table.frame.columns[0]
    ids = to_text(table.column(id_column), strip=table.text)
    _check_ids(table, id_column, ids, faults)
    label_column = label or table.find(name for name in _LABELS if name not in (id, *(features or ())))
    if label is not None and label == id_column:
        raise InputError(f"{table.name}: column '{label}' is both the id and the label; name another id or label")
    labels = None
    if label_column is not None and label_column != id_column:
        with faults.gather():
            labels = encode_labels(table.column(label_column), f"{table.name}, column '{label_column}'")
    x, names = _read_features(table, ids, faults, features, {id_column, label_column or id_column})
    return Nodes(ids, x, names, labels)


def _check_ids(table: Table, column: str, ids: pl.Series, faults: Faults) -> None:
    missing = ids.is_null()
    if missing.any():
        at = int(missing.arg_max() or 0)
        faults.add("nodes: missing id", f"{table.place(at)}: no id in column '{column}'; every node needs one")
    repeated = ~ids.is_first_distinct() & ~missing
    if repeated.any():
        at = int(repeated.arg_max() or 0)
        first = int((ids == ids[at]).arg_max() or 0)
        faults.add(
            "nodes: duplicate id",
            f"{table.place(at)}: id '{ids[at]}' is already in {table.unit} {table.rows[first]}; ids must differ",
        )


def _read_features(
    table: Table, ids: pl.Series, faults: Faults, features: Sequence[str] | None, taken: set[str]
) -> tuple[Dense | None, list[str]]:
    if table.matrix is not None and features is None:
        matrix: Dense | None = None
        with faults.gather():
            matrix = check_dense(table.matrix, f"{table.name}, x")
        return matrix, [] if matrix is None else [f"x{column}" for column in range(matrix.shape[1])]
    asked = [features] if isinstance(features, str) else features
    if asked is None:
        names = [name for name in table.frame.columns if name not in taken and _mostly_numbers(table.frame[name])]
    else:
        names = list(asked)
        for name in names:
            if name in taken:
                raise InputError(f"{table.name}: column '{name}' is the id or the label; leave it out of the features")
            if _numbers(table.column(name)) is None:
                faults.add(
                    "nodes: not numeric",
                    f"{table.name}, column '{name}': expected numbers, got {table.frame[name].dtype}; leave it out",
                )
    columns = [(name, numbers) for name in names if (numbers := _numbers(table.frame[name])) is not None]
    if not columns:
        return None, []
    wide = np.column_stack([numbers.to_numpy() for _, numbers in columns])
    with np.errstate(over="ignore", invalid="ignore"):
        x = np.ascontiguousarray(wide, dtype=np.float32)
    bad = ~np.isfinite(x)
    if bad.any():
        _report_cells(table, ids, faults, [name for name, _ in columns], bad)
    return x, [name for name, _ in columns]


def _numbers(values: pl.Series) -> pl.Series | None:
    """The column as float64, missing where a cell is no number; ``None`` when its type holds no numbers."""
    if values.dtype == pl.String:
        return values.str.strip_chars().cast(pl.Float64, strict=False)
    if values.dtype.is_numeric() or values.dtype == pl.Boolean:
        return values.cast(pl.Float64)
    return None


def _mostly_numbers(values: pl.Series) -> bool:
    # A column with one word among numbers is a numeric column with a fault; dropping it silently would hide that.
    numbers = _numbers(values)
    filled = values.len() - values.null_count()
    return numbers is not None and 2 * (numbers.len() - numbers.null_count()) > filled


def _report_cells(table: Table, ids: pl.Series, faults: Faults, names: list[str], bad: NDArray[np.bool_]) -> None:
    """Notes the first cell of each kind of fault, reading row by row."""
    first: dict[str, tuple[int, int, str]] = {}
    for column in np.flatnonzero(bad.any(axis=0)).tolist():
        values, rows = table.frame[names[column]], np.flatnonzero(bad[:, column])
        cells = values.gather(rows)
        text = cells.cast(pl.String).str.strip_chars()
        empty = (text.is_null() | (text == "")).to_numpy()
        numbers = _numbers(cells)
        word = ~empty & (np.zeros(len(cells), dtype=bool) if numbers is None else numbers.is_null().to_numpy())
        for kind, chosen in (("empty", empty), ("word", word), ("not finite", ~empty & ~word)):
            if chosen.any():
                at = int(np.argmax(chosen))
                here = (int(rows[at]), column, str(text[at]))
                first[kind] = min(first.get(kind, here), here)
    said = {
        "empty": "expected a number, the cell is empty",
        "word": "expected a number, got",
        "not finite": "expected a finite number, got",
    }
    for kind, (row, column, cell) in sorted(first.items(), key=lambda item: item[1]):
        got = said[kind] if kind == "empty" else f"{said[kind]} '{cell}'"
        node = f" (id '{ids[row]}')" if ids[row] is not None else ""
        faults.add(f"nodes: {kind}", f"{table.place(row)}, column '{names[column]}'{node}: {got}")
