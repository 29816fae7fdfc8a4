"""Where the rows of a batch lie when they are sorted by length, longest first, without padding between them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor


class Bucket(NamedTuple):
    """Rows of similar length, the only place where something is padded: to the right, to the longest of them.

    Padding reads any real position of the bucket. In a causal pass no real position looks at it.

    Args:
        rows: Of the layout.
        positions: Of these rows in the flat order.
        width: Longest row ``T``.
        padded: Position, counted from the bucket's first, that each cell of the ``(b, T)`` block reads.
        real: Cell of the block that holds each position.

    Shapes:
        padded: ``(b T,)``; real: ``(e,)`` for ``e`` positions in ``b`` rows.
    """

    rows: slice
    positions: slice
    width: int
    padded: Tensor
    real: Tensor


@dataclass(frozen=True, eq=False)
class Layout:
    """The rows of a batch that have an item, longest first, one after the other.

    Time and memory ``O(E)`` besides the sort of ``B`` lengths. A bucket holds lengths ``T / 2 < n <= T``, so a block has fewer
    than two cells a position, and there are at most ``log2`` of the longest length plus one.

    Args:
        order: Row of the batch at each place.
        where: Position of the batch at each place of the flat order.
        lengths: Of the rows, falling.
        starts: Flat position of each row's oldest item.
        step: Place of each position in its row, from 0.
        buckets: In order of the rows.

    Shapes:
        order, lengths, starts: ``(R,)``; where, step: ``(E,)``.
    """

    order: Tensor
    where: Tensor
    lengths: Tensor
    starts: Tensor
    step: Tensor
    buckets: tuple[Bucket, ...]

    @staticmethod
    def of(indptr: Tensor) -> Layout:
        """The layout of jagged rows.

        Shapes:
            indptr: ``(B + 1,)``.
        """
        lengths, order = indptr.diff().sort(descending=True, stable=True)
        filled = int((lengths > 0).sum())
        lengths, order = lengths[:filled], order[:filled]
        starts = lengths.cumsum(0) - lengths
        total = int(lengths.sum())
        place = torch.arange(total, device=indptr.device)
        step = place - torch.repeat_interleave(starts, lengths, output_size=total)
        where = torch.repeat_interleave(indptr.index_select(0, order), lengths, output_size=total) + step
        return Layout(order, where, lengths, starts, step, tuple(_buckets(lengths, starts, step)))

    @property
    def last(self) -> Tensor:
        """Flat position of each row's newest item.

        Shapes:
            returns: ``(R,)``.
        """
        return self.starts + self.lengths - 1

    @property
    def from_end(self) -> Tensor:
        """How many items of its row come after each position.

        Shapes:
            returns: ``(E,)``.
        """
        return torch.repeat_interleave(self.lengths, self.lengths, output_size=len(self.step)) - 1 - self.step

    def back(self) -> Tensor:
        """Flat place of each position of the batch: the inverse of ``where``.

        Shapes:
            returns: ``(E,)``.
        """
        inverse = torch.empty_like(self.where)
        return inverse.scatter_(0, self.where, torch.arange(len(self.where), device=self.where.device))


def _buckets(lengths: Tensor, starts: Tensor, step: Tensor) -> list[Bucket]:
    sizes, begins = lengths.tolist(), [*starts.tolist(), len(step)]
    found: list[Bucket] = []
    first = 0
    while first < len(sizes):
        width = sizes[first]
        after = first + int((lengths[first:] > width // 2).sum())
        low, high = begins[first], begins[after]
        local = starts[first:after] - low
        cells = local[:, None] + torch.arange(width, device=step.device)
        row = torch.repeat_interleave(
            torch.arange(after - first, device=step.device), lengths[first:after], output_size=high - low
        )
        found.append(
            Bucket(
                slice(first, after),
                slice(low, high),
                width,
                cells.clamp_(max=high - low - 1).view(-1),
                row * width + step[low:high],
            )
        )
        first = after
    return found
