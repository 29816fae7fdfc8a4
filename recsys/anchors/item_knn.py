"""Whoever has this also has that, for the nearest few."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from graphcl.errors import InputError
from graphcl.recsys.anchors.history import HistoryModel

ITEMS = 1024  # whose neighbours are looked up at a time


class ItemKNN(HistoryModel):
    """Cosine of items over users, kept for the nearest items of each item: ``score(u, i) = sum_{j in h_u and N(i)} w_ij``.

    ``w_ij = c_ij / (sqrt(d_i d_j) + shrinkage)`` for ``c_ij`` users in common and ``d`` users of each; ``N(i)`` are the
    ``neighbours`` items with the largest ``w_ij > 0``, of equal ones the lowest ids, never ``i`` itself. Time
    ``O(sum_u d_u^2 log)``, memory ``O(I neighbours)`` and the co-occurrences of 1024 items.

    Sarwar et al., 2001, https://doi.org/10.1145/371920.372071. Differs: the sum is not divided by the weights, which serves
    ranking; shrinkage is added to the norm.

    Args:
        neighbours: Of each item, ``>= 1``.
        shrinkage: Holds down items with few users, ``>= 0``.

    Raises:
        InputError: Values out of range.
    """

    def __init__(self, neighbours: int = 100, *, shrinkage: float = 0.0) -> None:
        if neighbours < 1 or not 0 <= shrinkage < np.inf:
            raise InputError(f"neighbours must be >= 1 and shrinkage >= 0; got {neighbours} and {shrinkage}")
        self.neighbours, self.shrinkage = neighbours, shrinkage

    def weights(self, histories: sp.csr_matrix) -> sp.csr_matrix:
        """The cosines that are kept, ``(I, I)``; see the class."""
        people = sp.csr_matrix(histories.T)
        norms = np.sqrt(np.diff(people.indptr).astype(np.float64))
        blocks = []
        for start in range(0, people.shape[0], ITEMS):
            common = sp.coo_matrix(people[start : start + ITEMS] @ histories)
            item, other, count = common.row + start, common.col, common.data.astype(np.float64)
            differ = item != other
            item, other, count = item[differ], other[differ], count[differ]
            value = count / (norms[item] * norms[other] + self.shrinkage)
            order = np.lexsort((other, -value, item))
            item, other, value = item[order], other[order], value[order]
            rank = np.arange(len(item)) - np.searchsorted(item, item)
            keep = rank < self.neighbours
            blocks.append((other[keep], item[keep], value[keep]))
        other, item, value = (np.concatenate(column) for column in zip(*blocks, strict=True))
        return sp.csr_matrix((value.astype(np.float32), (other, item)), shape=(people.shape[0],) * 2)
