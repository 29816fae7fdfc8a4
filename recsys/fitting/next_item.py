"""What an epoch of a sequential system is worth: nDCG@10 of each user's next item."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from graphcl.errors import InputError
from graphcl.recsys.fitting.best_epoch import BestEpoch, draw_users
from graphcl.recsys.fitting.validation import NAME, judged_users, list_scores
from graphcl.recsys.ranking import Embeddings
from graphcl.recsys.sequences import Sequences, next_events
from graphcl.recsys.systems.sequential import SequenceSystem

LENGTH = 10
METRIC = f"{NAME}@{LENGTH}"


class NextItem(BestEpoch):
    """Scores validation of a sequential system; see `BestEpoch`.

    nDCG@10 of the first validation event of each user who has a history, among items that training knows. Only the histories
    that are scored are encoded. Time ``O(U I D)`` besides the encoder's, memory ``O(U D)`` and one chunk of scores.

    Args:
        system: What is trained; its ``sequences`` are the histories.
        valid: What came after them.
        mask_seen: Whether items of the history are left out, as the protocol that will judge has it.
        epochs: See `BestEpoch`.
        every: See `BestEpoch`.
        patience: See `BestEpoch`.
        users: At most so many users are scored, the same in every epoch; all when ``None``.
        generator: Draws them; torch's own when ``None``.

    Raises:
        InputError: A number below 1, other users or items than those of training, or nobody to score.
    """

    metric = METRIC

    def __init__(
        self,
        system: SequenceSystem,
        valid: Sequences,
        *,
        mask_seen: bool = True,
        epochs: int,
        every: int = 5,
        patience: int = 10,
        users: int | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(system, epochs=epochs, every=every, patience=patience)
        train = system.sequences
        if (valid.num_users, valid.num_items) != (train.num_users, train.num_items):
            raise InputError(
                f"validation must be over the {train.num_users} users and {train.num_items} items of training; "
                f"got {valid.num_users} and {valid.num_items}"
            )
        self.train, self.target, self.mask_seen = train.interactions(), next_events(valid).interactions(), mask_seen
        self.users = draw_users(judged_users(self.train, self.target), users, generator)
        chosen = torch.from_numpy(self.users)
        self._histories = train.jagged().take(chosen)
        self._place = torch.zeros(train.num_users, dtype=torch.int64)
        self._place[chosen] = torch.arange(len(chosen))

    def value(self) -> float:
        """Mean nDCG@10."""
        found = Embeddings(self.system.encode(self._histories), self.system.item_embeddings())

        def score(users: Tensor) -> Tensor:
            return found.score(self._place.index_select(0, users))

        each = list_scores(score, self.train, self.target, self.users, length=LENGTH, mask_seen=self.mask_seen)
        return float(np.mean(each))
