"""Trains a system on training rows, chooses the epoch on validation, and trains again on both where that is asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace

import torch

from graphcl.recsys.fitting.validation import Validation
from graphcl.recsys.graph import Bipartite
from graphcl.recsys.ranking.rows import HasRows, union
from graphcl.recsys.sampling import TripleSource
from graphcl.recsys.systems.system import RecommendationSystem
from graphcl.training import Checkpoint, EpochProgress, Observer, Trainer, TrainingConfig, TrainState, seed_everything

MOST_USERS = 10_000  # who choose an epoch: the mean of so many is sharper than the gain of an epoch
Build = Callable[[Bipartite], RecommendationSystem]


@dataclass(frozen=True, eq=False)
class Fitted:
    """A trained system and how it came about.

    Args:
        system: With the weights that were chosen, in evaluation mode; ``system.graph`` has the rows it learned from.
        history: The terms of every epoch, before any refit.
        seconds: Of training, the refit among it.
        best_epoch: Counted from 0; ``None`` without a validation part.
        best_value: Its nDCG@20.
        refit: Whether it was trained again with the validation part.
    """

    system: RecommendationSystem
    history: Sequence[Mapping[str, float]]
    seconds: float
    best_epoch: int | None
    best_value: float | None
    refit: bool


def fit_system(
    build: Build,
    train: HasRows,
    valid: HasRows | None,
    config: TrainingConfig,
    *,
    every: int = 5,
    patience: int = 10,
    users: int | None = MOST_USERS,
    refit: bool = False,
    seed: int = 0,
    observers: Sequence[Observer] = (),
    checkpoint: Checkpoint | None = None,
    title: str | None = None,
) -> Fitted:
    """Trains a fresh system; there is no test part to look at.

    With a validation part the weights are those of its best epoch. A refit starts from the same seed on training and
    validation together, and stops after as many epochs as the best one had; it has a checkpoint of its own beside the first.

    Args:
        build: Makes the system on a graph, weights from torch's global generator.
        train: Training rows.
        valid: Validation rows; the last epoch speaks when ``None``.
        config: Settings of the loop.
        every: See `Validation`.
        patience: See `Validation`.
        users: See `Validation`.
        refit: Whether to train again on both parts.
        seed: Of everything random.
        observers: Told of every epoch before any refit, after validation.
        checkpoint: Where training is kept, and taken up again; nowhere when ``None``.
        title: Of the progress bar; none is shown when ``None``.

    Raises:
        InputError: Rows or settings that cannot be used.
        NonFiniteLossError: Training diverged.
    """
    seed_everything(seed)
    system = build(Bipartite(train)).to(config.torch_device())
    watch = None
    if valid is not None:
        drawn = torch.Generator().manual_seed(seed)
        watch = Validation(
            system, valid, epochs=config.epochs, every=every, patience=patience, users=users, generator=drawn
        )  # fmt: skip
    state = _train(system, config, [*([watch] if watch else []), *observers], checkpoint, title)
    if valid is None or watch is None:
        return Fitted(system, state.history, state.seconds, None, None, False)
    watch.put_back()
    if not refit or watch.best_epoch is None:
        return Fitted(system, state.history, state.seconds, watch.best_epoch, watch.best_value, False)
    again = None
    if checkpoint is not None:
        again = Checkpoint(
            checkpoint.folder, f"{checkpoint.name}-refit", seconds=checkpoint.seconds, identity=checkpoint.identity,
            say=checkpoint.say,
        )  # fmt: skip
    seed_everything(seed)
    system = build(Bipartite(union(train, valid))).to(config.torch_device())
    second = _train(
        system, replace(config, epochs=watch.best_epoch + 1), [], again, None if title is None else f"{title}, refit"
    )
    if checkpoint is not None and again is not None:
        checkpoint.began_at += again.began_at
    return Fitted(system, state.history, state.seconds + second.seconds, watch.best_epoch, watch.best_value, True)


def _train(
    system: RecommendationSystem,
    config: TrainingConfig,
    observers: Sequence[Observer],
    checkpoint: Checkpoint | None,
    title: str | None,
) -> TrainState:
    source = TripleSource(
        system.graph,
        batch_size=system.batch_size,
        sampler=system.sampler,
        negatives=system.negatives_per_positive,
        batches=system.batches_per_epoch,
        device=config.torch_device(),
    )
    bar = None if title is None else EpochProgress(config.epochs, title)
    with bar or nullcontext():
        return Trainer(config, [*observers, *([bar] if bar else [])], checkpoint).fit(system, source)
