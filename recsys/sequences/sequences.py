"""What each user did, in order: repeats kept, ids on both sides."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray

from graphcl.datasets.provenance import hash_arrays
from graphcl.errors import InputError
from graphcl.recsys.data.events import Events
from graphcl.recsys.data.id_map import IdMap
from graphcl.recsys.data.interactions import Interactions
from graphcl.recsys.ranking.rows import fingerprint
from graphcl.recsys.sequences.jagged import Jagged


@dataclass(frozen=True, eq=False)
class Sequences:
    """The items of each user, oldest first; a user without any has an empty row. Memory: 4 bytes an event, 8 more for times.

    Args:
        users: Ids of the rows.
        items: Ids of the items.
        values: Item numbers.
        indptr: Where each user's row starts and ends.
        times: When, one an event, never falling within a row.

    Shapes:
        values: ``(E,)`` int32; indptr: ``(U + 1,)`` int64; times: ``(E,)`` int64.

    Raises:
        InputError: The arrays do not fit together, or a row goes back in time.
    """

    users: IdMap
    items: IdMap
    values: NDArray[np.int32]
    indptr: NDArray[np.int64]
    times: NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        values, indptr, times = self.values, self.indptr, self.times
        if values.dtype != np.int32 or values.ndim != 1:
            raise InputError(f"expected values as int32 of shape (E,), got {values.dtype} of shape {values.shape}")
        if indptr.dtype != np.int64 or indptr.shape != (len(self.users) + 1,):
            raise InputError(
                f"expected indptr as int64 of shape ({len(self.users) + 1},), one row a user, "
                f"got {indptr.dtype} of shape {indptr.shape}"
            )
        if indptr[0] != 0 or indptr[-1] != values.size or (np.diff(indptr) < 0).any():
            raise InputError(f"expected indptr to climb from 0 to {values.size}, got {indptr[0]} to {indptr[-1]}")
        if values.size and (values.min() < 0 or values.max() >= len(self.items)):
            raise InputError(f"expected item numbers from 0 to {len(self.items) - 1}, got {values.min()} to {values.max()}")
        if times is None:
            return
        if times.dtype != np.int64 or times.shape != values.shape:
            raise InputError(f"expected times as int64 of shape {values.shape}, got {times.dtype} of shape {times.shape}")
        back = (np.diff(times) < 0) & self._adjacent
        if back.any():
            user = int(np.searchsorted(indptr, int(back.argmax()), side="right")) - 1
            raise InputError(f"expected times that never fall within a row, those of user number {user} do; use of_events")

    @classmethod
    def of_events(cls, events: Events, *, dedup_consecutive: bool = False) -> Sequences:
        """The rows of events by user and time; events of one time, and all where there are no times, in the order given.

        ``O(E log E)``.

        Args:
            events: Any rows.
            dedup_consecutive: Whether to keep only the first of a run of one item, as ``collapsed`` does.
        """
        order = events.by_time()
        counts = np.bincount(events.user, minlength=len(events.users))
        indptr = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])
        times = None if events.time is None else events.time[order]
        found = cls(events.users, events.items, events.item[order], indptr, times)
        return found.collapsed() if dedup_consecutive else found

    @property
    def num_users(self) -> int:
        """Rows, with and without events."""
        return len(self.users)

    @property
    def num_items(self) -> int:
        """Items, with and without events."""
        return len(self.items)

    @property
    def num_events(self) -> int:
        """Events."""
        return int(self.values.size)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Events of each user.

        Shapes:
            returns: ``(U,)`` int64.
        """
        return np.diff(self.indptr)

    @property
    def tie_share(self) -> float | None:
        """Share of neighbours in a row that have the same time, whose order is that of the file; ``None`` without times."""
        if self.times is None:
            return None
        same = (np.diff(self.times) == 0)[self._adjacent]
        return float(same.mean()) if same.size else 0.0

    def jagged(self) -> Jagged:
        """The rows as tensors."""
        return Jagged(torch.from_numpy(self.values.astype(np.int64)), torch.from_numpy(self.indptr.copy()))

    def interactions(self) -> Interactions:
        """Each pair of user and item once, with its last time. ``O(E log E)``."""
        return self.events().interactions()

    def events(self) -> Events:
        """The rows of the table that this is the sequences of, by user and in order."""
        user = np.repeat(np.arange(self.num_users, dtype=np.int32), self.lengths)
        return Events(self.users, self.items, user, self.values, None, self.times)

    def collapsed(self) -> Sequences:
        """Only the first of every run of one item in a row."""
        again = (np.diff(self.values) == 0) & self._adjacent
        return self.select(np.concatenate([np.ones(min(self.num_events, 1), dtype=np.bool_), ~again]))

    def select(self, keep: NDArray[np.bool_]) -> Sequences:
        """Some of the events over the same users and items.

        Shapes:
            keep: ``(E,)``.
        """
        ends = np.concatenate([[0], np.cumsum(keep, dtype=np.int64)])[self.indptr]
        return Sequences(
            self.users, self.items, self.values[keep], ends, None if self.times is None else self.times[keep]
        )  # fmt: skip

    def extended(self, other: Sequences) -> Sequences:
        """Each row followed by the other's row of that user. ``O(U + E)``.

        Raises:
            InputError: Other ids, times on one side only, or a row that would go back in time.
        """
        for mine, theirs in ((self.users, other.users), (self.items, other.items)):
            if mine is not theirs:
                theirs.expect(mine.sha256, "the sequences that they extend")
        if (self.times is None) != (other.times is None):
            raise InputError("expected times on both sides or on neither: sequences with times are extended by such with times")
        indptr = self.indptr + other.indptr
        first = np.arange(self.num_events) + np.repeat(other.indptr[:-1], self.lengths)
        second = np.arange(other.num_events) + np.repeat(self.indptr[1:], other.lengths)
        values = np.empty(self.num_events + other.num_events, dtype=np.int32)
        values[first], values[second] = self.values, other.values
        times = None
        if self.times is not None and other.times is not None:
            times = np.empty(values.size, dtype=np.int64)
            times[first], times[second] = self.times, other.times
        return Sequences(self.users, self.items, values, indptr, times)

    @cached_property
    def fingerprint(self) -> str:
        """That of the pairs, which ranking compares with a split's training part: what a scorer gives as ``trained_on``."""
        return fingerprint(self.interactions())

    @cached_property
    def sha256(self) -> str:
        """Checksum of ids, order, repeats and times."""
        maps = np.frombuffer((self.users.sha256 + self.items.sha256).encode(), dtype=np.uint8)
        return hash_arrays({"ids": maps, "indptr": self.indptr, "values": self.values, "times": self.times})

    @property
    def _adjacent(self) -> NDArray[np.bool_]:
        """Which events have their next one in the same row; one fewer than there are events."""
        inside = np.ones(max(self.num_events - 1, 0), dtype=np.bool_)
        starts = self.indptr[1:-1]
        inside[starts[(starts > 0) & (starts < self.num_events)] - 1] = False
        return inside

    def __str__(self) -> str:
        ties = self.tie_share
        said = "" if ties is None else f"; {ties:.1%} of neighbours have the same time"
        return f"{self.num_events:,} events of {self.num_users:,} users and {self.num_items:,} items{said}"
