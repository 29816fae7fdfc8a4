"""Trains a sequential system, chooses the epoch by what came next, and trains again on whole histories where asked to."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from graphcl.recsys.fitting.next_item import NextItem
from graphcl.recsys.fitting.rounds import MOST_USERS, Fitted, Rounds, fit_rounds
from graphcl.recsys.sequences import Sequences
from graphcl.recsys.systems.sequential import SequenceSystem
from graphcl.training import Checkpoint, Observer, TrainingConfig
from graphcl.training.heap import large_arrays_apart

Build = Callable[[Sequences], SequenceSystem]


def fit_sequences(
    build: Build,
    train: Sequences,
    valid: Sequences | None,
    config: TrainingConfig,
    *,
    mask_seen: bool = True,
    every: int = 5,
    patience: int = 10,
    users: int | None = MOST_USERS,
    refit: bool = False,
    seed: int = 0,
    observers: Sequence[Observer] = (),
    checkpoint: Checkpoint | None = None,
    title: str | None = None,
) -> Fitted[SequenceSystem]:
    """Trains a fresh system; there is no test part to look at.

    With a validation part the weights are those of its best epoch by nDCG@10 of each user's next item. A refit starts from the
    same seed on histories that go on with validation, and stops after as many epochs as the best one had.

    Args:
        build: Makes the system on training rows, weights from torch's global generator.
        train: Training rows.
        valid: What came after them; the last epoch speaks when ``None``.
        config: Settings of the loop.
        mask_seen: See `NextItem`.
        every: See `NextItem`.
        patience: See `NextItem`.
        users: See `NextItem`.
        refit: Whether to train again on both parts.
        seed: Of everything random.
        observers: Told of every epoch before any refit, after validation.
        checkpoint: Where training is kept, and taken up again; nowhere when ``None``.
        title: Of the progress bar; none is shown when ``None``.

    Raises:
        InputError: Rows or settings that cannot be used.
        NonFiniteLossError: Training diverged.
    """

    def watch(system: SequenceSystem) -> NextItem:
        drawn = torch.Generator().manual_seed(seed)
        return NextItem(
            system, later, mask_seen=mask_seen, epochs=config.epochs, every=every, patience=patience, users=users,
            generator=drawn,
        )  # fmt: skip

    later = train if valid is None else valid
    rounds = Rounds(
        first=lambda: build(train),
        again=lambda: build(train.extended(later)),
        source=lambda system: system.source(),
        watch=None if valid is None else watch,
    )
    with large_arrays_apart():  # the histories of no two batches have the same lengths
        return fit_rounds(
            rounds, config, refit=refit, seed=seed, observers=observers, checkpoint=checkpoint, title=title
        )  # fmt: skip
