"""Training on several ranks: every rank holds the data and takes its part of each batch that all of them draw."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple

import torch
from torch import nn

from graphcl.errors import InputError
from graphcl.kernels.ranks import Ranks, all_rows
from graphcl.recsys.sequences.batches import PrefixBatch, ShiftedBatch
from graphcl.recsys.systems.contrast import SideContrast
from graphcl.recsys.systems.lightgcn import LightGCN
from graphcl.recsys.systems.mf_bpr import MFBPR
from graphcl.recsys.systems.sequential.gru4rec import GRU4Rec
from graphcl.recsys.systems.sequential.sasrec import SASRec
from graphcl.recsys.systems.simgcl import SimGCL
from graphcl.recsys.systems.xsimgcl import XSimGCL
from graphcl.training import Checkpoint, Observer, Trainer, TrainingConfig, TrainState
from graphcl.training.distributed import RankTrainer, active_ranks
from graphcl.training.distributed_steps import Cut, RankSteps, Share, ShareOfBatches, cut_rows
from graphcl.training.trainer import HasBatches


class Way(NamedTuple):
    """How ranks share a batch.

    Args:
        cut: Gives a rank its part.
        own_draws: Whether a step draws for the rows of the batch, not for the graph, so that each rank draws for itself.
    """

    cut: Cut
    own_draws: bool


def cut_sequences(batch: PrefixBatch | ShiftedBatch, ranks: Ranks) -> Share:
    """The rank's rows of a batch of histories, weighted by the targets in them, of which every row has one at least.

    A rank that is left without a row gets the first one, with weight 0.
    """
    start, length = ranks.share(batch.history.num_rows)
    begin, rows = (start, length) if length else (0, 1)
    numbers = torch.arange(begin, begin + rows, device=batch.target.device)
    history = batch.history.take(numbers)
    part: PrefixBatch | ShiftedBatch
    if isinstance(batch, PrefixBatch):
        part = PrefixBatch(batch.rows.narrow(0, begin, rows), history, batch.target.narrow(0, begin, rows))
    else:
        part = ShiftedBatch(history, batch.target.narrow(0, int(batch.history.indptr[begin]), len(history.values)))
    return Share(part, float(len(part.target)) if length else 0.0)


# Systems whose loss is a mean over the rows or the targets of a batch, besides what the whole batch says by `SideContrast`.
BY_ROWS: dict[type[Any], Way] = {
    **dict.fromkeys((MFBPR, LightGCN, SimGCL, XSimGCL), Way(cut_rows, False)),
    **dict.fromkeys((SASRec, GRU4Rec), Way(cut_sequences, True)),
}


def train(
    system: Any,
    source: HasBatches,
    config: TrainingConfig,
    observers: Sequence[Observer],
    checkpoint: Checkpoint | None,
) -> TrainState:
    """Trains a system on the batches of a source; on all ranks together where some have `joined`.

    The ranks then do what one process would do with the same batches, up to rounding. With a graph each propagates over all
    of it and ranks its own rows of a batch; contrast of users and of items is that of the whole batch, on every rank. Tables,
    optimiser and propagation take the memory and time of one process, so more ranks pay where ``batch_size`` grows with them.
    Histories are encoded, and their targets sought in the catalogue, by the rank that has them: ``1 / P`` of the work each;
    dropout and drawn negatives are then other ones than those of one process.

    Args:
        system: Fresh, on its device.
        source: Its batches.
        config: Settings of the loop.
        observers: Told of every epoch.
        checkpoint: Where the training is kept, and taken up again; nowhere when ``None``.

    Raises:
        InputError: On ranks, a system whose loss is no mean over rows.
        NonFiniteLossError: Training diverged.
    """
    ranks = active_ranks()
    if ranks is None:
        return Trainer(config, observers, checkpoint).fit(system, source)
    way = BY_ROWS.get(type(system))
    if way is None:
        known = ", ".join(kind.__name__ for kind in BY_ROWS)
        raise InputError(
            f"the loss of {type(system).__name__} is no mean over the rows of a batch that ranks could share: train it by one "
            f"process, or take one of {known}"
        )
    steps = RankSteps(
        system, ranks, own_draws=way.own_draws, sharing=lambda stack: stack.enter_context(whole_batches(system, ranks))
    )
    return RankTrainer(ranks, config, observers, checkpoint).fit(steps, ShareOfBatches(source, ranks, way.cut))


@contextmanager
def whole_batches(system: nn.Module, ranks: Ranks) -> Iterator[None]:
    """For the time of the block every `SideContrast` of a system is of the rows that stand in any rank's part of the batch.

    Args:
        system: Whose modules are looked through.
        ranks: All of them.
    """

    def widen(module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        first, second, ids, *weight = inputs
        if weight:
            raise InputError("rows that count several times belong to one rank's part of a batch: contrast distinct rows")
        return first, second, torch.unique(all_rows(ids, ranks))

    with ExitStack() as stack:
        for module in system.modules():
            if isinstance(module, SideContrast):
                stack.enter_context(module.register_forward_pre_hook(widen))
        yield
