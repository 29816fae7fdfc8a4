"""What a sequential recommender goes by: the history of each user, in order, and how much of it was learned from."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from graphcl.datasets.arrays import read_arrays
from graphcl.errors import InputError
from graphcl.recsys.data import IdMap
from graphcl.recsys.sequences import Sequences, SequenceSplit, sequence_split

NAMES = ("indptr", "learned", "values")


@dataclass(frozen=True, eq=False)
class Order:
    """Histories, which lists are made from, and their beginnings, which the model has learned from.

    Args:
        histories: All that is known of each user; without times, since they are in order.
        lengths: How many events of each history, from the oldest, the model has learned from.

    Shapes:
        lengths: ``(U,)`` int64.

    Raises:
        InputError: Lengths that are not those of beginnings.
    """

    histories: Sequences
    lengths: npt.NDArray[np.int64]

    def __post_init__(self) -> None:
        whole, own = self.histories.lengths, self.lengths
        if own.dtype != np.int64 or own.shape != whole.shape or (own < 0).any() or (own > whole).any():
            raise InputError(
                f"expected how many of their events were learned from, one number for each of {whole.size} histories and no "
                f"more than it has; got {own.dtype} of shape {own.shape}"
            )

    @classmethod
    def of(cls, histories: Sequences, learned: Sequences) -> Order:
        """Histories that go on from what was learned."""
        return cls(replace(histories, times=None), learned.lengths)

    @classmethod
    def read(cls, path: Path, users: IdMap, items: IdMap) -> Order:
        """What `arrays` gave, from a file.

        Raises:
            InputError: Missing, damaged, or over other ids.
        """
        arrays = read_arrays(path)
        if set(NAMES) - arrays.keys():
            raise InputError(f"{path}: expected arrays {', '.join(NAMES)}, found {', '.join(arrays) or 'none'}")
        values, indptr = arrays["values"].astype(np.int32), arrays["indptr"].astype(np.int64)
        return cls(Sequences(users, items, values, indptr), arrays["learned"].astype(np.int64))

    def arrays(self) -> Mapping[str, npt.NDArray[Any]]:
        """All there is to keep, besides the ids."""
        return dict(zip(NAMES, (self.histories.indptr, self.lengths, self.histories.values), strict=True))

    @cached_property
    def learned(self) -> Sequences:
        """What the model has learned from."""
        place = np.arange(self.histories.num_events) - np.repeat(self.histories.indptr[:-1], self.histories.lengths)
        return self.histories.select(place < np.repeat(self.lengths, self.histories.lengths))

    @cached_property
    def sha256(self) -> str:
        """Checksum of both."""
        digest = hashlib.sha256(self.histories.sha256.encode())
        digest.update(np.ascontiguousarray(self.lengths, dtype="<i8").tobytes())
        return digest.hexdigest()

    @property
    def num_bytes(self) -> int:
        """What it takes in memory."""
        return sum(array.nbytes for array in self.arrays().values())


def held_out(split: SequenceSplit) -> SequenceSplit:
    """The split with the last training event of each user as its validation part, where that leaves an event.

    Raises:
        InputError: No user has two events.
    """
    held = sequence_split(split.train, valid=False)
    pairs = replace(
        split.split, train=held.train.interactions(), valid=held.test.interactions(), selection="valid-from-train"
    )  # fmt: skip
    return SequenceSplit(pairs, held.train, held.test, split.test)
