"""An epoch of triples: a user, an item they have, and items they do not have."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from graphcl.errors import InputError, unknown_name
from graphcl.recsys.ranking.rows import HasRows
from graphcl.recsys.sampling.samplers import SAMPLERS, Pool
from graphcl.recsys.sampling.unseen import Unseen

BLOCK = 2**16  # negatives drawn at a time: fewer cost more calls, more leave the cache


class Triples(NamedTuple):
    """A batch; row ``b`` of the negatives belongs to the user of row ``b``.

    Shapes:
        user, positive: ``(B,)`` int64; negative: ``(B,)``, or ``(B, K)`` where there are several.
    """

    user: Tensor
    positive: Tensor
    negative: Tensor


class TripleSource:
    """Batches of triples out of training rows, drawn anew each epoch.

    Negatives are uniform over the items that the user does not have in training. Users who have every item have no
    negative: they are never drawn, and ``dropped`` says how many pairs that leaves out of each epoch. Users without a row are
    never drawn either.

    ``"interaction"`` shows every pair once (SELFRec, SGL); ``"user-uniform"`` as many pairs, each of a random user, so that
    light users count for more (LightGCN in Python, DCCF); ``"user-stratified"`` every user ``pairs // users`` times (LightGCN
    in C++). Time ``O(log)`` of the longest row a negative; memory 4 bytes a pair during an epoch, less for
    ``"user-uniform"``, and 32 bytes a user, whatever the number of items. All draws are made on the CPU, the same for every
    device. Differs from the published code, which draws one at a time in Python, or tries again without end for a user who
    has every item.

    Args:
        train: The rows.
        batch_size: Triples a batch, ``>= 1``; the last of a pass may be shorter.
        sampler: Which pairs: ``"interaction"``, ``"user-uniform"`` or ``"user-stratified"``.
        negatives: Of each pair, ``>= 1``, drawn independently.
        batches: Of an epoch, all full, whether that is part of a pass or several; one pass when ``None``.
        device: Where the batches go; the CPU when ``None``.
        generator: Of all draws, on the CPU; torch's own when ``None``.

    Raises:
        InputError: Rows that are no rows, no interactions, no negatives, a number below 1, or an unknown sampler.
    """

    def __init__(
        self,
        train: HasRows,
        *,
        batch_size: int = 2048,
        sampler: str = "interaction",
        negatives: int = 1,
        batches: int | None = None,
        device: torch.device | str | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        if sampler not in SAMPLERS:
            raise unknown_name("sampler", sampler, SAMPLERS)
        for name, value in (("batch_size", batch_size), ("negatives", negatives), ("batches", batches)):
            if value is not None and value < 1:
                raise InputError(f"{name} must be 1 or more; got {value}")
        self.unseen = Unseen(train)
        self.pool = Pool(self.unseen)
        self.sampler = SAMPLERS[sampler](self.pool)
        self.batch_size, self.negatives = batch_size, negatives
        self.draws = self.sampler.draws if batches is None else batches * batch_size
        self.device, self.generator = torch.device("cpu" if device is None else device), generator

    @property
    def dropped(self) -> int:
        """Training pairs that no epoch shows, because their users have every item."""
        return len(self.unseen.items) - self.pool.num_pairs

    def __len__(self) -> int:
        return -(-self.draws // self.batch_size)

    def batches(self, epoch: int) -> Iterator[Triples]:
        """The batches of an epoch. They follow from the state of the generator when the first one is asked for.

        Args:
            epoch: Its number; not used, since the generator moves on from epoch to epoch.
        """
        block = self.batch_size * max(1, BLOCK // (self.batch_size * self.negatives))
        for row, place in self.sampler.draw(self.draws, block, self.generator):
            user = self.pool.users.index_select(0, row)
            positive = self.unseen.items.index_select(0, self.unseen.start.index_select(0, user) + place).long()
            wanted = user if self.negatives == 1 else user.unsqueeze(1).expand(-1, self.negatives)
            drawn = (user, positive, self.unseen.draw(wanted, self.generator))
            yield from map(Triples, *(torch.split(part.to(self.device), self.batch_size) for part in drawn))
