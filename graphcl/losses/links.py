"""How a positive and its negatives become one number; each link is a line of torch on N-vectors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

Link = Callable[[Tensor, Tensor], Tensor]


def coupled(positive: Tensor, log_z: Tensor) -> Tensor:
    """``-log( e^l / (e^l + Z) )``: the positive is part of the partition.

    Shapes:
        positive, log_z: ``(N,)``, the positive's logit and the log-partition of the negatives; returns: ``(N,)``.
    """
    return torch.logaddexp(positive, log_z) - positive


def decoupled(positive: Tensor, log_z: Tensor) -> Tensor:
    """``-log( e^l / Z )``: the positive is left out of the partition.

    Shapes:
        positive, log_z: ``(N,)``; returns: ``(N,)``.
    """
    return log_z - positive


def shared(positive: Tensor, log_z: Tensor) -> Tensor:
    """``-log( e^(l/2) / Z )``: both directions of a sum carry half of the positive, and their own partition.

    Shapes:
        positive, log_z: ``(N,)``; returns: ``(N,)``.
    """
    return log_z - positive / 2


@dataclass(frozen=True)
class Reweighted:
    """``log Z - w_i l_i``: decoupled, with little weight on positives that agree well already.

    ``w_i = 2 - N softmax_i(l_i * ratio)``, whose mean is 1; a constant in the backward pass unless told otherwise.

    Args:
        ratio: Temperature of the similarity over the width of the weights, ``> 0``.
        detach: Whether no gradient flows through the weights.
    """

    ratio: float
    detach: bool = True

    def __call__(self, positive: Tensor, log_z: Tensor) -> Tensor:
        """One number an anchor.

        Shapes:
            positive, log_z: ``(N,)``; returns: ``(N,)``.
        """
        weight = 2 - len(positive) * torch.softmax(positive * self.ratio, 0)
        return log_z - (weight.detach() if self.detach else weight) * positive
