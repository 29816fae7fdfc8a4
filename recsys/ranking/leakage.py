"""The ways in which a test set gets into a model, or a model's noise into a score, each as a check of its own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

from graphcl.errors import InputError
from graphcl.recsys.ranking.rows import HasRows, Ints, degrees, fingerprint, holds, pairs, union
from graphcl.recsys.ranking.top_k import Scorer, scores_of

PROBED = 32  # users that are scored twice
SIGMAS = 3.0

_test_reads: Counter[str] = Counter()


def check_same_ids(parts: Sequence[HasRows]) -> None:
    """Refuse parts that count users or items differently.

    Raises:
        InputError: They do.
    """
    sizes = {(part.num_users, part.num_items) for part in parts}
    if len(sizes) > 1:
        found = " and ".join(f"{users} x {items}" for users, items in sorted(sizes))
        raise InputError(f"the parts of a split must have the same users and items; got {found}")


def repeated_share(first: HasRows, second: HasRows) -> float:
    """Share of the pairs of ``second`` that are in ``first`` too. Time ``O(E log E)``."""
    return _repeats(first, second)[0] / max(len(second.indices), 1)


def check_disjoint(train: HasRows, valid: HasRows | None, test: HasRows | None) -> None:
    """Refuse a pair of user and item that is in two parts.

    Raises:
        InputError: There is one; the message names the first.
    """
    parts = [("train", train), ("valid", valid), ("test", test)]
    present = [(name, part) for name, part in parts if part is not None]
    for place, (earlier, first) in enumerate(present):
        for later, second in present[place + 1 :]:
            count, user, item = _repeats(first, second)
            if count:
                raise InputError(
                    f"{earlier} and {later} must not share pairs; user {user} has item {item} in both ({count} such pairs of "
                    f"{len(second.indices)} in {later}): a model would be scored on what it learnt. Where users do come back "
                    "to items, a protocol with repeats says so: strict or lit-loo"
                )


def check_time(train: HasRows, target: HasRows) -> str:
    """Refuse training that is not older than what is scored; says whether there were ``times`` to check.

    Raises:
        InputError: The newest training event is not older than the oldest scored event.
    """
    before, after = getattr(train, "times", None), getattr(target, "times", None)
    if before is None or after is None:
        return "not checked: the parts carry no times"
    if len(before) and len(after) and np.max(before) >= np.min(after):
        raise InputError(
            f"under strict everything in training must be older than what is scored; training goes on until {np.max(before)}, "
            f"the scored part starts at {np.min(after)}: split by time, not by user"
        )
    return "passed"


def check_graph(scorer: object, train: HasRows, valid: HasRows | None) -> str:
    """Refuse a model that was fitted on other pairs than the split's training part, by its ``trained_on`` fingerprint.

    A refit on training and validation together is known, and said.

    Raises:
        InputError: Fitted on anything else, such as a graph that holds test pairs.
    """
    owner = getattr(scorer, "__self__", scorer)
    trained_on = getattr(owner, "trained_on", None)
    if trained_on is None:
        return "not checked: the scorer does not say what it was trained on (trained_on)"
    if trained_on == fingerprint(train):
        return "passed"
    if valid is not None and trained_on == fingerprint(union(train, valid)):
        return "refit on train and valid"
    raise InputError(
        f"the scorer was trained on other interactions ({trained_on}) than the split's train part "
        f"({fingerprint(train)}): test pairs may be in its graph. Fit it on split.train"
    )


def check_repeatable(scorer: Scorer | tuple[torch.Tensor, ...], users: Ints) -> None:
    """Refuse a scorer that gives the same users other scores when asked again.

    Raises:
        InputError: It does.
    """
    call, ids = scores_of(scorer), users[:PROBED]
    with torch.no_grad():
        # Copies, because a scorer may write into what it is given, or give the same buffer twice.
        first = call(torch.from_numpy(ids.copy())).clone()
        second = call(torch.from_numpy(ids.copy()))
    if not torch.equal(first.nan_to_num(), second.nan_to_num()):
        raise InputError(
            "the scorer gives the same users other scores when asked again: is dropout or noise still on? Call eval() first"
        )


def shuffled_deviation(
    items: npt.NDArray[np.integer], users: Ints, targets: HasRows, seen: HasRows | None, candidates: Ints, seed: int = 0
) -> float:
    """How many standard deviations the hits of these lists on random targets are away from chance.

    Every target is replaced by a random candidate, and dropped where that is an item of the user's past. What is left is
    uniform on the user's ``n_u`` unseen candidates, so that each is hit with probability ``K_u / n_u``, ``K_u`` the length
    of the list: the hits have mean ``sum p`` and variance ``sum p (1 - p)``.

    Args:
        items: The lists, ``-1`` for an empty place.
        users: Whose they are.
        targets: Gives the number of targets of each user.
        seen: What was masked.
        candidates: What may be listed, rising.
        seed: Of the draw.

    Shapes:
        items: ``(B, K)``; users: ``(B,)``; candidates: ``(C,)``.
    """
    rng = np.random.default_rng(seed)
    row = np.repeat(np.arange(len(users)), degrees(targets)[users])
    drawn = candidates[rng.integers(len(candidates), size=len(row))]
    free = np.full(len(users), len(candidates))
    if seen is not None:
        fresh = ~holds(seen, users, row, drawn)
        row, drawn = row[fresh], drawn[fresh]
        past_row, past = pairs(seen, users)
        allowed = np.zeros(targets.num_items, dtype=np.bool_)
        allowed[candidates] = True
        free = free - np.bincount(past_row[allowed[past]], minlength=len(users))
    chance = ((items >= 0).sum(1) / np.maximum(free, 1))[row]
    hits = (items[row] == drawn[:, None]).any(1) if len(row) else np.zeros(0)
    variance = float((chance * (1 - chance)).sum())
    distance = float(hits.sum() - chance.sum())
    return distance / variance**0.5 if variance > 0 else (0.0 if abs(distance) < 1e-9 else float("inf"))


def check_chance(items: npt.NDArray[np.integer], users: Ints, targets: HasRows, seen: HasRows | None, candidates: Ints) -> str:
    """Whether random targets are hit as often as chance says, within three standard deviations in one of two draws."""
    found = [shuffled_deviation(items, users, targets, seen, candidates, seed) for seed in (0, 1)]
    nearest = min(found, key=abs)
    return "passed" if abs(nearest) <= SIGMAS else f"failed: {nearest:.1f} standard deviations from chance on random targets"


def count_test_read(test: HasRows) -> int:
    """How many times a test part of this content was scored in this process, this time included."""
    key = fingerprint(test)
    _test_reads[key] += 1
    return _test_reads[key]


def _repeats(first: HasRows, second: HasRows) -> tuple[int, int, int]:
    """Number of common pairs, and the first of them."""
    users = np.repeat(np.arange(second.num_users), degrees(second))
    keys = [
        np.repeat(np.arange(part.num_users), degrees(part)) * np.int64(part.num_items) + part.indices
        for part in (first, second)
    ]
    if keys[0].size == 0 or keys[1].size == 0:
        return 0, -1, -1
    place = np.minimum(np.searchsorted(keys[0], keys[1]), keys[0].size - 1)
    common = np.flatnonzero(keys[0][place] == keys[1])
    if common.size == 0:
        return 0, -1, -1
    return int(common.size), int(users[common[0]]), int(second.indices[common[0]])
