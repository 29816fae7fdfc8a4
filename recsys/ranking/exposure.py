"""What the lists do to the catalogue: how much of it they show, how evenly, and how far from the well known."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from graphcl.recsys.ranking.metrics import Floats
from graphcl.recsys.ranking.rows import Ints

EXPOSURE = ("coverage", "gini", "novelty")


def exposures(items: npt.NDArray[np.integer], num_items: int) -> Ints:
    """In how many lists each item stands.

    Shapes:
        items: ``(B, K)``, ``-1`` for an empty place; returns: ``(I,)``.
    """
    return np.bincount(items[items >= 0], minlength=num_items).astype(np.int64)


def coverage(counts: Ints) -> float:
    """Share of the items that stand in at least one list.

    Shapes:
        counts: ``(I,)``, of the items that may be listed.
    """
    return float((counts > 0).mean())


def gini(counts: Ints) -> float:
    """How unevenly lists show items: 0 when all are shown alike, ``(I - 1) / I`` when one item has every place.

    ``sum_j (2 j - I - 1) c_j / (I sum_j c_j)`` over the exposures ``c_1 <= ... <= c_I``; 0 when nothing is listed.

    Shapes:
        counts: ``(I,)``, of the items that may be listed, those that never are among them.
    """
    ordered, size = np.sort(counts).astype(np.float64), len(counts)
    total = ordered.sum()
    return float((2 * np.arange(1, size + 1) - size - 1) @ ordered / (size * total)) if total else 0.0


def novelty(items: npt.NDArray[np.integer], popularity: Ints, num_users: int) -> Floats:
    """Mean self-information of a list in bits, ``mean_k -log2 p(item_k)``, ``p`` the share of training's users with it.

    An item that nobody met counts as if one user had. NaN for an empty list.

    Zhou et al., 2010, https://doi.org/10.1073/pnas.1000488107. There the mean is over all lists at once.

    Shapes:
        items: ``(B, K)``, ``-1`` for an empty place; popularity: ``(I,)``; returns: ``(B,)``.
    """
    bits = np.log2(max(num_users, 1)) - np.log2(np.maximum(popularity, 1))
    listed = items >= 0
    length = listed.sum(1)
    total = np.where(listed, bits[np.maximum(items, 0)], 0.0).sum(1)
    return np.where(length > 0, total / np.maximum(length, 1), np.nan)
