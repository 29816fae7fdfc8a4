"""Fewer interactions: those of enough weight, and those of users and items that have enough of them."""

from __future__ import annotations

import numpy as np

from graphcl.errors import InputError
from graphcl.recsys.data.interactions import Interactions


def at_least(data: Interactions, weight: float) -> Interactions:
    """The interactions of a weight or more, over the same users and items.

    Args:
        data: With weights.
        weight: The threshold; 4 keeps the ratings 4 and 5.

    Raises:
        InputError: There are no weights, or none is large enough.
    """
    if data.values is None:
        raise InputError(f"expected interactions with weights to keep those of {weight:g} or more, got none")
    heavy = data.values >= weight
    if not heavy.any():
        largest = f"the largest is {data.values.max():g}" if heavy.size else "there is none"
        raise InputError(f"expected at least one interaction of weight {weight:g} or more, {largest}")
    return data.select(heavy)


def k_core(data: Interactions, k: int = 5, *, items: int | None = None, compact: bool = True) -> Interactions:
    """The largest set of interactions in which every user has ``k`` and every item ``items`` of them.

    Users and items that fall short go, with their interactions, until none falls short; the order of going does not matter.
    Time ``O(E)`` a round, each over what the last one left; memory ``O(E)``. To keep the test part of a split out of the
    choice, filter its training part alone, with ``compact=False``.

    Args:
        data: The interactions.
        k: Fewest of a user; 0 or 1 asks nothing of it.
        items: Fewest of an item; ``k`` when ``None``.
        compact: Whether users and items that have none left lose their number; else they stay as empty rows.

    Raises:
        InputError: A negative number, or nothing is left.
    """
    wanted = k if items is None else items
    if k < 0 or wanted < 0:
        raise InputError(f"expected numbers of interactions of 0 or more, got {k} a user and {wanted} an item")
    row, column = data.rows, data.indices
    left = np.arange(data.num_interactions)
    while left.size:
        enough = np.bincount(row, minlength=data.num_users)[row] >= k
        enough &= np.bincount(column, minlength=data.num_items)[column] >= wanted
        if enough.all():
            break
        left, row, column = left[enough], row[enough], column[enough]
    if not left.size:
        raise InputError(f"no interaction is left with {k} a user and {wanted} an item, of {data}; ask for fewer")
    keep = np.zeros(data.num_interactions, dtype=bool)
    keep[left] = True
    core = data.select(keep)
    return core.compact() if compact else core
