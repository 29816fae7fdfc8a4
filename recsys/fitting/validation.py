"""Which epoch was the best, by the lists it gives on validation; its weights are kept, and nothing else is looked at."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from graphcl.errors import InputError
from graphcl.recsys.ranking import hits_of, score_lists, top_k
from graphcl.recsys.ranking.rows import HasRows, Ints, check_rows, degrees, popularity
from graphcl.recsys.ranking.top_k import Scorer
from graphcl.recsys.systems.system import RecommendationSystem
from graphcl.training import NonFiniteLossError
from graphcl.training.trainer import REMEDY

NAME, LENGTH = "ndcg", 20
METRIC = f"{NAME}@{LENGTH}"


class Validation:
    """An observer that scores validation, remembers the best weights and says when to stop.

    One metric of one length, declared beforehand: nDCG@20 over users with a history, items of the history left out, items
    that training knows as candidates. Users without a history get the same list in every epoch, so they cannot choose one. A
    validation takes time ``O(U I D)`` and memory of one chunk of scores; the best weights are one more copy of the system.

    Args:
        system: What is trained.
        valid: The validation part.
        epochs: Of the whole training; the last one is always scored.
        every: Epochs between two validations, ``>= 1``.
        patience: Validations without a gain after which training stops, ``>= 1``.
        users: At most so many users are scored, the same in every epoch; all when ``None``.
        generator: Draws them; torch's own when ``None``.

    Attributes:
        best_epoch: Counted from 0; ``None`` before the first validation.
        best_value: Its score.

    Raises:
        InputError: A number below 1, other users or items than those of training, or nobody to score.
    """

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
        for name, value in (("every", every), ("patience", patience), ("users", users)):
            if value is not None and value < 1:
                raise InputError(f"{name} must be 1 or more; got {value}")
        self.system, self.train, self.valid = system, system.graph, valid
        self.epochs, self.every, self.patience = epochs, every, patience
        self.users = _judged(self.train, valid)
        if users is not None and users < len(self.users):
            drawn = torch.randperm(len(self.users), generator=generator)[:users].numpy()
            self.users = self.users[np.sort(drawn)]
        self.best_epoch: int | None = None
        self.best_value = -1.0
        self._waited = 0
        self._best: dict[str, Any] = {}

    def on_epoch_end(self, epoch: int, terms: dict[str, float]) -> bool:
        """Scores the epoch if it is its turn; ``True`` once nothing has got better for too long."""
        if (epoch + 1) % self.every and epoch + 1 != self.epochs:
            return False
        try:
            scorer = self.system.scorer()
        except InputError as error:  # what was built from accepted settings has diverged
            raise NonFiniteLossError(f"epoch {epoch}: {error}; {REMEDY}") from error
        value = float(list_scores(scorer, self.train, self.valid, self.users).mean())
        terms[f"valid {METRIC}"] = value
        if value > self.best_value:
            self.best_epoch, self.best_value, self._waited = epoch, value, 0
            self._best = {name: _copy(part) for name, part in self.system.state_dict().items()}
        else:
            self._waited += 1
        return self._waited >= self.patience

    def put_back(self) -> None:
        """Gives the system the best weights."""
        if self._best:
            self.system.load_state_dict(self._best)

    def state_dict(self) -> Mapping[str, Any]:
        """What it remembers, the best weights among it."""
        return {"epoch": self.best_epoch, "value": self.best_value, "waited": self._waited, "weights": self._best}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Takes back what ``state_dict`` gave."""
        self.best_epoch, self.best_value = state_dict["epoch"], state_dict["value"]
        self._waited, self._best = state_dict["waited"], dict(state_dict["weights"])


def list_scores(scorer: Scorer, train: HasRows, target: HasRows, users: Ints) -> npt.NDArray[np.float64]:
    """nDCG@20 of each user: items of the training row left out, items that training knows as candidates.

    Shapes:
        users: ``(B,)``, each with a target; returns: ``(B,)``.
    """
    known = np.flatnonzero(popularity(train))
    lists = top_k(scorer, users, LENGTH, seen=train, candidates=None if len(known) == train.num_items else known)
    hits = hits_of(lists.items.numpy(), users, target)
    return score_lists(hits, degrees(target)[users], [LENGTH], [NAME])[METRIC]


def _judged(train: HasRows, valid: HasRows) -> Ints:
    """Users with a history and something to find."""
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


def _copy(part: Any) -> Any:
    return part.detach().clone() if isinstance(part, Tensor) else deepcopy(part)
