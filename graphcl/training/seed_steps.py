"""A system that embeds nodes, trained on batches: what a step says is of the seeds, what surrounds them is context."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import Tensor, nn
from torch_geometric.data import Data

from graphcl.training.system import HasEpochStart, HasFitEnd, System

ENCODERS = ("encoder", "target")  # where systems keep what makes rows of nodes


class SeedSteps:
    """Makes a system's step on a batch what its step on a graph is: a step about the nodes, here the batch's seeds.

    Only the seeds' rows leave the encoder, so that the nodes around them, whose own neighbours are missing, are seen and not
    contrasted. Where a system prepares something before an epoch of one step, clusters for its negatives or a target that
    moves, it does so before every batch, of that batch, with the number of the step for an epoch. Everything else is the
    system's own.

    Args:
        system: Embeds with a module called ``encoder``, and may have a ``target`` beside it.
        steps: Batches of an epoch, so that a run that goes on counts on.
    """

    def __init__(self, system: System, steps: int) -> None:
        self.system, self.steps = system, steps
        self._step = 0

    def on_epoch_start(self, epoch: int, data: Any) -> None:
        """Counts the steps that are behind; the system waits for the first batch."""
        self._step = epoch * self.steps

    def training_step(self, batch: Data) -> dict[str, Tensor]:
        """The system's step, about the first ``batch_size`` nodes of the batch."""
        with self._seeds_alone(batch.batch_size):
            if isinstance(self.system, HasEpochStart):
                self.system.on_epoch_start(self._step, batch)
            self._step += 1
            return self.system.training_step(batch)

    def on_fit_end(self, data: Any) -> None:
        """The system's own end, if it has one."""
        if isinstance(self.system, HasFitEnd):
            self.system.on_fit_end(data)

    def parameters(self) -> Iterator[nn.Parameter]:
        """The system's."""
        return self.system.parameters()

    def train(self) -> object:
        """The system's."""
        return self.system.train()

    def eval(self) -> object:
        """The system's."""
        return self.system.eval()

    def state_dict(self) -> dict[str, Any]:
        """The system's: the number of the step follows from the epoch."""
        return self.system.state_dict()

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> object:
        """The system's."""
        return self.system.load_state_dict(state_dict)

    @contextmanager
    def _seeds_alone(self, count: int) -> Iterator[None]:
        def first(_module: nn.Module, _inputs: Any, rows: Tensor) -> Tensor:
            return rows.narrow(0, 0, count)

        modules = [getattr(self.system, name, None) for name in ENCODERS]
        with ExitStack() as stack:
            for module in modules:
                if isinstance(module, nn.Module):
                    stack.enter_context(module.register_forward_hook(first))
            yield
