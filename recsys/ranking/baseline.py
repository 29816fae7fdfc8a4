"""The most popular items that a user does not know yet: the list that every model must beat."""

from __future__ import annotations

import numpy as np

from graphcl.recsys.ranking.rows import HasRows, Ints, ItemIds, contains

USERS = 4096  # at a time


def popular_lists(popularity: Ints, users: Ints, k: int, seen: HasRows | None, candidates: Ints) -> ItemIds:
    """The lists that ``top_k`` gives when the score of an item is its popularity, without scoring anything.

    Items are sorted once; each user takes the first ``k`` that are unseen from a head that doubles for those it does not
    suffice. Time ``O(I log I + U k log)`` for most data, memory ``O(U k)``.

    Shapes:
        popularity: ``(I,)``; users: ``(U,)``; candidates: ``(C,)``, rising; returns: ``(U, k)``, ``-1`` for an empty place.
    """
    order = candidates[np.argsort(-popularity[candidates], kind="stable")]
    lists = np.full((len(users), k), -1, dtype=np.int32)
    for start in range(0, len(users), USERS):
        waiting, head = np.arange(start, min(start + USERS, len(users))), 4 * k
        while waiting.size:
            row = np.broadcast_to(order[:head], (len(waiting), min(head, len(order))))
            fresh = np.ones(row.shape, dtype=np.bool_) if seen is None else ~contains(seen, users[waiting], row)
            rank = np.cumsum(fresh, axis=1)
            done = (rank[:, -1] >= k) | (head >= len(order))
            place = np.nonzero(fresh & (rank <= k) & done[:, None])
            lists[waiting[place[0]], rank[place] - 1] = row[place]
            waiting, head = waiting[~done], 2 * head
    return lists
