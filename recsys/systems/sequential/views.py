"""Views of a batch of histories and their states: drawn together, encoded together, pooled."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from graphcl.errors import InputError
from graphcl.kernels import segment_sum
from graphcl.recsys.sequences import Jagged, PrefixBatch, PrefixRows, ShiftedBatch
from graphcl.recsys.sequences.augment import crop, mask, reorder, two_views
from graphcl.recsys.systems.sequential.system import EVENTS, SequenceSystem

ROWS = 4096  # prefixes cut out of the sequences at a time


@dataclass(frozen=True)
class HistoryViews:
    """Two views of each history, by two different ones of cropping, masking and reordering.

    Args:
        crop: Share of neighbours that is kept.
        mask: Share of items that is hidden.
        reorder: Share of neighbours that is shuffled.
        mask_id: What hidden items become.

    Raises:
        InputError: A share out of range.
    """

    crop: float
    mask: float
    reorder: float
    mask_id: int

    def __post_init__(self) -> None:
        for name, share in (("crop", self.crop), ("mask", self.mask), ("reorder", self.reorder)):
            if not 0 < share <= 1:
                raise InputError(f"{name} must lie in (0, 1], a share of a history; got {share}")

    def __call__(self, history: Jagged) -> tuple[Jagged, Jagged]:
        """The views, out of torch's own generator."""
        operators = (
            lambda rows, generator: crop(rows, self.crop, generator),
            lambda rows, generator: mask(rows, self.mask, self.mask_id, generator),
            lambda rows, generator: reorder(rows, self.reorder, generator),
        )
        return two_views(history, operators)


def joined(histories: tuple[Jagged, ...]) -> Jagged:
    """The rows of all, one after another."""
    lengths = torch.cat([history.lengths for history in histories])
    return Jagged.from_lengths(torch.cat([history.values for history in histories]), lengths)


def last_states(system: SequenceSystem, *histories: Jagged) -> tuple[Tensor, ...]:
    """The state after each history of several sets, in one pass: rows of like lengths meet whichever set they are of.

    Shapes:
        returns: ``(B, D)`` for each set.
    """
    states: Tensor = system.encoder.last_states(joined(histories))
    return tuple(torch.split(states, [history.num_rows for history in histories]))


def states_beside(system: SequenceSystem, batch: PrefixBatch | ShiftedBatch, *histories: Jagged) -> tuple[Tensor, ...]:
    """The states that a batch has targets for, and the last ones of other histories.

    Shapes:
        returns: ``(P, D)`` beside ``batch.target (P,)``, and ``(B, D)`` for each of the others.
    """
    if isinstance(batch, PrefixBatch):
        return last_states(system, batch.history, *histories)
    return system.batch_states(batch), *(last_states(system, *histories) if histories else ())


def row_targets(batch: PrefixBatch | ShiftedBatch) -> Tensor:
    """What each row leads to, the last of its targets where it has several.

    Shapes:
        returns: ``(B,)``.
    """
    return batch.target if isinstance(batch, PrefixBatch) else batch.target.index_select(0, batch.history.indptr[1:] - 1)


def mean_states(states: Tensor, history: Jagged) -> Tensor:
    """The mean of the states of each row.

    Shapes:
        states: ``(E, D)``; returns: ``(B, D)``.
    """
    history = history.to(states.device)
    return segment_sum(states, history.rows, history.num_rows) / history.lengths.clamp(min=1)[:, None]


def flat_states(states: Tensor, history: Jagged, length: int) -> Tensor:
    """All states of a row as one vector, the newest at its end; zeros where there is none.

    Shapes:
        states: ``(E, D)``; returns: ``(B, length D)``.
    """
    history = history.to(states.device)
    ends = length - history.lengths.index_select(0, history.rows)
    place = history.rows * length + ends + history.positions
    return states.new_zeros(history.num_rows * length, states.shape[1]).index_copy(0, place, states).view(history.num_rows, -1)


@contextmanager
def at_rest(module: nn.Module) -> Iterator[None]:
    """A block in evaluation mode, without gradients."""
    training = module.training
    module.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        module.train(training)


def prefix_states(system: SequenceSystem, rows: PrefixRows) -> Tensor:
    """The state of every prefix, in evaluation mode and without gradients.

    Where positions count from the start, one pass over a user gives those of all prefixes of up to ``max_length`` items; longer
    ones are encoded one by one. Memory ``O(R D)``.

    Shapes:
        returns: ``(R, D)``, in the order of the rows.
    """
    numbers = torch.arange(rows.num_rows)
    if getattr(system.encoder, "positions", "start") != "start":
        return _one_by_one(system, rows, numbers)
    sequences, most = rows.sequences.jagged(), rows.max_length
    inputs = (sequences.lengths - 1).clamp(min=0)
    heads = sequences.spans(sequences.indptr[:-1], inputs.clamp(max=most))
    with at_rest(system):
        parts = [system.encoder.all_states(part) for part in heads.chunks(EVENTS)]
    found = torch.cat(parts)
    # Rows of a user come in order of length, and so do the states of one pass.
    whole = torch.repeat_interleave(inputs.cumsum(0) - inputs, inputs)
    short = numbers - whole < most
    states = found.new_empty(rows.num_rows, found.shape[1])
    states[short.to(found.device)] = found
    if not bool(short.all()):
        states[~short.to(found.device)] = _one_by_one(system, rows, numbers[~short])
    return states


def _one_by_one(system: SequenceSystem, rows: PrefixRows, numbers: Tensor) -> Tensor:
    return torch.cat([system.encode(rows.history(part)) for part in torch.split(numbers, ROWS)])


def false_negative_share(target: Tensor) -> Tensor:
    """Share of the pairs of a batch that have the same target.

    Shapes:
        target: ``(B,)``; returns: scalar.
    """
    counts = torch.unique(target, return_counts=True)[1].double()
    share: Tensor = (counts * (counts - 1)).sum() / max(1, len(target) * (len(target) - 1))
    return share
