"""The loop: one optimiser, one system, one graph or a stream of batches."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence, Sized
from contextlib import AbstractContextManager, contextmanager, nullcontext
from itertools import islice
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor
from torch_geometric.data import Data

from graphcl.errors import InputError
from graphcl.training.checkpoint import Checkpoint
from graphcl.training.config import TrainingConfig
from graphcl.training.heap import Trimmer
from graphcl.training.schedule import rate_factor
from graphcl.training.system import HasEpochStart, HasFitEnd, System
from graphcl.training.train_state import TrainState

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

    def on_fit_start(self, history: Sequence[Mapping[str, float]]) -> None:
        """Called once, in the order of the observers, with the epochs that a run which goes on has behind it."""
        ...


@runtime_checkable
class HasCallEnd(Protocol):
    """An observer that follows an epoch from one call of ``training_step`` to the next."""

    def on_call_end(self, epoch: int, calls: int, expected: int) -> None:
        """How many calls the epoch has behind it, and of how many, 0 where nobody knows. It is training time: take none."""
        ...


@runtime_checkable
class HasBatches(Protocol):
    """Data that come in batches: every one is a step, and a pass over them is an epoch."""

    def batches(self, epoch: int) -> Iterable[Any]:
        """The batches of an epoch, counted from 0; random ones out of torch's own generator."""
        ...


@runtime_checkable
class HasSteps(Protocol):
    """Batches whose number is known beforehand, so that a schedule can move between two of them."""

    @property
    def steps(self) -> int:
        """Batches of an epoch."""
        ...


