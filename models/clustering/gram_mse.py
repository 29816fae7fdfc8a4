"""How far all cosines are from a sparse target, without the N x N array of either."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from graphcl.errors import InputError
from graphcl.kernels import Adjacency, propagate


def gram_mse(z1: Tensor, z2: Tensor, target: Adjacency) -> Tensor:
    """``||Z1 Z2^T - B||_F^2 / N^2`` for a sparse ``B``.

    By ``<Z1^T Z1, Z2^T Z2> - 2 sum_{(i, j) in B} B_ij <z1_i, z2_j> + sum B_ij^2``, the same value and the same gradient up to
    rounding. Time ``O(N D D + E D)`` instead of ``O(N N D)``, memory ``O(N D + D D)``: the dense form is cheaper up to about
    ``N = 2 D`` and is not offered.

    Args:
        z1: First view.
        z2: Second view.
        target: ``B``; its values are constants.

    Shapes:
        z1, z2: ``(N, D)``; target: ``(N, N)``; returns: scalar, ``>= 0`` up to rounding.

    Raises:
        InputError: Views of other shapes than the target's nodes ask for.
    """
    n = target.num_nodes
    if z1.ndim != 2 or z1.shape != z2.shape or len(z1) != n or n == 0:
        raise InputError(
            f"both views must be ({n}, D), a row for each node of the target, at least one; got {tuple(z1.shape)} and "
            f"{tuple(z2.shape)}"
        )
    grams: Tensor = _GramDot.apply(z1, z2)  # type: ignore[no-untyped-call]
    listed = (z1 * propagate(target, z2)).sum() / n**2
    return grams - 2 * listed + target.values.detach().square().sum() / n**2


class _GramDot(torch.autograd.Function):
    """``<Z1^T Z1, Z2^T Z2> / N^2``; autograd would multiply each view twice on the way back, for one symmetric product."""

    @staticmethod
    def forward(ctx: Any, z1: Tensor, z2: Tensor) -> Tensor:
        # Divided before they are multiplied: sums over a million nodes squared leave single precision little room.
        gram1, gram2 = z1.T @ z1 / len(z1), z2.T @ z2 / len(z1)
        ctx.save_for_backward(z1, z2, gram1, gram2)
        return (gram1 * gram2).sum()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:
        z1, z2, gram1, gram2 = ctx.saved_tensors
        scale = 2 * grad / len(z1)
        return scale * (z1 @ gram2), scale * (z2 @ gram1)
