"""The loop: one optimiser, one system, one graph."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import torch
from torch_geometric.data import Data

from graphcl.errors import InputError
from graphcl.training.config import TrainingConfig
from graphcl.training.system import HasEpochStart, HasFitEnd, System

REMEDY = "try a smaller lr or a larger temperature, and check the features for extreme values"


class NonFiniteLossError(RuntimeError):
    """Training diverged; the message names the epoch and what was not finite."""


class Observer(Protocol):
    """Something that watches the epochs: a log, a progress bar, a stopping rule."""

    def on_epoch_end(self, epoch: int, terms: dict[str, float]) -> bool | None:
        """Takes note of an epoch, counted from 0, and may add terms of its own; ``True`` asks the run to stop after it."""
        ...


@runtime_checkable
class HasFitStart(Protocol):
    """An observer that does something once everything was accepted, before the first epoch."""

    def on_fit_start(self) -> None:
        """Called once, before the first epoch, in the order of the observers."""
        ...


@dataclass
class TrainState:
    """Where a run stands: what a checkpoint has to hold, besides the system, so that the loop can go on from there."""

    optimizer: torch.optim.Optimizer
    epoch: int = 0
    seconds: float = 0.0
    history: list[dict[str, float]] = field(default_factory=list)


class Trainer:
    """Trains a system on one graph, full batch.

    Args:
        config: Epochs, learning rate, device, determinism.
        observers: Told of every epoch, in this order. Their time is not counted as training time.
    """

    def __init__(self, config: TrainingConfig, observers: Sequence[Observer] = ()) -> None:
        self.config = config
        self.observers = tuple(observers)

    def start(self, system: System) -> TrainState:
        """The state of a run before its first epoch."""
        config = self.config
        return TrainState(torch.optim.Adam(system.parameters(), lr=config.lr, weight_decay=config.weight_decay))

    def fit(self, system: System, data: Data, state: TrainState | None = None) -> TrainState:
        """Trains from ``state`` (from scratch when ``None``) to the last epoch, or until an observer says stop.

        Args:
            system: On the data's device.
            data: The graph.
            state: As ``start`` makes it.

        Raises:
            NonFiniteLossError: A term is not finite; the weights are those before the bad step.
        """
        state = self.start(system) if state is None else state
        for observer in self.observers:
            if isinstance(observer, HasFitStart):
                observer.on_fit_start()
        while state.epoch < self.config.epochs:
            began = time.perf_counter()
            terms = self._epoch(system, data, state)
            state.seconds += time.perf_counter() - began
            answers = [observer.on_epoch_end(state.epoch, terms) for observer in self.observers]
            state.history.append({"epoch": state.epoch, **terms})
            state.epoch += 1
            if any(answers):
                break
        if isinstance(system, HasFitEnd):
            began = time.perf_counter()
            try:
                system.on_fit_end(data)
            except InputError as error:
                raise _astray(state.epoch - 1, error) from error
            state.seconds += time.perf_counter() - began
        return state

    def _epoch(self, system: System, data: Data, state: TrainState) -> dict[str, float]:
        system.train()
        try:
            if isinstance(system, HasEpochStart):
                system.on_epoch_start(state.epoch, data)
            terms = system.training_step(data)
        except InputError as error:
            if state.epoch == 0:
                raise
            raise _astray(state.epoch, error) from error
        values = {name: float(term.detach()) for name, term in terms.items()}
        bad = sorted((name for name, value in values.items() if not math.isfinite(value)), key=lambda name: name == "loss")
        if bad:  # the parts before the sum: they say where it went wrong
            raise NonFiniteLossError(f"epoch {state.epoch}: the term '{bad[0]}' is {values[bad[0]]}; {REMEDY}")
        state.optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(terms["loss"])
        state.optimizer.step()
        return values


def _astray(epoch: int, error: InputError) -> NonFiniteLossError:
    """What the first epoch accepted is not the caller's mistake later: the weights have diverged."""
    return NonFiniteLossError(f"epoch {epoch}: {error}; {REMEDY}")
