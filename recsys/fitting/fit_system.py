"""Trains a system of pairs on training rows, chooses the epoch on validation, and trains again on both where asked to."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from graphcl.recsys.fitting.rounds import MOST_USERS, Fitted, Rounds, fit_rounds
from graphcl.recsys.fitting.validation import Validation
from graphcl.recsys.graph import Bipartite
from graphcl.recsys.ranking.rows import HasRows, union
from graphcl.recsys.sampling import TripleSource
from graphcl.recsys.systems.system import RecommendationSystem
from graphcl.training import Checkpoint, Observer, TrainingConfig

Build = Callable[[Bipartite], RecommendationSystem]


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
) -> Fitted[RecommendationSystem]:
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

    def source(system: RecommendationSystem) -> TripleSource:
        return TripleSource(
            system.graph,
            batch_size=system.batch_size,
            sampler=system.sampler,
            negatives=system.negatives_per_positive,
            batches=system.batches_per_epoch,
            device=config.torch_device(),
        )

    def watch(system: RecommendationSystem) -> Validation:
        drawn = torch.Generator().manual_seed(seed)
        return Validation(
            system, both[1], epochs=config.epochs, every=every, patience=patience, users=users, generator=drawn
        )  # fmt: skip

    both = (train, train if valid is None else valid)
    rounds = Rounds(
        first=lambda: build(Bipartite(train)),
        again=lambda: build(Bipartite(union(*both))),
        source=source,
        watch=None if valid is None else watch,
    )
    return fit_rounds(
        rounds, config, refit=refit, seed=seed, observers=observers, checkpoint=checkpoint, title=title
    )  # fmt: skip
