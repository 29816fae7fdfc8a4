"""An epoch of sequences, in either of the two styles of the literature."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple, TypeAlias, get_args

import numpy as np
import torch
from torch import Tensor

from graphcl.errors import InputError, unknown_name
from graphcl.recsys.sampling.draws import shuffled
from graphcl.recsys.sequences.jagged import Jagged
from graphcl.recsys.sequences.prefix_rows import PrefixRows
from graphcl.recsys.sequences.sequences import Sequences

Style: TypeAlias = Literal["shifted", "prefix"]


class PrefixBatch(NamedTuple):
    """Histories and what came next, one target a row.

    Shapes:
        rows: ``(B,)``, numbers in `PrefixRows`; history: ``B`` rows; target: ``(B,)``.
    """

    rows: Tensor
    history: Jagged
    target: Tensor


class ShiftedBatch(NamedTuple):
    """Histories and, at each of their places, what came next.

    Shapes:
        history: ``B`` rows of ``E`` items in all; target: ``(E,)``, aligned with ``history.values``.
    """

    history: Jagged
    target: Tensor


class SequenceBatches:
    """Batches of training sequences, drawn in a new order each epoch.

    ``"shifted"`` has a row for each user of two events or more: all but the last event, at most ``max_length`` newest, with a
    target at every place (SASRec); older targets are never seen. ``"prefix"`` has a row for every event but the first of its
    user (RecBole): as many targets and more, each with a pass of its own, so an epoch of one is no epoch of the other. Time
    ``O(B + E)`` a batch.

    Args:
        data: Training sequences, or the `PrefixRows` made of them, whose ``max_length`` then counts.
        style: ``"shifted"`` or ``"prefix"``.
        batch_size: Rows a batch, ``>= 1``; the last of an epoch may be shorter.
        max_length: Of a history, ``>= 1``.
        device: Where the batches go; the CPU when ``None``.
        generator: Of the orders, on the CPU; torch's own when ``None``.

    Attributes:
        rows: The prefix rows; ``None`` for ``"shifted"``.

    Raises:
        InputError: A number below 1, an unknown style, or no user with two events.
    """

    def __init__(
        self,
        data: Sequences | PrefixRows,
        style: Style,
        batch_size: int,
        *,
        max_length: int = 50,
        device: torch.device | str | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        if style not in get_args(Style):
            raise unknown_name("style of training rows", style, get_args(Style))
        for name, value in (("batch_size", batch_size), ("max_length", max_length)):
            if value < 1:
                raise InputError(f"{name} must be 1 or more; got {value}")
        sequences = data.sequences if isinstance(data, PrefixRows) else data
        self.style, self.batch_size = style, batch_size
        self.max_length = data.max_length if isinstance(data, PrefixRows) else max_length
        self.device, self.generator = torch.device("cpu" if device is None else device), generator
        self.rows: PrefixRows | None = None
        if style == "prefix":
            self.rows = data if isinstance(data, PrefixRows) else PrefixRows(data, max_length)
            self.num_rows = self.rows.num_rows
            return
        users = np.flatnonzero(sequences.lengths > 1)
        if users.size == 0:
            raise InputError(
                f"expected users with at least 2 training events, the longest has {sequences.lengths.max(initial=0)}"
            )
        self._source, self._users, self.num_rows = sequences.jagged(), torch.from_numpy(users), users.size

    def __len__(self) -> int:
        return -(-self.num_rows // self.batch_size)

    def batches(self, epoch: int) -> Iterator[PrefixBatch | ShiftedBatch]:
        """The batches of an epoch. They follow from the state of the generator when the first one is asked for.

        Args:
            epoch: Its number; not used, since the generator moves on from epoch to epoch.
        """
        order = shuffled(self.num_rows, self.num_rows, self.generator).long()
        for chosen in torch.split(order, self.batch_size):
            yield self._shifted(chosen) if self.rows is None else self._prefix(self.rows, chosen)

    def _prefix(self, rows: PrefixRows, chosen: Tensor) -> PrefixBatch:
        target = rows.target.index_select(0, chosen).to(self.device)
        return PrefixBatch(chosen.to(self.device), rows.history(chosen).to(self.device), target)

    def _shifted(self, chosen: Tensor) -> ShiftedBatch:
        users = self._users.index_select(0, chosen)
        end = self._source.indptr.index_select(0, users + 1) - 1
        start = torch.maximum(self._source.indptr.index_select(0, users), end - self.max_length)
        history = self._source.spans(start, end - start)
        target = self._source.spans(start + 1, end - start).values
        return ShiftedBatch(history.to(self.device), target.to(self.device))
