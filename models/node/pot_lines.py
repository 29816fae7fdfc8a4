"""Parts and chords of bounds in few passes over memory: most of what POT adds to a step is reading and writing them."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

NOTHING = 1e-30  # in place of a gap that is 0: small, and yet a gradient divided by it is a number


class Parts(NamedTuple):
    """``max(x, 0)`` and ``min(x, 0)``, whose gradients at 0 are 0.

    Shapes:
        above, below: those of ``x``.
    """

    above: Tensor
    below: Tensor

    @classmethod
    def of(cls, x: Tensor) -> Parts:
        """The parts of ``x``."""
        return cls(*_Parts.apply(x))  # type: ignore[no-untyped-call]


def relu_lines(below: Tensor, above: Tensor) -> tuple[Tensor, Tensor]:
    """The chord of ReLU between two inputs, and how far above its parallel through 0 it lies.

    ``u / (u - l)`` and ``-l u / (u - l)``, for ``l`` the negative part of the lower input and ``u`` the positive one of the
    upper; 0 where both are 0: the input is 0 for certain then, and so is every line.

    Shapes:
        below, above: the same; returns: twice that.
    """
    chord, offset = _ReLULines.apply(below, above)  # type: ignore[no-untyped-call]
    return chord, offset


class _Parts(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> tuple[Tensor, Tensor]:
        above = torch.relu(x)
        below = x - above
        ctx.save_for_backward(above, below)
        ctx.set_materialize_grads(False)
        return above, below

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_above: Tensor | None, of_below: Tensor | None) -> Tensor | None:
        # Gradients of relu and of hardtanh, in place of torch.where: that branches at every entry, at ten times the cost.
        above, below = ctx.saved_tensors
        grad = None if of_above is None else torch.ops.aten.threshold_backward(of_above, above, 0)
        if of_below is None:
            return grad
        lower: Tensor = torch.ops.aten.hardtanh_backward(of_below, below, -torch.inf, 0)
        return lower if grad is None else lower.add_(grad)


class _ReLULines(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, below: Tensor, above: Tensor) -> tuple[Tensor, Tensor]:
        gap = torch.sub(above, below).clamp_(min=NOTHING)
        chord = above / gap
        ctx.save_for_backward(below, gap, chord)
        return chord, (chord * below).neg_()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_chord: Tensor, of_offset: Tensor) -> tuple[Tensor, Tensor]:
        """With ``g`` the gap and ``c`` the chord, ``dc = ((1 - c) du + c dl) / g``."""
        below, gap, chord = ctx.saved_tensors
        share = torch.addcmul(of_chord, of_offset, below, value=-1).div_(gap)
        lower = share * chord
        upper = share.sub_(lower)
        return lower.addcmul_(of_offset, chord, value=-1), upper
