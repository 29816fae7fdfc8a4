"""Rows as they happened: repeats allowed, order kept; what interactions, splits and sequences are made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from graphcl.errors import InputError, unknown_name
from graphcl.recsys.data.id_map import IdMap
from graphcl.recsys.data.interactions import Interactions

Duplicates: TypeAlias = Literal["last", "first", "sum", "count", "refuse"]


@dataclass(frozen=True, eq=False)
class Events:
    """One user, one item, and perhaps a weight and a time a row; the order of rows decides where times do not.

    Args:
        users: Ids of users.
        items: Ids of items.
        user: User number of each row.
        item: Item number of each row.
        weight: Weight of each row.
        time: Time of each row.
        left_out: Rows that were read and not kept, by reason.

    Shapes:
        user, item: ``(E,)`` int32; weight: ``(E,)`` float32; time: ``(E,)`` int64.
    """

    users: IdMap
    items: IdMap
    user: NDArray[np.int32]
    item: NDArray[np.int32]
    weight: NDArray[np.float32] | None = None
    time: NDArray[np.int64] | None = None
    left_out: tuple[tuple[str, int], ...] = ()

    def __len__(self) -> int:
        return int(self.user.size)

    def take(self, rows: NDArray[Any]) -> Events:
        """Some of the rows, by number or by flag."""
        return Events(
            self.users,
            self.items,
            self.user[rows],
            self.item[rows],
            None if self.weight is None else self.weight[rows],
            None if self.time is None else self.time[rows],
            self.left_out,
        )

    def keys(self) -> NDArray[np.int64]:
        """One number for each pair of user and item, ascending by user, then item."""
        return self.user.astype(np.int64) * len(self.items) + self.item

    def by_time(self) -> NDArray[np.int64]:
        """Row numbers in order of user, then time; rows of equal time in the order given. ``O(E log E)``."""
        if self.time is None:
            return np.argsort(self.user, kind="stable")
        return np.lexsort((self.time, self.user))

    def interactions(self, duplicates: Duplicates = "last") -> Interactions:
        """The rows with each pair once. ``O(E log E)``, or ``O(E)`` where rows come sorted.

        Args:
            duplicates: What becomes of rows that repeat a pair. ``"last"`` and ``"first"`` keep that row by time, or by
                order where there are no times; ``"sum"`` adds the weights; ``"count"`` makes the number of rows the weight;
                the last two keep the last time. ``"refuse"`` raises.

        Raises:
            InputError: ``"sum"`` without weights, a pair twice under ``"refuse"``, or an unknown policy.
        """
        if duplicates not in get_args(Duplicates):
            raise unknown_name("duplicate policy", duplicates, get_args(Duplicates))
        if duplicates == "sum" and self.weight is None:
            raise InputError("expected weights to sum over duplicate rows, got none; name the weight column, or use 'count'")
        keys = self.keys()
        order = np.argsort(keys, kind="stable")
        ordered = keys[order]
        repeats = ordered[1:] == ordered[:-1]
        if repeats.any() and self.time is not None:
            # Only rows that share their pair need their times compared; each group stays where it is.
            shared = np.concatenate([repeats, [False]]) | np.concatenate([[False], repeats])
            rows = order[shared]
            order[shared] = rows[np.lexsort((self.time[rows], ordered[shared]))]
        if duplicates == "refuse" and repeats.any():
            at = order[:-1][repeats][0]
            user, item = self.users.ids[int(self.user[at])], self.items.ids[int(self.item[at])]
            raise InputError(
                f"expected each pair of user and item once, user {user!r} and item {item!r} come twice "
                f"({np.count_nonzero(repeats):,} rows repeat a pair); choose duplicates='last', 'first', 'sum' or 'count'"
            )
        heads, tails = np.concatenate([[True], ~repeats]), np.concatenate([~repeats, [True]])
        if not ordered.size:
            heads = tails = np.zeros(0, dtype=bool)
        chosen = order[heads if duplicates == "first" else tails]
        values = None if self.weight is None else self.weight[chosen]
        starts = np.flatnonzero(heads)
        if duplicates == "count":
            values = np.diff(np.append(starts, ordered.size)).astype(np.float32)
        elif duplicates == "sum" and self.weight is not None and starts.size:
            values = np.add.reduceat(self.weight[order].astype(np.float64), starts).astype(np.float32)
        counts = np.bincount(self.user[chosen], minlength=len(self.users))
        indptr = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])
        return Interactions(
            self.users,
            self.items,
            indptr,
            self.item[chosen],
            values,
            None if self.time is None else self.time[chosen],
        )


def as_events(data: Interactions | Events) -> Events:
    """Interactions as rows, by user, then item; events as they are."""
    if isinstance(data, Events):
        return data
    return Events(data.users, data.items, data.rows, data.indices, data.values, data.times)
