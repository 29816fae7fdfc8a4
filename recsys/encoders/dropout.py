"""Dropout whose random bits cost a tenth on the CPU."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from graphcl.errors import InputError

LEVELS = 2**16  # of 16 bits, four of which come out of each number drawn


class Dropout(nn.Module):
    """Entries are zero with probability ``p`` in training, and the others grow so that the mean stays.

    `torch.nn.Dropout` draws a number for each entry, which on the CPU takes longer than the products around it. Here four
    entries share a number, so ``p`` is rounded to a multiple of ``2^-16``; by what entries grow is that of the rounded one.
    Other devices have torch's own. Random bits come from torch's generator. Time and memory ``O(n)``.

    Args:
        p: Probability of a zero, in ``[0, 1)``.

    Shapes:
        forward: any; returns: the same.

    Raises:
        InputError: A probability out of range.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        if not 0 <= p < 1:
            raise InputError(f"dropout must be in [0, 1); got {p}")
        self.p = p

    def forward(self, values: Tensor) -> Tensor:
        """Some entries zero in training, all as they are otherwise."""
        cut = min(round(self.p * LEVELS), LEVELS - 1)
        if not self.training or cut == 0:
            return values
        if values.device.type != "cpu":
            return F.dropout(values, self.p)
        number = values.numel()
        drawn = torch.empty(-(-number // 4), dtype=torch.int64).random_(torch.iinfo(torch.int64).min, None)
        kept = drawn.view(torch.int16)[:number].view(values.shape) >= cut - LEVELS // 2
        return values * kept.to(values.dtype).mul_(LEVELS / (LEVELS - cut))

    def extra_repr(self) -> str:
        """The probability, for ``print``."""
        return f"p={self.p:g}"
