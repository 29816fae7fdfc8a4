"""How a positive and its negatives become one number; each link is a line of torch on N-vectors."""

from __future__ import annotations

from collections.abc import Callable

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
