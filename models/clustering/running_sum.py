"""A training loop that never clears its gradients, as an operation of the graph."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


def running_sum(parameter: Tensor, total: Tensor) -> Tensor:
    """The parameter itself, whose gradient becomes the sum of all gradients that it ever got this way.

    Some official code never sets gradients to zero between steps; its optimiser then follows their running sum, which is
    another method than the one that is written down. This reproduces it under a loop that does clear them: one backward pass
    a step. The sum is state, to be kept with the parameter.

    Args:
        parameter: What is trained; used once a step.
        total: The sum so far, written to by every backward pass.

    Shapes:
        parameter, total, returns: the same.
    """
    same: Tensor = _RunningSum.apply(parameter, total)  # type: ignore[no-untyped-call]
    return same


class _RunningSum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, parameter: Tensor, total: Tensor) -> Tensor:
        ctx.total = total
        return parameter.view_as(parameter)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return ctx.total.add_(grad).clone(), None
