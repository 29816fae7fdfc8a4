"""Histories from outside, of anybody, as sequences over known items."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from graphcl.errors import InputError
from graphcl.recsys.data.id_map import IdMap, Ids, as_ids
from graphcl.recsys.sequences.sequences import Sequences


def given_histories(histories: Mapping[object, Ids], items: IdMap) -> tuple[Sequences, int]:
    """Lists of item ids by user id as sequences, and how many items were left out because nobody knows them.

    A user whose items are all unknown, or who gave none, has an empty row. ``O(I + E)``.

    Args:
        histories: Item ids of each user, oldest first.
        items: The items a model knows.

    Raises:
        InputError: User ids that come twice when spelt alike, or items that are no list of ids.
    """
    rows = [items.find(_listed(user, ids)) for user, ids in histories.items()]
    kept = [row[row >= 0] for row in rows]
    indptr = np.concatenate([[0], np.cumsum([row.size for row in kept], dtype=np.int64)]).astype(np.int64)
    values = np.concatenate([np.zeros(0, dtype=np.int32), *kept]).astype(np.int32)
    users = IdMap.of(list(histories), "user")
    return Sequences(users, items, values, indptr), sum(row.size for row in rows) - values.size


def _listed(user: object, ids: Ids) -> Ids:
    try:
        return as_ids(ids)
    except InputError as error:
        raise InputError(f"user {user!r}: {error}") from error
