"""The two ways in which numbers are drawn here."""

from __future__ import annotations

import torch
from torch import Tensor


def below(limit: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """A uniform number in ``0 .. limit - 1`` for each limit, out of 53 random bits.

    The probability of any number is within a share of ``limit / 2^53`` of ``1 / limit``. `torch.randint` takes one limit for
    all, and the rest of 32 bits, which is that much coarser.

    Args:
        limit: ``>= 1``, on the CPU.
        generator: Of the bits; torch's own when ``None``.

    Shapes:
        limit: any, int64; returns: the same.
    """
    return (torch.rand(limit.shape, generator=generator, dtype=torch.float64) * limit).long()


def shuffled(count: int, draws: int, generator: torch.Generator | None = None) -> Tensor:
    """The numbers ``0 .. count - 1`` in random order, as many passes after one another as ``draws`` takes; the last is cut.

    Memory 4 bytes a number, 8 where 31 bits are too few.

    Args:
        count: ``>= 1``.
        draws: How many numbers in all.
        generator: Of the orders; torch's own when ``None``.

    Shapes:
        returns: ``(draws,)``, int32 or int64.
    """
    dtype = torch.int32 if count <= torch.iinfo(torch.int32).max else torch.int64
    order = torch.empty(-(-draws // count) * count, dtype=dtype)
    for one in torch.split(order, count):
        torch.randperm(count, generator=generator, dtype=dtype, out=one)
    return order[:draws]
