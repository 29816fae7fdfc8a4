"""A linear model from items to items in closed form: one number to choose, nothing to train."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from scipy.linalg import lapack

from graphcl.errors import InputError
from graphcl.recsys.anchors.history import Floats32, HistoryModel

COLUMNS = 1024  # of the Gram matrix at a time
MOST_ITEMS = 46_340  # whose square still fits the 32 bits that LAPACK counts in


class EASE(HistoryModel):
    """The weights that rebuild every history from its other items: ``min |R - R W|^2 + l2 |W|^2`` with a zero diagonal.

    With ``P = (R^T R + l2 I)^-1``: ``W_ij = -P_ij / P_jj`` off the diagonal. The solution has
    ``(R^T R + l2 I) W = R^T R`` off the diagonal. Time ``O(I^3)``, memory ``4 I^2`` bytes: a Cholesky factor
    and the inverse in place, in float32.

    Steck, 2019, https://arxiv.org/abs/1905.03375. Same maths.

    Args:
        l2: Strength of the penalty, ``> 0``; hundreds for most data.

    Raises:
        InputError: ``l2`` out of range; when fitting, more than 46 340 items, or an ``l2`` too small for float32.
    """

    def __init__(self, l2: float = 250.0) -> None:
        if not 0 < l2 < np.inf:
            raise InputError(f"l2 must be > 0; got {l2}")
        self.l2 = l2

    def weights(self, histories: sp.csr_matrix) -> Floats32:
        """The solution, ``(I, I)``; see the class."""
        items = histories.shape[1]
        if items > MOST_ITEMS:
            raise InputError(
                f"EASE holds every pair of items: {items} items would need {4 * items**2 / 1e9:.0f} GB. "
                f"It is for up to {MOST_ITEMS}; ItemKNN takes more"
            )
        people = sp.csr_matrix(histories.T)
        gram = np.empty((items, items), dtype=np.float32, order="F")
        for start in range(0, items, COLUMNS):
            # The matrix is its own transpose, and these are contiguous.
            gram[:, start : start + COLUMNS] = (people[start : start + COLUMNS] @ histories).toarray().T
        lost = self.l2 < np.finfo(np.float32).eps * gram.diagonal().max()
        gram[np.diag_indices(items)] += self.l2
        factor, failed = lapack.spotrf(gram, lower=1, clean=0, overwrite_a=1)
        # No pivot of the exact factor is below l2; one that is was lost to rounding.
        failed = failed or lost or factor.diagonal().min() ** 2 < self.l2 / 2
        if not failed:
            inverse, failed = lapack.spotri(factor, lower=1, overwrite_c=1)
        if failed:
            raise InputError(f"the Gram matrix cannot be inverted in float32 with l2 = {self.l2}: a larger l2 is needed")
        for start in range(0, items, COLUMNS):
            stop = min(start + COLUMNS, items)
            corner = np.tril(inverse[start:stop, start:stop])
            inverse[start:stop, start:stop] = corner + np.tril(corner, -1).T
            inverse[start:stop, stop:] = inverse[stop:, start:stop].T
        diagonal = inverse.diagonal().copy()
        weights: Floats32 = inverse.T  # the same numbers, rows contiguous as the product with histories wants them
        weights /= -diagonal
        weights[np.diag_indices(items)] = 0
        return weights
