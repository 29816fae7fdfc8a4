"""Which items are chosen together: the few nearest of each, by a weight that holds popular ones down."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
import torch
from torch import Tensor

from graphcl.errors import InputError
from graphcl.recsys.ranking.rows import Flags, HasRows, Ints, check_rows, degrees, matrix, popularity

Floats = npt.NDArray[np.float64]

BLOCK = 2**22  # co-occurrences looked at together


class ItemGraph(NamedTuple):
    """The neighbours of each item, heaviest first; an item with fewer than ``K`` has weight 0, and item 0, in the places left.

    Shapes:
        items: ``(I, K)`` int64; weights: ``(I, K)`` float64, ``>= 0``.
    """

    items: Tensor
    weights: Tensor


def nearest_items(train: HasRows, neighbours: int = 10) -> ItemGraph:
    """The items with the largest ``w_ik = G_ik / g_i sqrt((g_i + 1) / (g_k + 1))`` beside each item ``i``.

    ``G_ik`` is the number of users who have both, for ``i != k`` only: an item is not its own neighbour, and does not count
    among those it was chosen with in ``g_i = sum_k G_ik`` either. Of equal weights the lower item comes first. An item that
    nobody has, or whose users have nothing else, has no neighbours.

    With ``g_i = sum_{u: i} (d_u - 1)`` no sum over ``G`` is needed, so that it is met once, some rows at a time. Time
    ``O(sum_u d_u^2)``; memory ``O(I K)`` and a block of about four million co-occurrences, whatever the number of items.

    Mao et al., 2021, https://arxiv.org/abs/2110.15114. Differs from the official code, which leaves the users of each item on
    the diagonal of ``G``, so that most items are their own first neighbour, and holds ``I x I`` weights.

    Args:
        train: Training rows.
        neighbours: Of each item, ``K >= 1``.

    Raises:
        InputError: Rows that are no rows, or no neighbour asked for.
    """
    check_rows(train, "train")
    if neighbours < 1:
        raise InputError(f"neighbours must be >= 1; got {neighbours}")
    sizes, width = degrees(train), train.num_items
    together = np.bincount(train.indices, weights=np.repeat(sizes - 1, sizes), minlength=width)
    left = np.divide(np.sqrt(together + 1), together, out=np.zeros(width), where=together > 0)
    right = 1 / np.sqrt(together + 1)
    histories = matrix(train)
    people = sp.csr_matrix(histories.T)
    items, weights = np.zeros((width, neighbours), dtype=np.int64), np.zeros((width, neighbours))
    for start, stop in _blocks(np.minimum(together.astype(np.int64) + popularity(train), width)):
        common = sp.csr_matrix(people[start:stop] @ histories)
        row, other = np.repeat(np.arange(start, stop), np.diff(common.indptr)), common.indices
        weight = np.where(row == other, -1.0, common.data * left[row] * right[other])
        near = np.flatnonzero(_largest(weight, common.indptr, neighbours) & (weight > 0))
        row, other, weight = row[near], other[near], weight[near]
        order = np.lexsort((other, -weight, row))
        row, other, weight = row[order], other[order], weight[order]
        rank = np.arange(len(row)) - np.searchsorted(row, row)
        kept = rank < neighbours
        items[row[kept], rank[kept]], weights[row[kept], rank[kept]] = other[kept], weight[kept]
    return ItemGraph(torch.from_numpy(items), torch.from_numpy(weights))


def _blocks(sizes: Ints) -> list[tuple[int, int]]:
    """Ranges of rows with about ``BLOCK`` entries each, at least one row."""
    block = np.cumsum(sizes) // BLOCK
    starts = np.flatnonzero(np.diff(block, prepend=-1))
    return list(zip(starts.tolist(), [*starts[1:].tolist(), len(sizes)], strict=True))


def _largest(values: Floats, indptr: npt.NDArray[np.integer], k: int) -> Flags:
    """Which values are no smaller than the ``k``-th largest of their row."""
    kept = np.ones(len(values), dtype=np.bool_)
    for first, last in zip(indptr[:-1].tolist(), indptr[1:].tolist(), strict=True):
        if last - first > k:
            row = values[first:last]
            kept[first:last] = row >= np.partition(row, last - first - k)[last - first - k]
    return kept
