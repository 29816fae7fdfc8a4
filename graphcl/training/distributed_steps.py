"""What each rank does of a step: its rows of the batch that all of them draw, or all of it with the work inside shared."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping, Sized
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from graphcl.errors import InputError
from graphcl.kernels.ranks import Ranks, rank_mean
from graphcl.training.system import HasEpochStart, HasFitEnd, System
from graphcl.training.trainer import HasBatches, HasSteps


@dataclass(frozen=True)
class Share:
    """A rank's part of a batch.

    Args:
        batch: What the system is given; never empty.
        weight: How many of the terms that the loss is a mean of are in it; 0 where a rank only keeps step with the others.
    """

    batch: Any
    weight: float


Cut = Callable[[Any, Ranks], Share]


def cut_rows(batch: Any, ranks: Ranks) -> Share:
    """The rank's rows of a tuple of tensors that all have one row for each term of the loss.

    A rank that is left without a row gets the first one, with weight 0.

    Raises:
        InputError: A batch of another kind: give `ShareOfBatches` a ``cut`` that knows it.
    """
    parts = tuple(batch) if isinstance(batch, tuple) else ()
    if not parts or not all(isinstance(part, Tensor) and part.ndim and len(part) == len(parts[0]) for part in parts):
        raise InputError(
            f"a {type(batch).__name__} is no tuple of tensors with one row each for a sample, so it cannot be cut by rows: "
            "tell ShareOfBatches how, by cut="
        )
    start, length = ranks.share(len(parts[0]))
    rows = [part.narrow(0, start if length else 0, max(length, 1)) for part in parts]
    kind = type(batch)
    return Share(kind._make(rows) if hasattr(kind, "_make") else kind(rows), float(length))


class ShareOfBatches:
    """The batches of a source, of each the part of this rank.

    Every rank draws every batch, from the same random numbers, so that the ranks together see what one process would.

    Args:
        source: Draws the same batches on every rank.
        ranks: All of them.
        cut: Gives a rank its part of a batch.
    """

    def __init__(self, source: HasBatches, ranks: Ranks, cut: Cut = cut_rows) -> None:
        self.source, self.ranks, self.cut = source, ranks, cut

    @property
    def steps(self) -> int:
        """Batches of an epoch, or 0 where the source does not say."""
        if isinstance(self.source, HasSteps):
            return self.source.steps
        return len(self.source) if isinstance(self.source, Sized) else 0

    def batches(self, epoch: int) -> Iterator[Share]:
        """This rank's parts, one after the other."""
        return (self.cut(batch, self.ranks) for batch in self.source.batches(epoch))


class RankSteps:
    """Makes a system's step one that all ranks do together: the terms are those of the whole batch, on every rank.

    Given a `Share`, the loss is a mean over the terms in it, and what is optimised the mean over all: each rank weighs by how
    many it has. What a system makes alike on all ranks, of everything, stays what it is under these weights. Given anything
    else, every rank does the whole step, and what it does inside is shared by ``sharing``, or not at all.

    Random numbers inside a step are the same on all ranks, for systems that draw for the whole graph. Where they are drawn for
    the rows of the share, dropout for example, ``own_draws`` gives every rank its own; one process draws others still, and
    where nothing is drawn the same numbers come out.

    Args:
        system: The same on every rank.
        ranks: All of them.
        own_draws: Whether each rank draws for itself inside a step.
        sharing: Enters, for the time of a step, what shares its work out; see `graphcl.tasks`.
    """

    def __init__(
        self,
        system: System,
        ranks: Ranks,
        *,
        own_draws: bool = False,
        sharing: Callable[[ExitStack], object] = lambda stack: None,
    ) -> None:
        self.system, self.ranks, self.own_draws, self.sharing = system, ranks, own_draws, sharing
        self._seed = self._step = 0

    def on_epoch_start(self, epoch: int, data: Any) -> None:
        """The system's own, done by every rank alike; draws of a rank's own begin anew."""
        self._seed, self._step = zlib.crc32(torch.get_rng_state().numpy().data), 0
        if isinstance(self.system, HasEpochStart):
            self.system.on_epoch_start(epoch, data.source if isinstance(data, ShareOfBatches) else data)

    def training_step(self, batch: Any) -> dict[str, Tensor]:
        """The terms of the whole batch; backwards the loss is this rank's part of it."""
        share = batch if isinstance(batch, Share) else Share(batch, 1.0)
        with ExitStack() as stack:
            if self.own_draws:
                self._draw_apart(stack)
            # What is shared out in the forward pass is shared out by the functions that run in the backward pass.
            self.sharing(stack)
            terms = self.system.training_step(share.batch)
        if "loss" not in terms:
            raise InputError(f"training_step must give a 'loss'; it gave {', '.join(terms) or 'nothing'}")
        others = {name: term.detach() for name, term in terms.items() if name != "loss"}
        loss = rank_mean(terms["loss"], share.weight, self.ranks)
        return {"loss": loss, **self._means(others, share.weight)}

    def on_fit_end(self, data: Any) -> None:
        """The system's own, done by every rank alike."""
        if isinstance(self.system, HasFitEnd):
            self.system.on_fit_end(data.source if isinstance(data, ShareOfBatches) else data)

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
        """The system's."""
        return self.system.state_dict()

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> object:
        """The system's."""
        return self.system.load_state_dict(state_dict)

    def _means(self, terms: Mapping[str, Tensor], weight: float) -> dict[str, Tensor]:
        if not terms:
            return {}
        rows = torch.stack([term.double() for term in terms.values()])
        both = torch.cat([rows * weight, rows.new_tensor([weight])])
        dist.all_reduce(both, group=self.ranks.group)
        return {name: both[at] / both[-1] for at, name in enumerate(terms)}

    def _draw_apart(self, stack: ExitStack) -> None:
        """A generator of this rank's own for the step; afterwards that of all goes on as if there had been no step.

        Its seed follows from where that of all stood before the epoch, so a run that goes on draws the same.
        """
        device = next(self.system.parameters()).device
        stack.enter_context(torch.random.fork_rng([device] if device.type == "cuda" else []))
        torch.manual_seed((self._seed << 31) + self._step * self.ranks.size + self.ranks.rank)
        self._step += 1
