"""A linear model from items to items in closed form: one number to choose, nothing to train."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp
import torch

from graphcl.errors import InputError
from graphcl.recsys.anchors.history import Floats32, HistoryModel

COLUMNS = 1024  # of the Gram matrix at a time
MOST_ITEMS = 46_340  # whose square still fits 32 bits: 8.6 GB

QUICK_ITEMS = 20_000  # some three minutes on one core; it takes eight times as long for twice as many


def is_quick(items: int, free: int | None) -> bool:
    """Whether EASE may stand beside other methods without being asked for: fitted in minutes, and within free memory.

    Args:
        items: Their number.
        free: Bytes of memory; unknown when ``None``.
    """
    need = 8 * items**2  # the square, and as much again for what is multiplied
    return items <= QUICK_ITEMS and (free is None or need <= free)


class EASE(HistoryModel):
    """The weights that rebuild every history from its other items: ``min |R - R W|^2 + l2 |W|^2`` with a zero diagonal.

    With ``P = (R^T R + l2 I)^-1``: ``W_ij = -P_ij / P_jj`` off the diagonal. The solution has
    ``(R^T R + l2 I) W = R^T R`` off the diagonal. Time ``O(I^3)``, memory ``4 I^2`` bytes: the inverse takes the
    place of the matrix, in float32.

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
        gram = np.empty((items, items), dtype=np.float32)
        for start in range(0, items, COLUMNS):  # rows and columns are the same
            gram[start : start + COLUMNS] = (people[start : start + COLUMNS] @ histories).toarray()
        if self.l2 < np.finfo(np.float32).eps * gram.diagonal().max() or not _invert(gram, self.l2):
            raise InputError(f"the Gram matrix cannot be inverted in float32 with l2 = {self.l2}: a larger l2 is needed")
        weights: Floats32 = gram
        diagonal = weights.diagonal().copy()
        weights /= -diagonal
        weights[np.diag_indices(items)] = 0
        return weights


def _invert(gram: Floats32, l2: float) -> bool:
    """``(gram + l2 I)^-1`` in the place of ``gram``, by sweeping a block of pivots at a time; whether float32 could.

    Sweeping block ``K`` turns ``A_KK`` into ``-P`` with ``P = A_KK^-1``, ``A_RK`` into ``T = A_RK P`` and ``A_RR`` into
    ``A_RR - T A_KR``; once all are swept, ``-A`` is the inverse. Time ``I^3`` multiplications and additions, since only the
    lower half is worked on. Not by LAPACK's ``potri``: OpenBLAS overruns its memory at 41 000 columns.

    Shapes:
        gram: ``(I, I)``, symmetric.
    """
    a = torch.from_numpy(gram)
    a.diagonal().add_(l2)
    size = len(a)
    blocks = [slice(start, min(start + COLUMNS, size)) for start in range(0, size, COLUMNS)]
    for pivot in blocks:
        factor, failed = torch.linalg.cholesky_ex(_symmetric(a[pivot, pivot]))
        # No pivot of the exact factor is below l2; one that is was lost to rounding.
        if int(failed) or float(factor.diagonal().min()) ** 2 < l2 / 2:
            return False
        inverse = torch.cholesky_inverse(factor)
        others = torch.cat([a[pivot, : pivot.start].T, a[pivot.start :, pivot]])  # the whole column: its upper half is a row
        others[pivot] = 0
        swept = others @ inverse
        for rows in blocks:
            a[rows, : rows.stop].addmm_(swept[rows], others[: rows.stop].T, alpha=-1)
        a[pivot, : pivot.start] = swept[: pivot.start].T
        a[pivot.stop :, pivot] = swept[pivot.stop :]
        a[pivot, pivot] = -inverse
    for rows in blocks:
        a[rows, rows] = _symmetric(a[rows, rows])
        a[: rows.start, rows] = a[rows, : rows.start].T
    a.neg_()
    return True


def _symmetric(block: torch.Tensor) -> torch.Tensor:
    """A square block whose lower half holds."""
    return block.tril() + block.tril(-1).T
