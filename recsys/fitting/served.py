"""A scorer as people meet it: popular items for whoever has no history, and never an item that nobody has."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from graphcl.recsys.ranking.rows import HasRows, degrees, fingerprint, popularity
from graphcl.recsys.ranking.top_k import Scorer, scores_of


class Served:
    """Scores of a model, with a fallback.

    A user without a history gets the number of training users of each item. An item without a training row gets ``-inf``, which
    is never listed: whatever an id-based model says about it was not learned. What is judged is so what is recommended.

    Args:
        scorer: The model, or a function of users to scores.
        train: The rows it has learned from.
        histories: What the scorer goes by for each of its users; ``train`` when ``None``.

    Attributes:
        trained_on: Fingerprint of these rows.

    Shapes:
        score: ``(B,)`` to ``(B, I)``.
    """

    def __init__(self, scorer: Scorer, train: HasRows, histories: HasRows | None = None) -> None:
        counts = popularity(train)
        self.trained_on = fingerprint(train)
        self._call = scores_of(scorer)
        self._counts = torch.from_numpy(counts)
        self._without_history = torch.from_numpy(degrees(train if histories is None else histories) == 0)
        self._nobody_has = torch.from_numpy(np.flatnonzero(counts == 0))

    def score(self, users: Tensor) -> Tensor:
        """Scores of some users; of those without a history the popularity of items."""
        scores = self._call(users)
        alone = self._without_history.index_select(0, users.cpu()).nonzero().view(-1)
        if not len(alone) and not len(self._nobody_has):
            return scores
        scores = scores.clone(memory_format=torch.contiguous_format)
        if len(alone):
            scores[alone.to(scores.device)] = self._counts.to(scores)
        return scores.index_fill_(1, self._nobody_has.to(scores.device), -torch.inf)
