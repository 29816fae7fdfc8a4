"""Rows of node pairs to a clean undirected edge list: both directions, sorted, each edge once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from graphcl.errors import InputError

Ints = NDArray[np.int64]
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Edges:
    """An undirected edge list and what tidying it took.

    Args:
        index: Both directions of every edge, sorted by (row, column), without self-loops or repeats.
        weight: One number per column of ``index``, equal in both directions; ``None`` when unweighted.
        duplicates: Rows that repeated an earlier row in the same direction.
        reciprocal: Undirected edges that came in both directions.
        self_loops: Rows from a node to itself.

    Shapes:
        index: ``(2, 2E)`` int64; weight: ``(2E,)`` float32.
    """

    index: Ints
    weight: Floats | None
    duplicates: int
    reciprocal: int
    self_loops: int

    @property
    def undirected(self) -> int:
        """The number of undirected edges."""
        return int(self.index.shape[1]) // 2

    @property
    def one_way(self) -> int:
        """How many undirected edges came in one direction only, so that the other had to be added."""
        return self.undirected - self.reciprocal

    def isolated(self, num_nodes: int) -> int:
        """How many of ``num_nodes`` nodes have no edge."""
        touched = np.zeros(num_nodes, dtype=bool)
        touched[self.index[0]] = True
        return int(num_nodes - touched.sum())


def undirect(source: Ints, target: Ints, num_nodes: int, weight: NDArray[np.floating] | None = None) -> Edges:
    """Symmetrises and coalesces rows of node pairs; self-loops go.

    Weights of rows that repeat a pair in the same direction are summed. Where both directions are listed, the
    edge gets the mean of the two sums, so that a symmetric listing keeps its weights and a one-way listing too.

    Args:
        source: Row numbers, in ``[0, num_nodes)``; checked by the caller.
        target: The same.
        num_nodes: At least 1.
        weight: One number a row.

    Shapes:
        source, target, weight: ``(R,)``; returns: ``Edges`` with index ``(2, 2E)``.
    """
    proper = source != target
    loops = int(source.size - np.count_nonzero(proper))
    if loops:
        source, target = source[proper], target[proper]
        weight = None if weight is None else weight[proper]
    one_way = source * num_nodes + target
    if weight is None:
        directed = _distinct(one_way)
    else:
        directed, slot = np.unique(one_way, return_inverse=True)
        sums = np.bincount(slot, weights=weight, minlength=directed.size)
    row, column = np.divmod(directed, num_nodes)
    pair = np.minimum(row, column) * num_nodes + np.maximum(row, column)
    if weight is None:
        pairs, values = _distinct(pair), None
    else:
        pairs, slot = np.unique(pair, return_inverse=True)
        values = np.bincount(slot, weights=sums, minlength=pairs.size) / np.maximum(np.bincount(slot, minlength=pairs.size), 1)
    low, high = np.divmod(pairs, num_nodes)
    both = np.concatenate([pairs, high * num_nodes + low])
    order = np.argsort(both, kind="stable")
    index = np.stack([np.concatenate([low, high])[order], np.concatenate([high, low])[order]])
    return Edges(
        index=index,
        weight=None if values is None else np.concatenate([values, values])[order].astype(np.float32),
        duplicates=int(one_way.size - directed.size),
        reciprocal=int(directed.size - pairs.size),
        self_loops=loops,
    )


def _distinct(keys: Ints) -> Ints:
    # np.unique hashes integers, which is several times slower than sorting when nearly all of them differ.
    ordered = np.sort(keys)
    first = np.ones(ordered.size, dtype=bool)
    np.not_equal(ordered[1:], ordered[:-1], out=first[1:])
    return ordered[first]


def check_index(index: NDArray[np.generic], num_nodes: int, where: str) -> Ints:
    """``index`` as int64 when it is a (2, E) integer array of ids in ``[0, num_nodes)``.

    Args:
        index: What was read.
        num_nodes: The number of nodes, ``N``.
        where: File and array, for the message.

    Raises:
        InputError: Another shape or dtype, or an id out of range; says the first column at fault.
    """
    if index.dtype.kind not in "iu" or index.ndim != 2 or index.shape[0] != 2:
        raise InputError(
            f"{where}: expected integers of shape (2, E), got {index.dtype} of shape {index.shape}; "
            "store one column per edge, source above target"
        )
    checked = index.astype(np.int64)
    bad = (checked < 0) | (checked >= num_nodes)
    if bad.any():
        row, column = (int(part) for part in np.argwhere(bad)[0])
        raise InputError(
            f"{where}: expected node ids from 0 to {num_nodes - 1}, got {checked[row, column]} in row {row}, column {column}; "
            "are the ids 1-based, or were nodes left out of x or y?"
        )
    return checked
