"""Which epoch speaks for a run: the last, a label-free stop, or - stamped - the best by the labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from graphcl.errors import InputError
from graphcl.evaluation.clustering import Labels, clustering_scores

Rule = Literal["last", "label_free", "oracle"]
STAMP = "oracle: the epoch was chosen by the true labels; not comparable with label-free results"


@dataclass(frozen=True)
class Prediction:
    """What a clustering system says at one epoch.

    Shapes:
        labels: ``(N,)``; confidence: ``(N,)`` in 0 .. 1; embedding: ``(N, D)``.
    """

    labels: Labels
    confidence: npt.NDArray[np.float32]
    embedding: npt.NDArray[np.float32]


class Selection:
    """Watches the epochs of one run and keeps the prediction that the rule chooses.

    ``last`` keeps the last epoch. ``label_free`` stops the run once fewer than 0.1 % of the nodes change cluster in each of
    ten epochs in a row. ``oracle`` keeps the epoch of highest ACC against ``y``: the protocol of much of the literature,
    stamped in every result. The epoch at which ``label_free`` would have stopped is noted under every rule.

    Args:
        rule: One of the three.
        y: True classes, used by ``oracle`` alone.
        scored: Mask of the nodes that have a class; all when ``None``.

    Raises:
        InputError: An unknown rule, or ``oracle`` without labels.
    """

    TOLERANCE = 1e-3
    PATIENCE = 10

    def __init__(self, rule: Rule = "last", y: Labels | None = None, scored: npt.NDArray[np.bool_] | None = None) -> None:
        if rule not in get_args(Rule):
            raise InputError(f"selection must be one of {', '.join(get_args(Rule))}; got '{rule}'")
        if rule == "oracle" and y is None:
            raise InputError("oracle selection needs labels, and this data has none: use last or label_free")
        self.rule = rule
        self.chosen: Prediction | None = None
        self.epoch: int | None = None
        self.label_free_epoch: int | None = None
        self.changed: float | None = None
        self._y = y
        self._scored = scored
        self._previous: Labels | None = None
        self._calm = 0
        self._best = -np.inf

    def observe(self, epoch: int, prediction: Prediction) -> bool:
        """Takes note of an epoch's prediction; ``True`` asks the run to stop."""
        if self._previous is not None:
            self.changed = float((self._previous != prediction.labels).mean())
            self._calm = self._calm + 1 if self.changed < self.TOLERANCE else 0
        self._previous = prediction.labels
        if self._calm >= self.PATIENCE and self.label_free_epoch is None:
            self.label_free_epoch = epoch
        if self.rule == "oracle":
            score = self._accuracy(prediction)
            if score > self._best:
                self._best, self.chosen, self.epoch = score, prediction, epoch
            return False
        self.chosen, self.epoch = prediction, epoch
        return self.rule == "label_free" and self.label_free_epoch is not None

    def state_dict(self) -> dict[str, Any]:
        """Everything it remembers of the epochs, as arrays and plain values: a run that is taken up again chooses alike."""
        chosen = self.chosen
        return {
            "chosen": None if chosen is None else (chosen.labels, chosen.confidence, chosen.embedding),
            "epoch": self.epoch,
            "label_free_epoch": self.label_free_epoch,
            "changed": self.changed,
            "previous": self._previous,
            "calm": self._calm,
            "best": self._best,
        }

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Takes back what ``state_dict`` gave."""
        chosen = state_dict["chosen"]
        self.chosen = None if chosen is None else Prediction(*chosen)
        self.epoch, self.label_free_epoch = state_dict["epoch"], state_dict["label_free_epoch"]
        self.changed, self._previous = state_dict["changed"], state_dict["previous"]
        self._calm, self._best = state_dict["calm"], state_dict["best"]

    @property
    def stamp(self) -> str | None:
        """What must stand beside the numbers, if anything."""
        return STAMP if self.rule == "oracle" else None

    def _accuracy(self, prediction: Prediction) -> float:
        y, labels = self._y, prediction.labels
        if y is None:
            raise InputError("oracle selection needs labels")
        if self._scored is not None:
            y, labels = y[self._scored], labels[self._scored]
        return clustering_scores(y, labels)["acc"]
