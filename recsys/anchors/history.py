"""Models that score items by the items of a row, so that a row nobody trained on serves as well."""

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
    """Scores as a function of a history: ``score`` takes the training rows, ``score_histories`` those of anybody.

    Linear models give ``weights``, for which ``score = R W``: column ``i`` holds what every item of a history says for item
    ``i``, its diagonal is 0, so that each item of the history has its own, exact share of the sum. Others override ``learn``
    and ``scores``.
    """

    trained_on: str | None = None
    histories_: sp.csr_matrix
    weights_: sp.csr_matrix | Floats32

    def weights(self, histories: sp.csr_matrix) -> sp.csr_matrix | Floats32:
        """The weights, ``(I, I)``, of histories ``(U, I)``."""
        raise NotImplementedError

    def learn(self, histories: sp.csr_matrix) -> None:
        """Find all that ``scores`` needs in training histories ``(U, I)``."""
        self.weights_ = self.weights(histories)

    def scores(self, histories: sp.csr_matrix) -> Tensor:
        """Scores ``(B, I)`` by histories ``(B, I)``."""
        found = histories @ self.weights_
        return torch.from_numpy(np.asarray(found.toarray() if sp.issparse(found) else found))

    def fit(self, train: HasRows) -> Self:
        """Learn from the training rows, and keep them.

        Raises:
            InputError: Rows that are no rows, or none at all.
        """
        check_rows(train, "train")
        if len(train.indices) == 0:
            raise InputError(f"{type(self).__name__} cannot learn from no interactions: train is empty")
        self.histories_ = matrix(train)
        self.learn(self.histories_)
        self.trained_on = fingerprint(train)
        return self

    def score(self, users: Tensor) -> Tensor:
        """Scores of every item by the training rows of some users; 0 throughout for a user without one.

        Time ``O(P I)`` for ``P`` items in these rows where weights are dense; else the class says it.

        Shapes:
            users: ``(B,)``; returns: ``(B, I)`` float32.

        Raises:
            InputError: Before ``fit``, or a user that training does not know.
        """
        rows = self._known(users)
        return self.scores(self.histories_[rows])

    def score_histories(self, histories: HasRows) -> Tensor:
        """Scores of every item by any rows over the same items: users that training does not know, or knows less of.

        What training knows of a user is not added: pass the whole history.

        Shapes:
            returns: ``(B, I)`` float32, a row for each user of ``histories``.

        Raises:
            InputError: Before ``fit``, rows that are no rows, or other items.
        """
        self._check_fitted()
        check_rows(histories, "histories")
        items = self.histories_.shape[1]
        if histories.num_items != items:
            raise InputError(f"histories must be over the {items} items of training; got {histories.num_items}")
        return self.scores(matrix(histories))

    def _check_fitted(self) -> None:
        if self.trained_on is None:
            raise InputError(f"{type(self).__name__} has learnt nothing yet: call fit(train) first")

    def _known(self, users: Tensor) -> npt.NDArray[np.int64]:
        """The users as row numbers, once they are known to be some."""
        self._check_fitted()
        rows: npt.NDArray[np.int64] = users.cpu().numpy()
        if rows.size and (rows.min() < 0 or rows.max() >= self.histories_.shape[0]):
            raise InputError(f"users must lie in [0, {self.histories_.shape[0]}); got {rows.min()} to {rows.max()}")
        return rows
