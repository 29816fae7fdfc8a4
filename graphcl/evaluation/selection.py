"""Which epoch speaks for a run: the last, a label-free stop, or - stamped - the best by the labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment

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


@dataclass(frozen=True)
class Oracle:
    """What the literature's loose protocol would report of a run: the epoch with the highest ACC, the first of equals.

    Args:
        epoch: That epoch, chosen by the true labels.
        scores: ACC, NMI, ARI and macro-F1, all of that epoch.
    """

    epoch: int
    scores: Mapping[str, float]


class Selection:
    """Watches the epochs of one run and keeps the prediction that the rule chooses.

    ``last`` keeps the last epoch. ``label_free`` stops the run once fewer than 0.1 % of the nodes change cluster in each of
    ten epochs in a row. ``oracle`` keeps the epoch of highest ACC against ``y``: the protocol of much of the literature,
    stamped in every result. Under every rule it is noted where ``label_free`` would have stopped and, given ``y``, what
    ``oracle`` would have reported of the same epochs; what is only noted chooses nothing.

    With ``y`` an epoch costs a contingency table of ``C`` classes and ``K`` clusters and a matching on it,
    ``O(N + C K min(C, K))``; the other three scores are found where ACC rises.

    Args:
        rule: One of the three.
        y: True classes, from which the oracle's figures are noted.
        scored: Mask of the nodes that have a class; all when ``None``.

    Attributes:
        chosen: The prediction that speaks, ``None`` before any.
        epoch: Its epoch.
        label_free_epoch: Where ``label_free`` stops, or would have; ``None`` until then.
        changed: Share of the nodes that changed cluster in the last epoch.
        oracle: What the best epoch by ``y`` reports; ``None`` without ``y``.

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
        self.oracle: Oracle | None = None
        self._y = y if y is None or scored is None else y[scored]
        self._scored = scored
        self._previous: Labels | None = None
        self._calm = 0

    def observe(self, epoch: int, prediction: Prediction) -> bool:
        """Takes note of an epoch's prediction; ``True`` asks the run to stop."""
        if self._previous is not None:
            self.changed = float((self._previous != prediction.labels).mean())
            self._calm = self._calm + 1 if self.changed < self.TOLERANCE else 0
        self._previous = prediction.labels
        if self._calm >= self.PATIENCE and self.label_free_epoch is None:
            self.label_free_epoch = epoch
        best_so_far = self._note_oracle(epoch, prediction)
        if self.rule != "oracle" or best_so_far:
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
            "oracle": None if self.oracle is None else (self.oracle.epoch, dict(self.oracle.scores)),
        }

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Takes back what ``state_dict`` gave."""
        chosen = state_dict["chosen"]
        self.chosen = None if chosen is None else Prediction(*chosen)
        self.epoch, self.label_free_epoch = state_dict["epoch"], state_dict["label_free_epoch"]
        self.changed, self._previous = state_dict["changed"], state_dict["previous"]
        self._calm = state_dict["calm"]
        self.oracle = None if state_dict["oracle"] is None else Oracle(*state_dict["oracle"])

    @property
    def stamp(self) -> str | None:
        """What must stand beside the numbers, if anything."""
        return STAMP if self.rule == "oracle" else None

    def _note_oracle(self, epoch: int, prediction: Prediction) -> bool:
        """Whether this is the best epoch so far by the labels."""
        if self._y is None:
            return False
        labels = prediction.labels if self._scored is None else prediction.labels[self._scored]
        if self.oracle is not None and _accuracy(self._y, labels) <= self.oracle.scores["acc"]:
            return False
        self.oracle = Oracle(epoch, clustering_scores(self._y, labels))
        return True


def _accuracy(y: Labels, clusters: Labels) -> float:
    """ACC as `clustering_scores` has it, to the bit, at about a twentieth of the time that all four scores take."""
    names, row = np.unique(y, return_inverse=True)
    shape = len(names), int(clusters.max()) + 1
    table = np.bincount(row * shape[1] + clusters, minlength=shape[0] * shape[1]).reshape(shape)
    return float(table[linear_sum_assignment(table, maximize=True)].sum() / len(y))
