"""Classes of nodes: one a node as int64, several a node as a multi-hot table, names kept."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from graphcl.datasets.matrix import Sparse
from graphcl.errors import InputError


@dataclass(frozen=True)
class Labels:
    """Classes by node.

    Args:
        y: Class numbers from 0, or a multi-hot table when nodes have several.
        classes: How many there are, ``K``.
        names: What they are called, in order of number.
        unlabelled: Where no class was given; ``y`` is 0 there. ``None`` when every node has one.

    Shapes:
        y: ``(N,)`` int64 or ``(N, K)`` float32; unlabelled: ``(N,)`` bool.
    """

    y: NDArray[np.int64] | NDArray[np.float32]
    classes: int
    names: list[str] | None = None
    unlabelled: NDArray[np.bool_] | None = None


def check_labels(y: NDArray[np.generic], where: str) -> Labels:
    """Class numbers as stored in a file.

    Args:
        y: Integers from 0, or a 0/1 table with a column for each class.
        where: File and array, for the message.

    Shapes:
        y: ``(N,)`` or ``(N, K)``.

    Raises:
        InputError: Not whole numbers from 0, or a table of something else than 0 and 1.
    """
    if y.ndim == 2 and y.dtype.kind in "fiub":
        if not np.isin(y, (0, 1)).all():
            raise InputError(f"{where}: expected only 0 and 1 in a table of labels of shape {y.shape}")
        return _single_or_multi(y.astype(np.float32))
    if y.ndim != 1 or y.dtype.kind not in "iu":
        raise InputError(f"{where}: expected integer class numbers of shape (N,), got {y.dtype} of shape {y.shape}")
    numbers = y.astype(np.int64)
    if numbers.size and numbers.min() < 0:
        at = int(np.argmax(numbers < 0))
        raise InputError(
            f"{where}: expected class numbers from 0, got {numbers[at]} in row {at}; "
            "give such nodes class 0 and mark them in a bool array 'unlabelled'"
        )
    return Labels(numbers, int(numbers.max()) + 1 if numbers.size else 0)


def labels_from_csr(pattern: Sparse) -> Labels:
    """Labels stored as the pattern of a sparse node-by-class table.

    Shapes:
        pattern: ``(N, K)``.
    """
    dense = np.zeros(pattern.shape, dtype=np.float32)
    dense[np.repeat(np.arange(pattern.shape[0]), np.diff(pattern.indptr)), pattern.indices] = 1
    return _single_or_multi(dense)


def encode_labels(values: pl.Series, where: str) -> Labels:
    """Class names to numbers: whole numbers sort as numbers, anything else as text; missing ones are marked.

    Args:
        values: One class a node, of any type.
        where: Table and column, for the message.

    Shapes:
        values: ``(N,)``; returns: labels with y ``(N,)``.

    Raises:
        InputError: No node has a class.
    """
    text = values if values.dtype == pl.String else _plain(values).cast(pl.String)
    text = text.str.strip_chars().replace("", None)
    missing = text.is_null()
    names = text.drop_nulls().unique()
    if names.is_empty():
        raise InputError(f"{where}: expected a class for some nodes, got none; name another label column or leave it out")
    whole = names.cast(pl.Int64, strict=False)
    keys = names.to_frame("name").with_columns(whole.alias("whole"))
    ordered = keys.sort("name" if whole.null_count() else ["whole", "name"])["name"]
    codes = pl.DataFrame({"name": ordered, "code": np.arange(len(ordered), dtype=np.int64)})
    joined = pl.DataFrame({"name": text}).join(codes, on="name", how="left", maintain_order="left")["code"]
    return Labels(
        y=joined.fill_null(0).to_numpy().astype(np.int64),
        classes=len(ordered),
        names=ordered.to_list(),
        unlabelled=missing.to_numpy() if missing.any() else None,
    )


def _plain(values: pl.Series) -> pl.Series:
    # Class 3 read as 3.0, because some other row was empty, is still class 3.
    if values.dtype.is_float():
        values = values.fill_nan(None)
        whole = values.cast(pl.Int64, strict=False)
        return whole if (whole.cast(pl.Float64) == values.cast(pl.Float64)).all() else values
    return values


def _single_or_multi(table: NDArray[np.float32]) -> Labels:
    if table.shape[0] and (table.sum(axis=1) == 1).all():
        return Labels(table.argmax(axis=1).astype(np.int64), table.shape[1])
    return Labels(table, table.shape[1])
