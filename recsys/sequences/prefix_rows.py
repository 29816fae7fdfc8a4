"""Training rows out of sequences: what came before, and what came next."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from graphcl.errors import InputError
from graphcl.recsys.sampling.draws import below
from graphcl.recsys.sequences.jagged import Jagged
from graphcl.recsys.sequences.sequences import Sequences


class PrefixRows:
    """A row for every event but the first of its user: up to ``max_length`` items before it, and the event as target.

    Rows are in the order of events: by user, oldest target first. Histories are cut out of the sequences when asked for, so
    that none is stored. Time ``O(R log R)``, memory 40 bytes a row and 8 an event. The dynamic segments of ICSRec (Qin
    et al., 2024, https://arxiv.org/abs/2310.14318) and the augmented rows of RecBole are these, found without their loops.

    Args:
        sequences: Of training alone: nothing else gets into a row.
        max_length: Of a history, ``>= 1``.

    Attributes:
        user: Of each row.
        target: Item that came next.

    Shapes:
        user, target: ``(R,)`` int64.

    Raises:
        InputError: A length below 1, or no user with two events.
    """

    def __init__(self, sequences: Sequences, max_length: int) -> None:
        if max_length < 1:
            raise InputError(f"max_length must be 1 or more; got {max_length}")
        self.sequences, self.max_length = sequences, max_length
        first = np.zeros(sequences.num_events, dtype=np.bool_)
        first[sequences.indptr[:-1][sequences.lengths > 0]] = True
        place = np.flatnonzero(~first)
        if place.size == 0:
            raise InputError(
                f"expected users with at least 2 training events, the longest has {sequences.lengths.max(initial=0)}"
            )
        user = np.repeat(np.arange(sequences.num_users), np.maximum(sequences.lengths - 1, 0))
        self._source = sequences.jagged()
        self._place = torch.from_numpy(place)
        self.user = torch.from_numpy(user)
        self.target = self._source.values.index_select(0, self._place)
        # Rows by target, and each row's place among those of its target.
        self._by_target = torch.argsort(self.target, stable=True)
        self._counts = torch.bincount(self.target, minlength=sequences.num_items)
        self._starts = self._counts.cumsum(0) - self._counts
        self._rank = torch.empty_like(self.target)
        ordered = self.target.index_select(0, self._by_target)
        self._rank[self._by_target] = torch.arange(len(ordered)) - self._starts.index_select(0, ordered)

    @property
    def num_rows(self) -> int:
        """Number of rows."""
        return len(self.target)

    def history(self, rows: Tensor) -> Jagged:
        """The items before the target, oldest first, at least one; on the device of ``rows``.

        Shapes:
            rows: ``(B,)``; returns: ``B`` rows.

        Raises:
            InputError: A number that is no row.
        """
        numbers = self._numbers(rows)
        end = self._place.index_select(0, numbers)
        start = self._source.indptr.index_select(0, self.user.index_select(0, numbers))
        start = torch.maximum(start, end - self.max_length)
        return self._source.spans(start, end - start).to(rows.device)

    def same_target(self, rows: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Another row with the same target, each as likely as the next; the row itself where it has the only one.

        Args:
            rows: Whose.
            generator: Source of random numbers, on the CPU; torch's own when ``None``.

        Shapes:
            rows: ``(B,)``; returns: ``(B,)``, on the device of ``rows``.

        Raises:
            InputError: A number that is no row.
        """
        numbers = self._numbers(rows)
        target = self.target.index_select(0, numbers)
        count, own = self._counts.index_select(0, target), self._rank.index_select(0, numbers)
        drawn = below((count - 1).clamp(min=1), generator)
        drawn = torch.where(count > 1, drawn + (drawn >= own), own)
        return self._by_target.index_select(0, self._starts.index_select(0, target) + drawn).to(rows.device)

    def _numbers(self, rows: Tensor) -> Tensor:
        numbers = rows.cpu()
        if numbers.numel() and (int(numbers.min()) < 0 or int(numbers.max()) >= self.num_rows):
            raise InputError(f"rows must lie in [0, {self.num_rows}); got {int(numbers.min())} to {int(numbers.max())}")
        return numbers
