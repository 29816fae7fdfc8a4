"""What every face does with a system: build it with the settings that were given, and train it."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from inspect import Parameter, signature
from typing import Any

import torch
from torch_geometric.data import Data

from graphcl.errors import unknown_name
from graphcl.models import SystemEntry
from graphcl.tasks.across_ranks import shared_work
from graphcl.training import (
    Checkpoint,
    EpochProgress,
    HasLateParts,
    NodeBatches,
    Observer,
    SeedSteps,
    Trainer,
    TrainingConfig,
    TrainState,
    check_memory,
)
from graphcl.training.distributed import RankTrainer, active_ranks
from graphcl.training.distributed_steps import RankSteps

FRIENDS = 5  # neighbours of a node that come with it into a batch that is all about its nodes


def build_system(entry: SystemEntry, sizes: Sequence[Any], params: Mapping[str, Any]) -> Any:
    """The system, with fresh weights from torch's global generator.

    Args:
        entry: Which one.
        sizes: What its constructor takes by position: the width of the features, and for clustering the number of clusters;
            for recommendation the graph of training rows.
        params: Keyword hyper-parameters; its defaults where silent.

    Raises:
        InputError: A parameter it does not have, or a value out of range.
    """
    system = entry.load()
    keywords = [p.name for p in signature(system).parameters.values() if p.kind is Parameter.KEYWORD_ONLY]
    for name in params:
        if name not in keywords:
            raise unknown_name(f"parameter of {entry.name}", name, keywords)
    return system(*sizes, **params)


def train_system(
    system: Any,
    graph: Data,
    config: TrainingConfig,
    observers: Sequence[Observer],
    checkpoint: Checkpoint | None,
    title: str | None,
    *,
    by_seeds: bool = False,
) -> TrainState:
    """Trains a system on a prepared graph that lies on its device.

    With ``batch_nodes`` below the number of nodes an epoch is ``ceil(N / batch_nodes)`` steps, on batches. By seeds, each is
    about that many nodes, and what is sampled around them is context, see `SeedSteps`. Otherwise it is about all that is in
    it, hardly more than ``batch_nodes``: a sixth of so many drawn, two at least, and up to five neighbours of each; the
    system's hooks see the whole graph.

    Where ranks have `joined`, all take every step together and share what `shared_work` finds in it.

    Args:
        system: Fresh; left in evaluation mode.
        graph: What it trains on.
        config: Settings of the loop.
        observers: Told of every epoch, in this order.
        checkpoint: Where the training is kept, and taken up again; nowhere when ``None``.
        title: Of the progress bar; none is shown when ``None``.
        by_seeds: Whether the system embeds nodes and does nothing else.

    Raises:
        InputError: It will not fit into memory, or does not take this graph; ranks, and nothing that they could share.
        NonFiniteLossError: Training diverged.
    """
    _warn_of_late_parts(system, config.epochs)
    source, stepped = graph, system
    if config.batch_nodes is not None and config.batch_nodes < graph.num_nodes:
        source = _batches(graph, config.batch_nodes, by_seeds)
        stepped = SeedSteps(system, source.steps) if by_seeds else system
    if config.preflight:
        check_memory(system, _first(source), config.torch_device())
    bar = None if title is None else EpochProgress(config.epochs, title)
    watching = [*observers, *([bar] if bar else [])]
    ranks = active_ranks()
    with bar or nullcontext():
        if ranks is None:
            return Trainer(config, watching, checkpoint).fit(stepped, source)
        together = RankSteps(stepped, ranks, sharing=shared_work(system, ranks))
        return RankTrainer(ranks, config, watching, checkpoint).fit(together, source)


def _warn_of_late_parts(system: Any, epochs: int) -> None:
    if not isinstance(system, HasLateParts):
        return
    for name, epoch in system.late_parts.items():
        if epoch >= epochs:
            warnings.warn(
                f"a run of {epochs} epochs ends before what '{name}' delays to epoch {epoch + 1}: "
                f"lower it (--set {name}=...), or train for longer",
                stacklevel=3,
            )


def _batches(graph: Data, batch_nodes: int, by_seeds: bool) -> NodeBatches:
    if by_seeds:
        return NodeBatches(graph, batch_nodes)
    steps = math.ceil(graph.num_nodes / batch_nodes)
    return NodeBatches(graph, max(2, batch_nodes // (1 + FRIENDS)), fanouts=(FRIENDS,), steps=steps)


def _first(source: Data | NodeBatches) -> Data:
    """What a step will be made on; the random numbers that this takes are given back."""
    if not isinstance(source, NodeBatches):
        return source
    with torch.random.fork_rng(devices=[]):
        return next(source.batches(0))
