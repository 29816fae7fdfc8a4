"""Models that score items by the other items in a user's training row."""

from __future__ import annotations

from typing import Self

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
import torch
from torch import Tensor

from graphcl.errors import InputError
from graphcl.recsys.ranking.rows import HasRows, check_rows, fingerprint, matrix

Floats32 = npt.NDArray[np.float32]


class HistoryModel:
    """``score = R W``: the rows of the training pairs times weights from item to item.

    A subclass gives the weights; column ``i`` holds what every item of a history says for item ``i``, its diagonal is 0. The
    sum over a history is the score, so that each item of it has its own, exact share.
    """

    trained_on: str | None = None
    histories_: sp.csr_matrix
    weights_: sp.csr_matrix | Floats32

    def weights(self, histories: sp.csr_matrix) -> sp.csr_matrix | Floats32:
        """The weights, ``(I, I)``, of histories ``(U, I)``."""
        raise NotImplementedError

    def fit(self, train: HasRows) -> Self:
        """Find the weights, and keep the histories.

        Raises:
            InputError: Rows that are no rows, or none at all.
        """
        check_rows(train, "train")
        if len(train.indices) == 0:
            raise InputError(f"{type(self).__name__} cannot learn from no interactions: train is empty")
        self.histories_ = matrix(train)
        self.weights_ = self.weights(self.histories_)
        self.trained_on = fingerprint(train)
        return self

    def score(self, users: Tensor) -> Tensor:
        """Scores of every item by the training rows of some users; 0 throughout for a user without one.

        Time ``O(P I)`` for ``P`` items in these rows, less where weights are sparse.

        Shapes:
            users: ``(B,)``; returns: ``(B, I)`` float32.

        Raises:
            InputError: Before ``fit``, or a user that training does not know.
        """
        if self.trained_on is None:
            raise InputError(f"{type(self).__name__} has no weights yet: call fit(train) first")
        rows = users.cpu().numpy()
        if rows.size and (rows.min() < 0 or rows.max() >= self.histories_.shape[0]):
            raise InputError(f"users must lie in [0, {self.histories_.shape[0]}); got {rows.min()} to {rows.max()}")
        scores = self.histories_[rows] @ self.weights_
        return torch.from_numpy(np.asarray(scores.toarray() if sp.issparse(scores) else scores))
