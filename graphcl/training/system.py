"""What the loop asks of a system, and what a clustering task asks besides."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Protocol, runtime_checkable

from torch import Tensor, nn
from torch_geometric.data import Data


class System(Protocol):
    """A module that can be trained. Hooks are optional: see `HasEpochStart` and `HasFitEnd`."""

    def parameters(self) -> Iterator[nn.Parameter]:
        """What the optimiser moves, as `torch.nn.Module` gives it."""
        ...

    def train(self) -> object:
        """Training mode, as `torch.nn.Module` has it."""
        ...

    def eval(self) -> object:
        """Evaluation mode, as `torch.nn.Module` has it."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Everything it has to remember from step to step, as `torch.nn.Module` has it."""
        ...

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> object:
        """Takes back what ``state_dict`` gave, as `torch.nn.Module` has it."""
        ...

    def training_step(self, batch: Any) -> dict[str, Tensor]:
        """Named terms of the graph, or of a batch; ``"loss"`` is optimised, the rest is logged."""
        ...


@runtime_checkable
class HasEpochStart(Protocol):
    """A system that prepares something before an epoch."""

    def on_epoch_start(self, epoch: int, data: Any) -> None:
        """Called before the epoch's first step, epochs counted from 0."""
        ...


@runtime_checkable
class HasFitEnd(Protocol):
    """A system that finishes something after the last epoch."""

    def on_fit_end(self, data: Any) -> None:
        """Called once, after the last epoch, in evaluation mode."""
        ...


@runtime_checkable
class ClusteringSystem(System, Protocol):
    """A system that embeds and assigns nodes.

    Shapes:
        embed: ``(N, D)``; assign: ``(N, D)`` to ``(N, K)``, rows that sum to 1, or ``None`` before there are clusters.
    """

    def embed(self, data: Data) -> Tensor:
        """Embeddings, without gradients."""
        ...

    def assign(self, z: Tensor) -> Tensor | None:
        """Soft assignment of embeddings, without gradients."""
        ...


@runtime_checkable
class HasLateParts(Protocol):
    """A system whose parts do not all take part from the first epoch on, so that too short a run can be told of."""

    @property
    def late_parts(self) -> Mapping[str, int]:
        """Setting to the epoch, counted from 0, from which what it delays takes part."""
        ...


@runtime_checkable
class HasMemoryEstimate(Protocol):
    """A system that knows what memory its training will take, so that a run that cannot fit is not started."""

    def memory_estimate(self, num_nodes: int, num_edges: int, num_values: int) -> int:
        """Bytes at the peak, besides the graph itself.

        Args:
            num_nodes: ``N``.
            num_edges: ``E``, both directions.
            num_values: Feature values that are stored: ``N * F`` where they are dense.
        """
        ...

    def memory_remedy(self, num_nodes: int, num_edges: int, num_values: int, available: int) -> str | None:
        """A setting, as ``--set`` takes it, under which training fits into that many bytes; ``None`` if none does."""
        ...
