"""The learning rate over the epochs: warmed up, then constant or falling along a cosine."""

from __future__ import annotations

import math
from typing import Literal

Schedule = Literal["constant", "cosine"]


def rate_factor(time: float, epochs: int, *, warmup_epochs: int = 0, schedule: Schedule = "constant") -> float:
    """What the learning rate is multiplied by at a moment of the training; nothing but the moment decides it.

    ``t / w`` while ``t < w``; then 1, or ``(1 + cos(pi (t - w) / (T - w))) / 2``, which falls from 1 at ``w`` to 0 at ``T``.
    A run that is taken up again needs no memory of it. The cosine is that of Loshchilov and Hutter, 2017,
    https://arxiv.org/abs/1608.03983, without restarts.

    Args:
        time: ``t``, epochs since the start: whole on a graph, between two of them on batches.
        epochs: ``T``, all epochs of the training.
        warmup_epochs: ``w``; a training that is no longer than that never gets beyond the line.
        schedule: What follows the warm-up.
    """
    if time < warmup_epochs:
        return time / warmup_epochs
    if schedule == "constant":
        return 1.0
    if time >= epochs:
        return 0.0
    return 0.5 * (1.0 + math.cos(math.pi * (time - warmup_epochs) / (epochs - warmup_epochs)))
