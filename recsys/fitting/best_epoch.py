"""Which epoch was the best by validation; its weights are kept, and nothing else is looked at."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import numpy as np
import torch
from torch import Tensor

from graphcl.errors import InputError
from graphcl.recsys.ranking.rows import Ints
from graphcl.training import NonFiniteLossError
from graphcl.training.trainer import REMEDY


class BestEpoch:
    """An observer that scores validation, remembers the best weights and says when to stop.

    A subclass says what an epoch is worth by `value`, under the name of its `metric`. The best weights are one more copy of the
    system.

    Args:
        system: What is trained.
        epochs: Of the whole training; the last one is always scored.
        every: Epochs between two validations, ``>= 1``.
        patience: Validations without a gain after which training stops, ``>= 1``.

    Attributes:
        best_epoch: Counted from 0; ``None`` before the first validation.
        best_value: Its score.

    Raises:
        InputError: A number below 1.
    """

    metric: str

    def __init__(self, system: Any, *, epochs: int, every: int, patience: int) -> None:
        for name, value in (("every", every), ("patience", patience)):
            if value < 1:
                raise InputError(f"{name} must be 1 or more; got {value}")
        self.system, self.epochs, self.every, self.patience = system, epochs, every, patience
        self.best_epoch: int | None = None
        self.best_value = -1.0
        self._waited = 0
        self._best: dict[str, Any] = {}

    def value(self) -> float:
        """The score of the weights as they are, at least 0; the larger the better.

        Raises:
            InputError: Weights that are not finite.
        """
        raise NotImplementedError

    def on_epoch_end(self, epoch: int, terms: dict[str, float]) -> bool:
        """Scores the epoch if it is its turn; ``True`` once nothing has got better for too long."""
        if (epoch + 1) % self.every and epoch + 1 != self.epochs:
            return False
        try:
            value = self.value()
        except InputError as error:  # what was built from accepted settings has diverged
            raise NonFiniteLossError(f"epoch {epoch}: {error}; {REMEDY}") from error
        terms[f"valid {self.metric}"] = value
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


def draw_users(users: Ints, most: int | None, generator: torch.Generator | None) -> Ints:
    """At most so many of some users, in their order; all when ``most`` is ``None``.

    Args:
        users: Their numbers.
        most: How many, ``>= 1``.
        generator: Draws them; torch's own when ``None``.

    Shapes:
        users: ``(B,)``; returns: ``(min(B, most),)``.

    Raises:
        InputError: A number below 1.
    """
    if most is not None and most < 1:
        raise InputError(f"users must be 1 or more; got {most}")
    if most is None or most >= len(users):
        return users
    drawn = torch.randperm(len(users), generator=generator)[:most].numpy()
    chosen: Ints = users[np.sort(drawn)]
    return chosen


def _copy(part: Any) -> Any:
    return part.detach().clone() if isinstance(part, Tensor) else deepcopy(part)
