"""Training whose epoch is chosen on validation, and training again on both parts: the same for systems of every kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

from graphcl.recsys.fitting.across_ranks import train
from graphcl.recsys.fitting.best_epoch import BestEpoch
from graphcl.training import Checkpoint, EpochProgress, Observer, TrainingConfig, TrainState, seed_everything
from graphcl.training.trainer import HasBatches

MOST_USERS = 10_000  # who choose an epoch: the mean of so many is sharper than the gain of an epoch
S = TypeVar("S")


@dataclass(frozen=True, eq=False)
class Fitted(Generic[S]):
    """A trained system and how it came about.

    Args:
        system: With the weights that were chosen, in evaluation mode; it has the rows that it learned from.
        history: The terms of every epoch, before any refit.
        seconds: Of training, the refit among it.
        best_epoch: Counted from 0; ``None`` without a validation part.
        best_value: Its score on validation.
        refit: Whether it was trained again with the validation part.
    """

    system: S
    history: Sequence[Mapping[str, float]]
    seconds: float
    best_epoch: int | None
    best_value: float | None
    refit: bool


@dataclass(frozen=True, eq=False)
class Rounds(Generic[S]):
    """What systems of a kind are trained on, and how they are scored.

    Args:
        first: Makes a fresh system on the training part, weights from torch's global generator.
        again: The same on training and validation part.
        source: Its batches.
        watch: What scores its epochs; the last epoch speaks when ``None``.
    """

    first: Callable[[], S]
    again: Callable[[], S]
    source: Callable[[S], HasBatches]
    watch: Callable[[S], BestEpoch] | None


def fit_rounds(
    rounds: Rounds[S],
    config: TrainingConfig,
    *,
    refit: bool,
    seed: int,
    observers: Sequence[Observer],
    checkpoint: Checkpoint | None,
    title: str | None,
) -> Fitted[S]:
    """Trains a fresh system; there is no test part to look at.

    Where epochs are scored the weights are those of the best. A refit starts from the same seed on both parts, and stops after
    as many epochs as the best one had; it has a checkpoint of its own beside the first.

    Args:
        rounds: What to train.
        config: Settings of the loop.
        refit: Whether to train again on both parts.
        seed: Of everything random.
        observers: Told of every epoch before any refit, after validation.
        checkpoint: Where training is kept, and taken up again; nowhere when ``None``.
        title: Of the progress bar; none is shown when ``None``.

    Raises:
        InputError: Rows or settings that cannot be used.
        NonFiniteLossError: Training diverged.
    """
    system = _fresh(rounds.first, config, seed)
    watch = None if rounds.watch is None else rounds.watch(system)
    state = _train(system, rounds, config, [*([watch] if watch else []), *observers], checkpoint, title)
    if watch is None:
        return Fitted(system, state.history, state.seconds, None, None, False)
    watch.put_back()
    if not refit or watch.best_epoch is None:
        return Fitted(system, state.history, state.seconds, watch.best_epoch, watch.best_value, False)
    again = None
    if checkpoint is not None:
        again = Checkpoint(
            checkpoint.folder, f"{checkpoint.name}-refit", seconds=checkpoint.seconds, identity=checkpoint.identity,
            say=checkpoint.say, ranks=checkpoint.ranks,
        )  # fmt: skip
    system = _fresh(rounds.again, config, seed)
    longest = replace(config, epochs=watch.best_epoch + 1)
    second = _train(system, rounds, longest, [], again, None if title is None else f"{title}, refit")
    if checkpoint is not None and again is not None:
        checkpoint.began_at += again.began_at
    return Fitted(system, state.history, state.seconds + second.seconds, watch.best_epoch, watch.best_value, True)


def _fresh(build: Callable[[], S], config: TrainingConfig, seed: int) -> S:
    seed_everything(seed)
    system: Any = build()
    moved: S = system.to(config.torch_device())
    return moved


def _train(
    system: S,
    rounds: Rounds[S],
    config: TrainingConfig,
    observers: Sequence[Observer],
    checkpoint: Checkpoint | None,
    title: str | None,
) -> TrainState:
    bar = None if title is None else EpochProgress(config.epochs, title)
    stepped: Any = system
    with bar or nullcontext():
        return train(stepped, rounds.source(system), config, [*observers, *([bar] if bar else [])], checkpoint)
