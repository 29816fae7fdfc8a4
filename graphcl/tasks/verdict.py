"""What a task adds to a run: who is trained with a seed, and what is said of the results."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy.typing as npt
import polars as pl

from graphcl.training import Checkpoint, Observer, RunFolder

Say = Callable[[str], None]


class Writable(Protocol):
    """Something trained that can be kept on disk."""

    def write(self, folder: RunFolder) -> None:
        """Adds its files to a folder."""
        ...


class Face(Protocol):
    """An estimator of a task, as a run needs it."""

    @property
    def seed(self) -> int:
        """Of everything random."""
        ...

    @property
    def history_(self) -> Sequence[Mapping[str, float]]:
        """One mapping of terms an epoch."""
        ...

    @property
    def seconds_(self) -> float:
        """Training time."""
        ...

    @property
    def trained_(self) -> Writable:
        """What was trained."""
        ...

    def fit(self, data: Any, /, *, observers: Sequence[Observer] = (), checkpoint: Checkpoint | None = None) -> Any:
        """Trains on the data of its task."""
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
        frames: Tables that a run folder keeps, by the name of a ``.parquet`` file.
        short: Seeds whose best epoch was their last: more may give more.
    """

    protocol: Mapping[str, Any]
    metrics: Mapping[str, Any]
    baselines: Mapping[str, Any]
    more: Mapping[str, Any] = field(default_factory=dict)
    seconds: Mapping[str, Any] = field(default_factory=dict)
    frames: Mapping[str, pl.DataFrame] = field(default_factory=dict)
    short: Sequence[int] = ()


class Judge(Protocol):
    """A task's part of a run. Made before anything is trained, so that it refuses then what it could not judge.

    Attributes:
        data: What every seed is trained on.
    """

    data: Any

    def face(self, seed: int, *, progress: bool) -> Any:
        """The estimator to fit for a seed, a `Face`."""
        ...

    def judge(self, fitted: Sequence[Any], say: Say) -> Verdict:
        """Scores every seed, and what stands beside them."""
        ...

    def arrays(self, first: Any) -> Mapping[str, npt.NDArray[Any]]:
        """Arrays that a run folder keeps of the first seed besides its embedding, by file name."""
        ...
