"""What a ranked list is worth to its user, by the definitions that most of the literature means."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from graphcl.errors import InputError, unknown_name
from graphcl.recsys.ranking.rows import Flags, HasRows, Ints, contains

Floats = npt.NDArray[np.float64]
# Of (hits, number of targets): hits is (B, K), 1 where the item at that rank is a target.
Metric = Callable[[Floats, Ints], Floats]


def recall(hits: Floats, targets: Ints) -> Floats:
    """``sum_k hit_k / |T|``: which share of the targets is in the list."""
    return np.asarray(hits.sum(1) / targets)


def recall_capped(hits: Floats, targets: Ints) -> Floats:
    """``sum_k hit_k / min(|T|, K)``: as recall, but a list cannot be blamed for being short."""
    return np.asarray(hits.sum(1) / np.minimum(targets, hits.shape[1]))


def precision(hits: Floats, targets: Ints) -> Floats:
    """``sum_k hit_k / K``: which share of the list is targets; empty places count as misses."""
    return np.asarray(hits.mean(1))


def hit_rate(hits: Floats, targets: Ints) -> Floats:
    """``[sum_k hit_k >= 1]``: whether any target is in the list."""
    return np.asarray(hits.any(1), dtype=np.float64)


def mrr(hits: Floats, targets: Ints) -> Floats:
    """``1 / rank`` of the first target in the list, 0 without one."""
    return np.where(hits.any(1), 1 / (1 + hits.argmax(1)), 0.0)


def mean_average_precision(hits: Floats, targets: Ints) -> Floats:
    """``sum_k hit_k precision@k / min(|T|, K)``."""
    ranks = np.arange(1, hits.shape[1] + 1)
    return np.asarray((hits * np.cumsum(hits, axis=1) / ranks).sum(1) / np.minimum(targets, hits.shape[1]))


def ndcg(hits: Floats, targets: Ints) -> Floats:
    """``sum_k hit_k / log2(k + 1)`` over the same sum for the best list of length ``K``: ``min(|T|, K)`` hits, then none."""
    discount = 1 / np.log2(np.arange(2, hits.shape[1] + 2))
    return np.asarray(hits @ discount / np.cumsum(discount)[np.minimum(targets, hits.shape[1]) - 1])


METRICS: Mapping[str, Metric] = {
    "recall": recall,
    "recall_capped": recall_capped,
    "precision": precision,
    "hr": hit_rate,
    "mrr": mrr,
    "map": mean_average_precision,
    "ndcg": ndcg,
}
# Sums over ranks: their mean over the orders of equal scores is their value at the chance of a hit at each rank.
LINEAR = ("recall", "recall_capped", "precision", "ndcg")


def hits_of(items: npt.NDArray[np.integer], users: Ints, targets: HasRows) -> Flags:
    """Which listed items are targets of their user.

    Args:
        items: Best first; ``-1`` for an empty place.
        users: One for each list.
        targets: The interactions that are to be found.

    Shapes:
        items: ``(B, K)``; users: ``(B,)``; returns: ``(B, K)``.

    Raises:
        InputError: Other shapes, ids out of range, or an item that is listed twice for one user.
    """
    if items.ndim != 2 or users.shape != (len(items),) or items.dtype.kind != "i" or users.dtype.kind not in "iu":
        raise InputError(
            f"items must be (B, K) integer ids and users (B,); got {items.shape} of {items.dtype}, "
            f"{users.shape} of {users.dtype}"
        )
    if items.size and (items.min() < -1 or items.max() >= targets.num_items):
        raise InputError(f"items must lie in [0, {targets.num_items}), or be -1; got {items.min()} to {items.max()}")
    if users.size and (users.min() < 0 or users.max() >= targets.num_users):
        raise InputError(f"users must lie in [0, {targets.num_users}); got {users.min()} to {users.max()}")
    ordered = np.sort(items, axis=1)
    twice = ((ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] >= 0)).any(1)
    if twice.any():
        raise InputError(
            f"an item stands twice in the list of user {users[int(twice.argmax())]} ({int(twice.sum())} such lists): "
            "a hit would be paid for twice"
        )
    return contains(targets, users, items)


def score_lists(hits: npt.NDArray[np.generic], targets: Ints, ks: Sequence[int], names: Sequence[str]) -> dict[str, Floats]:
    """Every metric at every length, for each user: ``"recall@20"`` and so on. One pass over prefixes of the same lists.

    Args:
        hits: Where a list holds a target, best rank first; chances in ``[0, 1]`` are good for the metrics in ``LINEAR``.
        targets: How many targets each user has, ``>= 1``: users without one have no score.
        ks: Lengths, each within the lists.
        names: Of ``METRICS``.

    Shapes:
        hits: ``(B, K)``; targets: ``(B,)``; returns: ``(B,)`` each.

    Raises:
        InputError: An unknown name, a length that the lists do not have, or a user without targets.
    """
    check_lengths(ks)
    for name in names:
        if name not in METRICS:
            raise unknown_name("ranking metric", name, METRICS)
    if hits.ndim != 2 or targets.shape != (len(hits),) or max(ks) > hits.shape[1]:
        raise InputError(f"hits must be (B, {max(ks)} or more) and targets (B,); got {hits.shape} and {targets.shape}")
    if targets.size and targets.min() < 1:
        raise InputError(f"user {int(targets.argmin())} of the lists has no target: such users have no score and are left out")
    values = hits.astype(np.float64)
    return {f"{name}@{k}": METRICS[name](values[:, :k], targets) for name in names for k in ks}


def check_lengths(ks: Sequence[int]) -> None:
    """Refuse list lengths that are none."""
    if not ks or min(ks) < 1 or len(set(ks)) != len(ks):
        raise InputError(f"ks must be different lengths, each 1 or more; got {tuple(ks)}")