class Trainer:
    """Trains a system on one graph, full batch, or on the batches of `HasBatches`.

    On a graph an epoch is one optimiser step: ``accumulate`` calls of ``training_step`` whose gradients are averaged,
    shortened to ``clip_norm``. On batches a step takes ``accumulate`` of them, the last step of an epoch what is left. Terms
    are logged as means over the calls. The learning rate of a step is `rate_factor` of its moment: ``epoch + step / steps`` on
    batches that say how many they are (``steps``, or their length), the epoch elsewhere.

    Args:
        config: Epochs, learning rate, device, determinism.
        observers: Told of every epoch, in this order. Their time is not counted as training time. See also `HasFitStart` and
            `HasCallEnd`.
        checkpoint: Where the run is kept, and taken up again; nowhere when ``None``.
    """

    def __init__(
        self, config: TrainingConfig, observers: Sequence[Observer] = (), checkpoint: Checkpoint | None = None
    ) -> None:
        self.config = config
        self.observers = tuple(observers)
        self.checkpoint = checkpoint
        self._trimmer = Trimmer()

    def start(self, system: System) -> TrainState:
        """The state of a run before its first epoch."""
        config = self.config
        kind = torch.optim.AdamW if config.optimizer == "adamw" else torch.optim.Adam
        # One kernel for all tensors: a loop over them is a tenth of a step where items have a table. Under fp16 the scaler
        # would hand it the inverse of its scale, a way that is left alone here.
        fused = config.precision != "fp16"
        optimizer = kind(system.parameters(), lr=config.lr, weight_decay=config.weight_decay, fused=fused)
        return TrainState(optimizer, torch.amp.GradScaler("cuda") if config.precision == "fp16" else None)

    def fit(self, system: System, data: Data | HasBatches, state: TrainState | None = None) -> TrainState:
        """Trains from ``state`` (from scratch when ``None``) to the last epoch, or until an observer says stop.

        The system is left in evaluation mode.

        Args:
            system: On the data's device.
            data: The graph, or what gives the batches.
            state: As ``start`` makes it; a checkpoint is stronger.

        Raises:
            NonFiniteLossError: A term is not finite; the weights are those before the bad step.
            InputError: A checkpoint that does not belong here.
        """
        state = self.start(system) if state is None else state
        if self.checkpoint is not None:
            self.checkpoint.restore(system, state, self.observers, epochs=self.config.epochs)
        for observer in self.observers:
            if isinstance(observer, HasFitStart):
                observer.on_fit_start(state.history)
        while state.epoch < self.config.epochs and not state.stopped:
            began = time.perf_counter()
            terms = self._epoch(system, data, state)
            state.seconds += time.perf_counter() - began
            answers = [observer.on_epoch_end(state.epoch, terms) for observer in self.observers]
            state.history.append({"epoch": state.epoch, **terms})
            state.epoch += 1
            state.stopped, state.ended = any(answers), False
            if self.checkpoint is not None:
                self.checkpoint.after_epoch(system, state, self.observers)
        system.eval()
        if not state.ended:
            self._end(system, data, state)
        return state

    def _epoch(self, system: System, data: Data | HasBatches, state: TrainState) -> dict[str, float]:
        system.train()
        sums: dict[str, float] = {}
        calls, expected = 0, _batches_an_epoch(data) if isinstance(data, HasBatches) else self.config.accumulate
        trimmer = self._trimmer if isinstance(data, HasBatches) else None  # a graph comes to the same sizes every step
        followers = [observer for observer in self.observers if isinstance(observer, HasCallEnd)]
        for step, batches in enumerate(self._steps(system, data, state.epoch)):
            self._set_rate(data, state, step)
            state.optimizer.zero_grad(set_to_none=True)
            for batch in batches:
                terms = self._step(system, batch, state.epoch)
                for name, value in _finite_values(state.epoch, terms).items():
                    sums[name] = sums.get(name, 0.0) + value
                loss = terms["loss"] / len(batches)
                torch.autograd.backward(loss if state.scaler is None else state.scaler.scale(loss))
                calls += 1
                for follower in followers:
                    follower.on_call_end(state.epoch, calls, expected)
            self._move(state)
            if trimmer is not None:
                trimmer.after_step()
        if not calls:
            raise InputError("there is no batch to train on: the source of batches is empty")
        return {name: value / calls for name, value in sums.items()}

    def _steps(self, system: System, data: Data | HasBatches, epoch: int) -> Iterator[Sequence[Any]]:
        """What each optimiser step of an epoch is made from; the system prepares itself before the first."""
        if isinstance(system, HasEpochStart):
            with _astray_after(epoch):
                system.on_epoch_start(epoch, data)
        if not isinstance(data, HasBatches):
            yield [data] * self.config.accumulate
            return
        batches = iter(data.batches(epoch))
        while step := list(islice(batches, self.config.accumulate)):
            yield step

    def _set_rate(self, data: Data | HasBatches, state: TrainState, step: int) -> None:
        config = self.config
        if config.schedule == "constant" and not config.warmup_epochs:
            return
        steps = math.ceil(_batches_an_epoch(data) / config.accumulate)
        moment = state.epoch + min(step / steps, 1.0) if steps else state.epoch
        factor = rate_factor(moment, config.epochs, warmup_epochs=config.warmup_epochs, schedule=config.schedule)
        for group in state.optimizer.param_groups:
            group["lr"] = config.lr * factor

    def _step(self, system: System, batch: Any, epoch: int) -> dict[str, Tensor]:
        with _astray_after(epoch), self._autocast(system):
            return system.training_step(batch)

    def _autocast(self, system: System) -> AbstractContextManager[object]:
        if self.config.precision == "fp32":
            return nullcontext()
        dtype = torch.bfloat16 if self.config.precision == "bf16" else torch.float16
        return torch.autocast(next(system.parameters()).device.type, dtype=dtype)

    def _move(self, state: TrainState) -> None:
        if self.config.clip_norm is not None:
            if state.scaler is not None:
                state.scaler.unscale_(state.optimizer)
            parameters = [parameter for group in state.optimizer.param_groups for parameter in group["params"]]
            torch.nn.utils.clip_grad_norm_(parameters, self.config.clip_norm)
        if state.scaler is None:
            state.optimizer.step()
        else:  # leaves out a step whose gradients overflowed, and lowers the scale
            state.scaler.step(state.optimizer)
            state.scaler.update()

    def _end(self, system: System, data: Data | HasBatches, state: TrainState) -> None:
        if isinstance(system, HasFitEnd):
            began = time.perf_counter()
            try:
                system.on_fit_end(data)
            except InputError as error:
                raise _astray(state.epoch - 1, error) from error
            state.seconds += time.perf_counter() - began
        state.ended = True
        if self.checkpoint is not None:
            self.checkpoint.after_end(system, state, self.observers)


def _batches_an_epoch(data: Data | HasBatches) -> int:
    """How many batches an epoch will bring, or 0 where nobody says."""
    if not isinstance(data, HasBatches):
        return 0
    if isinstance(data, HasSteps):
        return data.steps
    return len(data) if isinstance(data, Sized) and not isinstance(data, Data) else 0


def _finite_values(epoch: int, terms: Mapping[str, Tensor]) -> dict[str, float]:
    values = {name: float(term.detach()) for name, term in terms.items()}
    bad = sorted((name for name, value in values.items() if not math.isfinite(value)), key=lambda name: name == "loss")
    if bad:  # the parts before the sum: they say where it went wrong
        raise NonFiniteLossError(f"epoch {epoch}: the term '{bad[0]}' is {values[bad[0]]}; {REMEDY}")
    return values


@contextmanager
def _astray_after(epoch: int) -> Iterator[None]:
    """What the first epoch accepted is not the caller's mistake later: the weights have diverged."""
    try:
        yield
    except InputError as error:
        if epoch == 0:
            raise
        raise _astray(epoch, error) from error


def _astray(epoch: int, error: InputError) -> NonFiniteLossError:
    return NonFiniteLossError(f"epoch {epoch}: {error}; {REMEDY}")
