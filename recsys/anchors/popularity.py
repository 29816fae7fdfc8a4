"""Everybody gets what most people have."""

from __future__ import annotations

import torch
from torch import Tensor

from graphcl.errors import InputError
from graphcl.recsys.ranking.rows import HasRows, check_rows, fingerprint, popularity


class Popularity:
    """The score of an item is the number of its users in training.

    Shapes:
        score: ``(B,)`` to ``(B, I)``.
    """

    trained_on: str | None = None

    def fit(self, train: HasRows) -> Popularity:
        """Count. Time ``O(E)``.

        Raises:
            InputError: Rows that are no rows.
        """
        check_rows(train, "train")
        self.counts_ = torch.from_numpy(popularity(train)).double()
        self.trained_on = fingerprint(train)
        return self

    def score(self, users: Tensor) -> Tensor:
        """The same row for everybody.

        Raises:
            InputError: Before ``fit``.
        """
        if self.trained_on is None:
            raise InputError("Popularity knows no item yet: call fit(train) first")
        return self.counts_.expand(len(users), -1)
