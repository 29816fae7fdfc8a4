"""Sequences to a split: the last of each user, or one cut in time for everybody; one next event a user is to be found."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from graphcl.datasets.provenance import Provenance
from graphcl.errors import InputError, unknown_name
from graphcl.recsys.data.events import Events
from graphcl.recsys.data.split import Split, split_of
from graphcl.recsys.data.splits import leave_one_out, temporal_split
from graphcl.recsys.sequences.sequences import Sequences

How: TypeAlias = Literal["leave-one-out", "temporal"]
Part: TypeAlias = Literal["valid", "test"]


@dataclass(frozen=True, eq=False)
class SequenceSplit:
    """The rows of each part in order, beside the pairs that ``evaluate`` takes; all over one set of ids.

    What is to be found is one event a user, the first of the part. Under leave-one-out that is the whole part. Under
    ``"temporal"`` a part goes on: ``split`` has all of validation, since it is the past of the test, and ``for_part("valid")``
    the first event of each user in its place.

    Args:
        split: Pairs of training, of all of validation, and of the next event of each user in the test part.
        train: What a model learns from.
        valid: What chooses; ``None`` where there is none.
        test: What judges, whole.
    """

    split: Split
    train: Sequences
    valid: Sequences | None
    test: Sequences

    @property
    def provenance(self) -> Provenance:
        """Where the events come from."""
        return self.split.provenance

    def for_part(self, part: Part) -> Split:
        """What ``evaluate(..., part=part)`` takes, so that what is to be found is the next event of each user.

        Raises:
            InputError: No such part.
        """
        self._sequences(part)
        return self.split if part == "test" else self._selection

    def histories(self, part: Part) -> Sequences:
        """What is known of each user before that part: training, and validation too before the test. May be empty.

        Raises:
            InputError: No such part.
        """
        self._sequences(part)
        return self.train if part == "valid" or self.valid is None else self.train.extended(self.valid)

    @cached_property
    def _selection(self) -> Split:
        if self.valid is None or self.valid.lengths.max() <= 1:
            return self.split
        return replace(self.split, valid=next_events(self.valid).interactions())

    def _sequences(self, part: Part) -> Sequences:
        if part not in get_args(Part):
            raise unknown_name("part", part, get_args(Part))
        found = self.test if part == "test" else self.valid
        if found is None:
            raise InputError("the split has no validation part: score the test part, or make it with valid=True")
        return found


def sequence_split(
    data: Events | Sequences,
    *,
    how: How = "leave-one-out",
    valid: bool = True,
    shares: tuple[float, float] = (0.1, 0.1),
    at: tuple[float, float] | None = None,
    dedup_consecutive: bool = False,
    name: str = "interactions",
) -> SequenceSplit:
    """Training, validation and test, each in order; what an earlier part has may be a target again.

    ``"leave-one-out"`` (protocol ``lit-loo``) tests the last event of each user and validates the one before. Users with too
    few events to leave one for training are in training only. The split leaks in time; ``notes["future_share"]`` says how
    much. ``"temporal"`` (protocol ``strict``) cuts everybody at the same two times, events of one time on one side. ``notes``
    also has ``tie_share``, the share of neighbours whose order is only that of the file, and ``collapsed``. ``O(E log E)``.

    Args:
        data: Events; without times their order of rows decides.
        how: ``"leave-one-out"`` or ``"temporal"``.
        valid: Whether to have a validation part.
        shares: Of the rows in validation and test, for ``"temporal"``; without validation the first counts for training.
        at: Times of the two cuts, in place of shares, for ``"temporal"``.
        dedup_consecutive: Whether to keep only the first of a run of one item, before anything else.
        name: What the data are called.

    Raises:
        InputError: An unknown way, no times for ``"temporal"``, or a part that would be empty.
    """
    if how not in get_args(How):
        raise unknown_name("way to split sequences", how, get_args(How))
    whole = data if isinstance(data, Sequences) else Sequences.of_events(data)
    kept = whole.collapsed() if dedup_consecutive else whole
    notes = {} if kept.tie_share is None else {"tie_share": kept.tie_share}
    if dedup_consecutive:
        notes["collapsed"] = float(whole.num_events - kept.num_events)
    if how == "leave-one-out":
        split = leave_one_out(kept.events(), valid=valid, repeats="keep", name=name)
        train, held, test = _last_events(kept, 2 if valid else 1)
    else:
        if not valid:
            shares, at = (0.0, shares[1]), None if at is None else (at[1], at[1])
        split = temporal_split(kept.events(), valid=shares[0], test=shares[1], at=at, repeats="keep", name=name)
        train, held, test = _by_time(kept, split)
        target = next_events(test).interactions()
        split = split_of(
            split.train, split.valid, target, protocol=split.protocol, repeats="keep", name=name, notes=split.notes
        )
    split = replace(split, notes={**split.notes, **notes})
    return SequenceSplit(split, train, held if split.valid is not None else None, test)


def next_events(part: Sequences) -> Sequences:
    """The first event of each user. ``O(U + E)``."""
    first = np.zeros(part.num_events, dtype=np.bool_)
    first[part.indptr[:-1][part.lengths > 0]] = True
    return part.select(first)


def _last_events(whole: Sequences, held: int) -> tuple[Sequences, Sequences, Sequences]:
    lengths = whole.lengths
    from_end = np.repeat(whole.indptr[1:], lengths) - 1 - np.arange(whole.num_events)
    from_end[np.repeat(lengths <= held, lengths)] = held
    return whole.select(from_end >= held), whole.select((from_end < held) & (from_end > 0)), whole.select(from_end == 0)


def _by_time(whole: Sequences, split: Split) -> tuple[Sequences, Sequences, Sequences]:
    # By the newest of each part, which are whole numbers: the cuts among the notes are rounded to floats.
    newest = [part.times.max() for part in (split.train, split.valid) if part is not None and part.times is not None]
    times: NDArray[np.int64] = np.zeros(0, dtype=np.int64) if whole.times is None else whole.times
    early, late = times <= newest[0], times > newest[-1]
    return whole.select(early), whole.select(~early & ~late), whole.select(late)
