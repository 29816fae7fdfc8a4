"""Interactions to a split: by time, the last of each user, at random, or as files say."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from graphcl.errors import InputError
from graphcl.recsys.data.events import Duplicates, Events, as_events
from graphcl.recsys.data.feed import Source
from graphcl.recsys.data.interactions import Interactions
from graphcl.recsys.data.lists import read_lists
from graphcl.recsys.data.read import read_events
from graphcl.recsys.data.split import TEST, TRAIN, VALID, Labels, Repeats, Split, split_events, split_of


def temporal_split(
    data: Interactions | Events,
    *,
    valid: float = 0.1,
    test: float = 0.1,
    at: tuple[float, float] | None = None,
    repeats: Repeats = "drop",
    duplicates: Duplicates = "last",
    name: str = "interactions",
) -> Split:
    """One cut in time for everybody: what a model could have known, then what came; protocol ``strict``.

    Training rows are older than every validation row, and those older than every test row; rows of one time are never parted,
    so shares are met as nearly as times allow. Give it ``Events`` rather than ``Interactions`` where users come back to items:
    merging first would move an old pair to its latest time. ``O(E log E)``.

    Args:
        data: With times.
        valid: Share of the rows in the validation part; 0 for none.
        test: Share of the rows in the test part.
        at: Times of the two cuts, in place of shares; equal ones for no validation part.
        repeats: What becomes of pairs that an earlier part has: ``"drop"``, ``"keep"`` or ``"refuse"``.
        duplicates: What becomes of rows that repeat a pair within a part; see ``Events.interactions``.
        name: What the data are called.

    Raises:
        InputError: No times, shares that leave nothing to train on, or a part that would be empty.
    """
    events = as_events(data)
    if events.time is None:
        raise InputError("expected interactions with times to split by time, got none; name their column, or use ratio_split")
    _check_shares(valid, test)
    if at is None:
        number = len(events)
        places = [min(number - round((valid + test) * number), number - 1), min(number - round(test * number), number - 1)]
        cuts = np.partition(events.time, places)[places].tolist()
        first, second = cuts if valid else (cuts[1], cuts[1])
        has_valid = valid > 0
    else:
        first, second = at
        has_valid = first < second
        if not first <= second:
            raise InputError(f"expected the cut before validation first, got {first:g} and then {second:g}")
    labels: Labels = np.full(len(events), TRAIN, dtype=np.int8)
    labels[events.time >= first] = VALID
    labels[events.time >= second] = TEST
    for part, what, wanted in ((TRAIN, "train", True), (VALID, "valid", has_valid), (TEST, "test", True)):
        if wanted and not (labels == part).any():
            raise InputError(
                f"{name}: the {what} part would be empty, times run from {events.time.min()} to {events.time.max()} "
                f"and are cut at {first:.0f} and {second:.0f}; choose other cuts with at=(t1, t2)"
            )
    return split_events(
        events, labels, protocol="strict", repeats=repeats, duplicates=duplicates, name=name,
        notes={"valid_from": float(first), "test_from": float(second)},
    )  # fmt: skip


def leave_one_out(
    data: Interactions | Events, *, valid: bool = True, repeats: Repeats = "drop", name: str = "interactions"
) -> Split:
    """The last row of each user for testing, the one before for validation; protocol ``lit-loo``.

    Users with too few rows to leave one for training are in the training part only. The split leaks in time: rows of one user
    may be younger than the test row of another. ``notes["future_share"]`` is the share of training rows younger than the median
    test row. ``O(E log E)``.

    Args:
        data: Interactions with times, or events, whose order of rows decides where they have no times.
        valid: Whether to take out a validation part.
        repeats: What becomes of a row whose pair an earlier part has: ``"drop"`` leaves that user without a target, ``"keep"``
            is what the literature does, ``"refuse"`` raises.
        name: What the data are called.

    Raises:
        InputError: Interactions without times, or no user with enough rows.
    """
    if isinstance(data, Interactions) and data.times is None:
        raise InputError("expected interactions with times to know each user's last, got none; name the time column")
    events = as_events(data)
    order = events.by_time()
    counts = np.bincount(events.user, minlength=len(events.users))
    ends = np.cumsum(counts)
    user = events.user[order]
    from_end = ends[user] - 1 - np.arange(order.size)
    held = 2 if valid else 1
    enough = counts[user] > held
    labels: Labels = np.full(len(events), TRAIN, dtype=np.int8)
    labels[order[enough & (from_end == 0)]] = TEST
    if valid:
        labels[order[enough & (from_end == 1)]] = VALID
    if not (labels == TEST).any():
        raise InputError(f"{name}: expected users with at least {held + 1} rows, the longest has {counts.max(initial=0)}")
    notes = {}
    if events.time is not None:
        middle = np.median(events.time[labels == TEST])
        notes["future_share"] = float((events.time[labels == TRAIN] > middle).mean())
    return split_events(events, labels, protocol="lit-loo", repeats=repeats, duplicates="last", name=name, notes=notes)


def ratio_split(
    data: Interactions | Events,
    *,
    valid: float = 0.1,
    test: float = 0.1,
    generator: torch.Generator | None = None,
    duplicates: Duplicates = "last",
    name: str = "interactions",
) -> Split:
    """A random share of each user's items for testing and validation; protocol ``lit-ratio``.

    A user of ``d`` items gives ``floor(share * d)``, but at least one to the test part, then one to the validation part, while
    two are left for training. Time is ignored, so the future explains the past. ``O(E log E)``.

    Args:
        data: Each pair counts once.
        valid: Share in the validation part; 0 for none.
        test: Share in the test part.
        generator: Source of random numbers; torch's own when ``None``.
        duplicates: What becomes of rows that repeat a pair; see ``Events.interactions``.
        name: What the data are called.

    Raises:
        InputError: Shares that leave nothing to train on, or a part that would be empty.
    """
    _check_shares(valid, test)
    events = as_events(as_events(data).interactions(duplicates))
    labels = _at_random(events.user, len(events.users), valid, test, generator)
    return split_events(
        events, labels, protocol="lit-ratio", repeats="refuse", duplicates="refuse", name=name,
        notes={"valid_share": valid, "test_share": test},
    )  # fmt: skip


def with_validation(split: Split, share: float = 0.1, *, generator: torch.Generator | None = None) -> Split:
    """The split with a random share of each user's training items as its validation part; the test part stays as it is.

    For published splits that come without one, so that nothing has to be chosen on the test part.

    Args:
        split: Without a validation part.
        share: Share of each user's training items, and at least one of a user who keeps another.
        generator: Source of random numbers; torch's own when ``None``.

    Raises:
        InputError: The split has a validation part, or the share is not between 0 and 1.
    """
    if split.valid is not None:
        raise InputError(f"{split.provenance.name}: expected a split without a validation part, it has one; use it as it is")
    if not 0 < share < 1:
        raise InputError(f"expected a share between 0 and 1 for validation, got {share}")
    labels = _at_random(split.train.rows, split.train.num_users, share, 0.0, generator)
    train, valid = split.train.select(labels == TRAIN), split.train.select(labels == VALID)
    counts = {**split.provenance.counts, "train": train.num_interactions, "valid": valid.num_interactions}
    provenance = replace(split.provenance, counts=counts)
    return replace(split, train=train, valid=valid, provenance=provenance, selection="valid-from-train")


def given_split(
    train: Source,
    test: Source,
    valid: Source | None = None,
    *,
    user: str | None = None,
    item: str | None = None,
    weight: str | None = None,
    time: str | None = None,
    min_weight: float | None = None,
    duplicates: Duplicates = "last",
    repeats: Repeats = "refuse",
    name: str = "interactions",
) -> Split:
    """A split whose parts are files or frames; protocol ``lit-files``.

    Users and items are numbered by first appearance in train, then valid, then test; those that train lacks have empty rows
    in it.

    Args:
        train: A file or frame, see ``read_events``; or a ``.txt`` file of lists ``user item item ...``, see ``read_lists``.
        test: The same.
        valid: The same; ``None`` where there is none.
        user: Column of users, in every part; see ``read_events`` for this and the next four.
        item: Column of items.
        weight: Column of weights.
        time: Column of times.
        min_weight: Rows of a smaller weight are left out.
        duplicates: What becomes of rows that repeat a pair within a part.
        repeats: What becomes of pairs that an earlier part has: ``"drop"``, ``"keep"`` or ``"refuse"``.
        name: What the data are called.

    Raises:
        InputError: A fault in one of the parts, or parts that share pairs.
    """
    sources = {"train": train, **({} if valid is None else {"valid": valid}), "test": test}
    users = items = None
    read: dict[str, Events] = {}
    for part, source in sources.items():
        if isinstance(source, str | Path) and ".txt" in Path(source).suffixes[-2:]:
            events = read_lists(source, users=users, items=items)
        else:
            events = read_events(
                source, user=user, item=item, weight=weight, time=time, min_weight=min_weight, users=users, items=items
            )
        users, items = events.users, events.items
        read[part] = events
    last = read["test"]
    parts = {part: replace(e, users=last.users, items=last.items).interactions(duplicates) for part, e in read.items()}
    said = [Path(source).name if isinstance(source, str | Path) else f"{part} frame" for part, source in sources.items()]
    return split_of(
        parts["train"],
        parts.get("valid"),
        parts["test"],
        protocol="lit-files",
        repeats=repeats,
        name=name,
        source=" + ".join(said),
    )


def _check_shares(valid: float, test: float) -> None:
    if not (0 <= valid < 1 and 0 < test < 1 and valid + test < 1):
        raise InputError(f"expected shares that leave some rows to train on, got {valid} for validation and {test} for testing")


def _at_random(user: NDArray[np.int32], num_users: int, valid: float, test: float, generator: torch.Generator | None) -> Labels:
    """A part for each pair, users ascending."""
    drawn = torch.rand(user.size, generator=generator, dtype=torch.float64).numpy()
    order = np.lexsort((drawn, user))
    counts = np.bincount(user, minlength=num_users)
    # A hair above, since 0.1 * 30 is 2.9999999999999996 in some spellings of 0.1.
    for_test, for_valid = (np.floor(share * counts + 1e-9).astype(np.int64) for share in (test, valid))
    for_test += (for_test == 0) & (test > 0) & (counts - for_valid > 1)
    for_valid += (for_valid == 0) & (valid > 0) & (counts - for_test > 1)
    place = np.arange(user.size) - (np.cumsum(counts) - counts)[user]
    labels: Labels = np.full(user.size, TRAIN, dtype=np.int8)
    labels[order[place < (for_test + for_valid)[user]]] = VALID
    labels[order[place < for_test[user]]] = TEST
    return labels
