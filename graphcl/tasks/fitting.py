"""What every face does with a system: build it with the settings that were given, and train it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from inspect import Parameter, signature
from typing import Any

from torch_geometric.data import Data

from graphcl.errors import unknown_name
from graphcl.models import SystemEntry
from graphcl.training import Checkpoint, EpochProgress, Observer, Trainer, TrainingConfig, TrainState, check_memory


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
) -> TrainState:
    """Trains a system on a prepared graph that lies on its device.

    Args:
        system: Fresh; left in evaluation mode.
        graph: What it trains on.
        config: Settings of the loop.
        observers: Told of every epoch, in this order.
        checkpoint: Where the training is kept, and taken up again; nowhere when ``None``.
        title: Of the progress bar; none is shown when ``None``.

    Raises:
        InputError: It will not fit into memory, or does not take this graph.
        NonFiniteLossError: Training diverged.
    """
    if config.preflight:
        check_memory(system, graph, config.torch_device())
    bar = None if title is None else EpochProgress(config.epochs, title)
    trainer = Trainer(config, [*observers, *([bar] if bar else [])], checkpoint)
    with bar or nullcontext():
        return trainer.fit(system, graph)
