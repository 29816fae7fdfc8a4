"""What an epoch of a system of pairs is worth: nDCG@20 of the lists it gives on validation."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from graphcl.errors import InputError
from graphcl.recsys.fitting.best_epoch import BestEpoch, draw_users
from graphcl.recsys.ranking import hits_of, score_lists, top_k
from graphcl.recsys.ranking.rows import HasRows, Ints, check_rows, degrees, popularity
from graphcl.recsys.ranking.top_k import Scorer
from graphcl.recsys.systems.system import RecommendationSystem

NAME, LENGTH = "ndcg", 20
METRIC = f"{NAME}@{LENGTH}"


class Validation(BestEpoch):
    """Scores validation of a system of pairs; see `BestEpoch`.

    One metric of one length, declared beforehand: nDCG@20 over users with a history, items of the history left out, items
    that training knows as candidates. Users without a history get the same list in every epoch, so they cannot choose one. A
    validation takes time ``O(U I D)`` and memory of one chunk of scores.

    Args:
        system: What is trained.
        valid: The validation part.
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
        system: RecommendationSystem,
        valid: HasRows,
        *,
        epochs: int,
        every: int = 5,
        patience: int = 10,
        users: int | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(system, epochs=epochs, every=every, patience=patience)
        self.train, self.valid = system.graph, valid
        self.users = draw_users(judged_users(self.train, valid), users, generator)

    def value(self) -> float:
        """Mean nDCG@20."""
        return float(list_scores(self.system.scorer(), self.train, self.valid, self.users).mean())


def list_scores(
    scorer: Scorer, train: HasRows, target: HasRows, users: Ints, *, length: int = LENGTH, mask_seen: bool = True
) -> npt.NDArray[np.float64]:
    """nDCG of each user's list, of twenty items where nothing else is said; items that training knows as candidates.

    Args:
        scorer: What ranks.
        train: Training rows.
        target: What is to be found.
        users: Whom to score.
        length: Of the lists.
        mask_seen: Whether items of the training row are left out.

    Shapes:
        users: ``(B,)``, each with a target; returns: ``(B,)``.
    """
    known = np.flatnonzero(popularity(train))
    candidates = None if len(known) == train.num_items else known
    lists = top_k(scorer, users, length, seen=train if mask_seen else None, candidates=candidates)
    hits = hits_of(lists.items.numpy(), users, target)
    return score_lists(hits, degrees(target)[users], [length], [NAME])[f"{NAME}@{length}"]


def judged_users(train: HasRows, valid: HasRows) -> Ints:
    """Users with a history and something to find.

    Raises:
        InputError: Other users or items than those of training, or nobody.
    """
    check_rows(valid, "valid")
    if (valid.num_users, valid.num_items) != (train.num_users, train.num_items):
        raise InputError(
            f"validation must be over the {train.num_users} users and {train.num_items} items of training; "
            f"got {valid.num_users} and {valid.num_items}"
        )
    users = np.flatnonzero((degrees(valid) > 0) & (degrees(train) > 0))
    if users.size == 0:
        raise InputError("no user has both training and validation rows, so no epoch can be chosen: use selection='last'")
    return users
