"""Who interacted with what: a binary matrix of users and items in compressed rows, with ids on both sides."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from graphcl.datasets.provenance import hash_arrays
from graphcl.errors import InputError
from graphcl.recsys.data.id_map import IdMap

LARGEST = np.iinfo(np.int32).max


@dataclass(frozen=True, eq=False)
class Interactions:
    """Each pair of a user and an item at most once, sorted by user, then item.

    A user without a row is an ordinary user with an empty row; the same goes for items. Memory: 4 bytes a pair, 8 a
    user, and 4 and 8 a pair for weights and times where there are any.

    Args:
        users: Ids of the rows.
        items: Ids of the columns.
        indptr: Where each user's row starts and ends.
        indices: Item numbers, ascending within a user.
        values: Weights, ratings or counts, one a pair.
        times: When, one a pair; any unit in which later is larger, unix seconds as a rule.

    Shapes:
        indptr: ``(U + 1,)`` int64; indices: ``(E,)`` int32; values: ``(E,)`` float32; times: ``(E,)`` int64.

    Raises:
        InputError: The arrays do not fit together, or a row is not strictly ascending.
    """

    users: IdMap
    items: IdMap
    indptr: NDArray[np.int64]
    indices: NDArray[np.int32]
    values: NDArray[np.float32] | None = None
    times: NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        number = self.indices.size
        if self.indptr.dtype != np.int64 or self.indptr.shape != (len(self.users) + 1,):
            raise InputError(
                f"expected indptr as int64 of shape ({len(self.users) + 1},), one row a user, "
                f"got {self.indptr.dtype} of shape {self.indptr.shape}"
            )
        if self.indices.dtype != np.int32 or self.indices.ndim != 1:
            raise InputError(f"expected indices as int32 of shape (E,), got {self.indices.dtype} of shape {self.indices.shape}")
        sizes: list[tuple[str, NDArray[Any] | None, Any]] = [
            ("values", self.values, np.float32), ("times", self.times, np.int64)
        ]  # fmt: skip
        for name, array, dtype in sizes:
            if array is not None and (array.dtype != dtype or array.shape != (number,)):
                raise InputError(
                    f"expected {name} as {np.dtype(dtype)} of shape ({number},), got {array.dtype} of shape {array.shape}"
                )
        if self.indptr[0] != 0 or self.indptr[-1] != number or (np.diff(self.indptr) < 0).any():
            raise InputError(f"expected indptr to climb from 0 to {number}, got {self.indptr[0]} to {self.indptr[-1]}")
        if number and (self.indices.min() < 0 or self.indices.max() >= len(self.items)):
            raise InputError(
                f"expected item numbers from 0 to {len(self.items) - 1}, got {self.indices.min()} to {self.indices.max()}"
            )
        rising = np.diff(self.indices) > 0
        starts = self.indptr[1:-1]
        rising[starts[(starts > 0) & (starts < number)] - 1] = True
        if not rising.all():
            at = int(np.argmin(rising))
            user = int(np.searchsorted(self.indptr, at, side="right")) - 1
            raise InputError(
                f"expected ascending items without repeats in each row, user number {user} has {self.indices[at]} "
                f"before {self.indices[at + 1]}"
            )

    @property
    def num_users(self) -> int:
        """Rows, with and without interactions."""
        return len(self.users)

    @property
    def num_items(self) -> int:
        """Columns, with and without interactions."""
        return len(self.items)

    @property
    def num_interactions(self) -> int:
        """Pairs."""
        return int(self.indices.size)

    @property
    def user_degrees(self) -> NDArray[np.int64]:
        """Items of each user.

        Shapes:
            returns: ``(U,)`` int64.
        """
        return np.diff(self.indptr)

    @property
    def item_degrees(self) -> NDArray[np.int64]:
        """Users of each item.

        Shapes:
            returns: ``(I,)`` int64.
        """
        return np.bincount(self.indices, minlength=self.num_items).astype(np.int64)

    @property
    def rows(self) -> NDArray[np.int32]:
        """The user number of each pair.

        Shapes:
            returns: ``(E,)`` int32.
        """
        return np.repeat(np.arange(self.num_users, dtype=np.int32), self.user_degrees)

    def user_items(self, user: int) -> NDArray[np.int32]:
        """Item numbers of one user number, ascending; empty for a user without interactions."""
        if not 0 <= user < self.num_users:
            raise InputError(f"expected a user number from 0 to {self.num_users - 1}, got {user}")
        return self.indices[self.indptr[user] : self.indptr[user + 1]]

    def to_scipy(self) -> sp.csr_array[np.float32]:
        """The matrix, with ones where there are no weights.

        Shapes:
            returns: ``(U, I)`` float32, with arrays of its own except for the weights.
        """
        values = np.ones(self.num_interactions, dtype=np.float32) if self.values is None else self.values
        return sp.csr_array((values, self.indices, self.indptr), shape=(self.num_users, self.num_items))

    def select(self, keep: NDArray[np.bool_]) -> Interactions:
        """Some of the pairs over the same users and items.

        Shapes:
            keep: ``(E,)``.
        """
        ends = np.concatenate([[0], np.cumsum(keep, dtype=np.int64)])[self.indptr]
        return Interactions(
            self.users,
            self.items,
            ends,
            self.indices[keep],
            None if self.values is None else self.values[keep],
            None if self.times is None else self.times[keep],
        )

    def compact(self) -> Interactions:
        """The same pairs without the users and items that have none; the others keep their order but are renumbered."""
        user_kept, item_kept = self.user_degrees > 0, self.item_degrees > 0
        if user_kept.all() and item_kept.all():
            return self
        number = (np.cumsum(item_kept) - 1).astype(np.int32)
        return Interactions(
            IdMap(self.users.ids.filter(user_kept), self.users.kind),
            IdMap(self.items.ids.filter(item_kept), self.items.kind),
            np.concatenate([self.indptr[:1], self.indptr[1:][user_kept]]),
            number[self.indices],
            self.values,
            self.times,
        )

    @cached_property
    def sha256(self) -> str:
        """Checksum of ids, pairs, weights and times, by which a data set is recognised whatever it is called."""
        maps = np.frombuffer((self.users.sha256 + self.items.sha256).encode(), dtype=np.uint8)
        return hash_arrays(
            {"ids": maps, "indptr": self.indptr, "indices": self.indices, "values": self.values, "times": self.times}
        )

    def __str__(self) -> str:
        cells = self.num_users * self.num_items
        density = f"{self.num_interactions / cells:.4%}" if cells else "empty"
        return f"{self.num_interactions:,} interactions of {self.num_users:,} users and {self.num_items:,} items ({density})"
