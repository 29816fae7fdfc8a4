"""The one place where views meet chance."""

from __future__ import annotations

import torch
from torch import Tensor

from graphcl.errors import InputError

Probability = float | Tensor


def draw_kept(p: Probability, count: int, device: torch.device, generator: torch.Generator | None = None) -> Tensor:
    """Which of ``count`` things stay when each goes with probability ``p``, one uniform number apiece.

    Numbers are drawn where the generator lives, so that one on the CPU gives the same view on every device.

    Args:
        p: One for all, or one for each.
        count: How many things.
        device: Where the answer is wanted.
        generator: Of the numbers; torch's own on ``device`` when ``None``.

    Shapes:
        p: scalar or ``(count,)``; returns: ``(count,)``, boolean.
    """
    home = device if generator is None else generator.device
    # In [0, 1): nothing goes at p = 0 and everything at p = 1.
    kept = torch.rand(count, generator=generator, device=home).to(device) >= (p.to(device) if isinstance(p, Tensor) else p)
    return kept


def check_probability(p: Probability, name: str = "p") -> Probability:
    """The probability itself, a vector of them detached.

    Args:
        p: One or a vector.
        name: What the caller calls it.

    Raises:
        InputError: Not in ``[0, 1]``, NaN, or a tensor that is not a vector of a floating type.
    """
    if not isinstance(p, Tensor):
        if not 0 <= p <= 1:
            raise InputError(f"{name} is the probability to go and lies in 0 .. 1; got {p}")
        return p
    if p.ndim != 1 or not p.is_floating_point():
        raise InputError(f"{name} must be a number or a vector of a floating type; got {tuple(p.shape)} of {p.dtype}")
    bad = ~((p >= 0) & (p <= 1))
    if bool(bad.any()):
        at = int(bad.nonzero()[0])
        raise InputError(f"{name} holds probabilities in 0 .. 1; got {float(p[at])} at {at}")
    return p.detach()


def check_length(p: Probability, count: int, things: str, name: str = "p") -> None:
    """Refuses a vector of probabilities that was made for something else.

    Args:
        p: One or a vector.
        count: How many there must be.
        things: What each belongs to: ``"edges"``.
        name: What the caller calls it.

    Raises:
        InputError: Another length.
    """
    if isinstance(p, Tensor) and len(p) != count:
        raise InputError(
            f"{name} holds {len(p)} probabilities but the graph has {count} {things}: was it made for another graph?"
        )
