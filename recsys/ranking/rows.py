"""Who met what, as sorted rows: the few facts of interactions that ranking and the anchors rely on."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from graphcl.errors import InputError

Ints = npt.NDArray[np.int64]
ItemIds = npt.NDArray[np.int32]
Flags = npt.NDArray[np.bool_]


class HasRows(Protocol):
    """Interactions as CSR: the items of user ``u`` are ``indices[indptr[u]:indptr[u + 1]]``, rising, each once.

    Shapes:
        indptr: ``(U + 1,)`` int64; indices: ``(E,)`` int32.
    """

    @property
    def indptr(self) -> Ints: ...  # noqa: D102
    @property
    def indices(self) -> ItemIds: ...  # noqa: D102
    @property
    def num_users(self) -> int: ...  # noqa: D102
    @property
    def num_items(self) -> int: ...  # noqa: D102


class HasParts(Protocol):
    """Three sets of interactions over the same user and item ids; ``valid`` may be missing."""

    @property
    def train(self) -> HasRows: ...  # noqa: D102
    @property
    def valid(self) -> HasRows | None: ...  # noqa: D102
    @property
    def test(self) -> HasRows: ...  # noqa: D102


@dataclass(frozen=True, eq=False)
class Rows:
    """The plainest thing that has rows."""

    indptr: Ints
    indices: ItemIds
    num_users: int
    num_items: int


def check_rows(rows: HasRows, name: str) -> None:
    """Refuse rows that are not what ``HasRows`` says. Time ``O(U + E)``.

    Raises:
        InputError: Wrong lengths, item ids out of range, or a row that does not rise.
    """
    indptr, indices = rows.indptr, rows.indices
    if len(indptr) != rows.num_users + 1 or indptr[0] != 0 or indptr[-1] != len(indices) or (np.diff(indptr) < 0).any():
        raise InputError(
            f"{name}: indptr must rise from 0 to the {len(indices)} interactions in {rows.num_users + 1} steps; "
            f"got {len(indptr)} steps from {indptr[:1].tolist()} to {indptr[-1:].tolist()}"
        )
    if len(indices) and (indices.min() < 0 or indices.max() >= rows.num_items):
        raise InputError(f"{name}: item ids must lie in [0, {rows.num_items}); got {indices.min()} to {indices.max()}")
    falls = np.diff(indices) <= 0
    starts = indptr[1:-1]
    falls[starts[(starts > 0) & (starts < len(indices))] - 1] = False
    if falls.any():
        user = int(np.searchsorted(indptr, int(falls.argmax()), side="right")) - 1
        raise InputError(f"{name}: the items of a user must rise, each once; those of user {user} do not")


def degrees(rows: HasRows) -> Ints:
    """Number of items of each user.

    Shapes:
        returns: ``(U,)``.
    """
    return np.diff(rows.indptr)


def popularity(rows: HasRows) -> Ints:
    """Number of users of each item.

    Shapes:
        returns: ``(I,)``.
    """
    return np.bincount(rows.indices, minlength=rows.num_items).astype(np.int64)


def pairs(rows: HasRows, users: Ints) -> tuple[Ints, Ints]:
    """All interactions of some users, as (position in ``users``, item), sorted by position and then item.

    Shapes:
        users: ``(B,)``; returns: twice ``(P,)``.
    """
    starts, counts = rows.indptr[users], rows.indptr[users + 1] - rows.indptr[users]
    ends = np.cumsum(counts)
    where = np.arange(int(ends[-1]) if len(ends) else 0) + np.repeat(starts - (ends - counts), counts)
    return np.repeat(np.arange(len(users)), counts), rows.indices[where].astype(np.int64)


def contains(rows: HasRows, users: Ints, items: npt.NDArray[np.integer]) -> Flags:
    """Which listed items belong to the user of their row, by binary search; ``-1`` never does.

    Time ``O((B K + P) log P)`` for the ``P`` interactions of these users.

    Shapes:
        users: ``(B,)``; items: ``(B, K)``; returns: ``(B, K)``.
    """
    row = np.broadcast_to(np.arange(len(users))[:, None], items.shape)
    return holds(rows, users, row, items) & (items >= 0)


def holds(rows: HasRows, users: Ints, row: Ints, items: npt.NDArray[np.integer]) -> Flags:
    """Which ``items`` belong to the users ``users[row]``: ``contains`` for lists of any lengths.

    Shapes:
        users: ``(B,)``; row, items: any one shape, also that of the answer.
    """
    first, item = pairs(rows, users)
    keys = first * rows.num_items + item
    if keys.size == 0:
        return np.zeros(items.shape, dtype=np.bool_)
    wanted = row * np.int64(rows.num_items) + items
    return np.asarray(keys[np.minimum(np.searchsorted(keys, wanted), keys.size - 1)] == wanted)


def union(first: HasRows, second: HasRows) -> Rows:
    """The pairs of either. Time and memory ``O(E log E)`` and ``O(E)``."""
    everyone, width = np.arange(first.num_users), np.int64(first.num_items)
    keys = [row * width + item for row, item in (pairs(first, everyone), pairs(second, everyone))]
    user, item = np.divmod(np.unique(np.concatenate(keys)), width)
    indptr = np.concatenate([[0], np.cumsum(np.bincount(user, minlength=first.num_users))]).astype(np.int64)
    return Rows(indptr, item.astype(np.int32), first.num_users, first.num_items)


def matrix(rows: HasRows) -> sp.csr_matrix:
    """The pairs as ones, ``(U, I)`` float32."""
    ones = np.ones(len(rows.indices), dtype=np.float32)
    return sp.csr_matrix((ones, rows.indices, rows.indptr), shape=(rows.num_users, rows.num_items))


def fingerprint(rows: HasRows) -> str:
    """A hash of the pairs and of the numbers of users and items: equal exactly when these are."""
    digest = hashlib.sha256(f"{rows.num_users} {rows.num_items} ".encode())
    digest.update(np.ascontiguousarray(rows.indptr, dtype="<i8").tobytes())
    digest.update(np.ascontiguousarray(rows.indices, dtype="<i4").tobytes())
    return digest.hexdigest()[:16]
