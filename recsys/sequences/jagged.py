"""Rows of different lengths, one after another, without padding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Self

import torch
from torch import Tensor

from graphcl.errors import InputError


class Jagged(NamedTuple):
    """Row ``r`` is ``values[indptr[r] : indptr[r + 1]]``; it may be empty. No method touches its input.

    Methods take time and memory ``O(B + E)`` of what they return.

    Args:
        values: The rows, one after another.
        indptr: Where each starts and ends.

    Shapes:
        values: ``(E,)`` int64; indptr: ``(B + 1,)`` int64.
    """

    values: Tensor
    indptr: Tensor

    @classmethod
    def of(cls, rows: Sequence[Sequence[int]]) -> Jagged:
        """The rows of lists."""
        lengths = torch.tensor([len(row) for row in rows], dtype=torch.int64)
        return cls.from_lengths(torch.tensor([value for row in rows for value in row], dtype=torch.int64), lengths)

    @classmethod
    def from_lengths(cls, values: Tensor, lengths: Tensor) -> Jagged:
        """The rows of the given lengths.

        Shapes:
            values: ``(E,)``; lengths: ``(B,)``.
        """
        return cls(values, torch.nn.functional.pad(lengths.cumsum(0), (1, 0)))

    @property
    def num_rows(self) -> int:
        """Number of rows. ``len`` is that of a tuple of two."""
        return len(self.indptr) - 1

    @property
    def lengths(self) -> Tensor:
        """Length of each row.

        Shapes:
            returns: ``(B,)``.
        """
        return self.indptr.diff()

    @property
    def rows(self) -> Tensor:
        """The row of each value.

        Shapes:
            returns: ``(E,)``.
        """
        numbers = torch.arange(self.num_rows, device=self.values.device)
        return numbers.repeat_interleave(self.lengths, output_size=len(self.values))

    @property
    def positions(self) -> Tensor:
        """The place of each value in its row, from 0 for the oldest.

        Shapes:
            returns: ``(E,)``.
        """
        return torch.arange(len(self.values), device=self.values.device) - self.indptr.index_select(0, self.rows)

    def take(self, rows: Tensor) -> Jagged:
        """Some of the rows, in the order asked for, repeated where asked for twice.

        Shapes:
            rows: ``(N,)`` int64; returns: ``N`` rows.

        Raises:
            InputError: A number that is no row.
        """
        if rows.numel() and (int(rows.min()) < 0 or int(rows.max()) >= self.num_rows):
            raise InputError(f"rows must lie in [0, {self.num_rows}); got {int(rows.min())} to {int(rows.max())}")
        return self.spans(self.indptr.index_select(0, rows), self.lengths.index_select(0, rows))

    def last(self, number: int) -> Jagged:
        """The newest ``number`` values of each row.

        Raises:
            InputError: A negative number.
        """
        if number < 0:
            raise InputError(f"the newest values to keep must be 0 or more; got {number}")
        kept = self.lengths.clamp(max=number)
        return self.spans(self.indptr[1:] - kept, kept)

    def spans(self, starts: Tensor, lengths: Tensor) -> Jagged:
        """Runs of ``values`` as rows: ``values[starts[n] : starts[n] + lengths[n]]``.

        Shapes:
            starts, lengths: ``(N,)`` int64; returns: ``N`` rows.
        """
        indptr = torch.nn.functional.pad(lengths.cumsum(0), (1, 0))
        total = int(indptr[-1])
        shift = (starts - indptr[:-1]).repeat_interleave(lengths, output_size=total)
        return Jagged(self.values.index_select(0, torch.arange(total, device=shift.device) + shift), indptr)

    def chunks(self, values: int) -> list[Jagged]:
        """The rows a few at a time, in their order, without a copy: about so many values each, however long the rows are.

        A chunk has at most ``values`` values besides those of its first row.

        Raises:
            InputError: A number below 1.
        """
        if values < 1:
            raise InputError(f"the values of a chunk must be 1 or more; got {values}")
        group = (self.indptr[1:] - 1).clamp(min=0) // values
        ends = torch.unique_consecutive(group, return_counts=True)[1].cumsum(0).tolist()
        places = self.indptr.tolist()
        return [
            Jagged(self.values[places[start] : places[end]], self.indptr[start : end + 1] - places[start])
            for start, end in zip([0, *ends], ends, strict=False)
        ]

    def to(self, device: torch.device | str) -> Self:
        """The same on a device."""
        return self._replace(values=self.values.to(device), indptr=self.indptr.to(device))
