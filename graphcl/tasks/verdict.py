"""What a task adds to a run: who is trained with a seed, and what is said of the results."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from torch_geometric.data import Data

from graphcl.tasks.trained import Trained
from graphcl.training import Checkpoint, Observer

Say = Callable[[str], None]


class Face(Protocol):
    """An estimator of a task, as a run needs it."""

    seed: int
    embedding_: npt.NDArray[np.float32]
    history_: Sequence[Mapping[str, float]]
    seconds_: float
    trained_: Trained

    def fit(
        self, data: Data, y: None = None, *, observers: Sequence[Observer] = (), checkpoint: Checkpoint | None = None
    ) -> Any:
        """Trains on the graph."""
        ...


@dataclass(frozen=True)
class Verdict:
    """What is said of all seeds.

    Args:
        protocol: How the numbers came about, plain values.
        metrics: Name to mean, deviation and values over the seeds; empty where there was nothing to score against.
        baselines: The same for each of the methods that stand beside it.
        more: Further entries of ``metrics.json``.
        seconds: Further entries of its ``seconds``.
    """

    protocol: Mapping[str, Any]
    metrics: Mapping[str, Any]
    baselines: Mapping[str, Any]
    more: Mapping[str, Any] = field(default_factory=dict)
    seconds: Mapping[str, Any] = field(default_factory=dict)


class Judge(Protocol):
    """A task's part of a run. Made before anything is trained, so that it refuses then what it could not judge."""

    def face(self, seed: int, *, progress: bool) -> Any:
        """The estimator to fit for a seed, a `Face`."""
        ...

    def judge(self, fitted: Sequence[Any], say: Say) -> Verdict:
        """Scores every seed, and what stands beside them."""
        ...

    def arrays(self, first: Any) -> Mapping[str, npt.NDArray[Any]]:
        """Arrays that a run folder keeps of the first seed besides its embedding, by file name."""
        ...
