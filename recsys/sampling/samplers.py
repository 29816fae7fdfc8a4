"""Which pairs of a user and an item an epoch shows; the three ways weigh users differently, so reports name theirs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

import torch
from torch import Tensor

from graphcl.errors import InputError
from graphcl.recsys.sampling.draws import below, shuffled
from graphcl.recsys.sampling.unseen import Unseen

Drawn = tuple[Tensor, Tensor]


class Pool:
    """The pairs that can be drawn: those of users who have an item and lack one.

    Memory ``O(U)``.

    Args:
        rows: The training rows.

    Shapes:
        users, degree, ends: ``(n,)``: the number, the row's length, and the pairs up to its end, of each such user.

    Raises:
        InputError: No such user.
    """

    def __init__(self, rows: Unseen) -> None:
        if len(rows.items) == 0:
            raise InputError("there is nothing to draw: train has no interactions")
        self.users = torch.nonzero((rows.degree > 0) & (rows.degree < rows.num_items)).squeeze(1)
        if len(self.users) == 0:
            raise InputError(
                f"there is no negative to draw: every user in train has all {rows.num_items} items. "
                "Are items missing that nobody has?"
            )
        self.degree = rows.degree.index_select(0, self.users)
        self.ends = self.degree.cumsum(0)
        self.num_pairs = int(self.ends[-1])


class Sampler(Protocol):
    """A law of drawing pairs out of a pool; ``draws`` is the number of pairs of one pass."""

    draws: int

    def draw(self, number: int, block: int, generator: torch.Generator | None) -> Iterator[Drawn]:
        """``number`` pairs, ``block`` at a time, as (row of the pool, place in that row).

        Shapes:
            yields: twice ``(block,)`` int64, the last ones perhaps shorter.
        """
        ...


class Interaction:
    """Every pair once, in random order: a user counts as often as they have items.

    Time ``O(log n)`` a draw to find its user; memory 4 bytes a pair.
    """

    def __init__(self, pool: Pool) -> None:
        self.pool, self.draws = pool, pool.num_pairs

    def draw(self, number: int, block: int, generator: torch.Generator | None) -> Iterator[Drawn]:
        """See `Sampler`."""
        for part in torch.split(shuffled(self.pool.num_pairs, number, generator), block):
            pair = part.long()
            row = torch.searchsorted(self.pool.ends, pair, right=True)
            first = self.pool.ends.index_select(0, row) - self.pool.degree.index_select(0, row)
            yield row, pair - first


class UserUniform:
    """A random user, with replacement, then one of their items: all users count alike, on average.

    As many draws as there are pairs. Time ``O(1)`` a draw, memory that of a block.
    """

    def __init__(self, pool: Pool) -> None:
        self.pool, self.draws = pool, pool.num_pairs

    def draw(self, number: int, block: int, generator: torch.Generator | None) -> Iterator[Drawn]:
        """See `Sampler`."""
        users = torch.tensor(len(self.pool.users))
        for start in range(0, number, block):
            row = below(users.expand(min(block, number - start)), generator)
            yield row, below(self.pool.degree.index_select(0, row), generator)


class UserStratified:
    """Each user exactly ``pairs // users`` times, in random order, each time with one of their items.

    Users are those of the pool, so that the quotient is at least 1, and strangers to training do not lower it. Time
    ``O(1)`` a draw, memory 4 bytes a draw.
    """

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self.draws = pool.num_pairs // len(pool.users) * len(pool.users)

    def draw(self, number: int, block: int, generator: torch.Generator | None) -> Iterator[Drawn]:
        """See `Sampler`."""
        for part in torch.split(shuffled(self.draws, number, generator), block):
            row = part.long() % len(self.pool.users)
            yield row, below(self.pool.degree.index_select(0, row), generator)


SAMPLERS: dict[str, Callable[[Pool], Sampler]] = {
    "interaction": Interaction,
    "user-uniform": UserUniform,
    "user-stratified": UserStratified,
}
