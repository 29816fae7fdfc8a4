"""Sums of a kernel over pairs on a GPU, as autograd sees them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from graphcl.kernels.columns import Columns
from graphcl.kernels.pair_kernel import PairKernel
from graphcl.kernels.rule import Rule
from graphcl.kernels.triton.kernel_numbers import kernel_numbers
from graphcl.kernels.triton.launch import Pairs
from graphcl.kernels.triton.selection import Selection


def triton_pair_sum(a: Tensor, columns: Columns, *, kernel: PairKernel, rule: Rule) -> Tensor:
    """`pair_sum` by Triton kernels, of arguments that were checked, with a kernel that `kernel_numbers` knows; in fp32.

    Half-precision rows are multiplied as they are, and their distances not centred: their products are exact. Time
    ``O(N M D)``, one such product in the forward pass and two for each side in the backward; memory ``O(N + M)`` beside the
    gradients, and a centred copy of single-precision rows.

    Args:
        a: Anchors.
        columns: Candidates, without a bias.
        kernel: What is summed.
        rule: Which pairs count.

    Shapes:
        a: ``(N, D)``; columns.z: ``(M, D)``; returns: ``(N,)``.
    """
    result: Tensor = _TritonSum.apply(a, columns.z, columns.ids, kernel, rule)  # type: ignore[no-untyped-call]
    return result


class _TritonSum(torch.autograd.Function):
    """Forward keeps nothing but the inputs; backward meets the pairs once from each side that needs a gradient."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, z: Tensor, ids: Tensor | None, kernel: PairKernel, rule: Rule) -> Tensor:
        ctx.selection, ctx.kernel = Selection(len(a), len(z), ids, rule, None, a.device), kernel
        ctx.save_for_backward(a, z)
        return _pairs(a, z, kernel, ctx.selection).sums()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        a, z = ctx.saved_tensors
        pairs = _pairs(a, z, ctx.kernel, ctx.selection)
        weights = (grad.float().contiguous(), None)
        da = dz = None
        if ctx.needs_input_grad[0]:
            da = pairs.gradients(row_weights=weights, dtype=a.dtype)[0]
        if ctx.needs_input_grad[1]:
            dz = pairs.gradients(columns=True, row_weights=weights, dtype=z.dtype)[0]
        return da, dz, None, None, None


def _pairs(a: Tensor, z: Tensor, kernel: PairKernel, selection: Selection) -> Pairs:
    """Squared distances as ``|a|^2 + |z|^2 - 2 <a, z>``; dot products times their scale."""
    numbers = kernel_numbers(kernel)
    assert numbers is not None
    kind, p, q = numbers
    if not kernel.of_distance:
        scale = torch.full((1,), p, device=a.device)
        return Pairs(a.contiguous(), z.contiguous(), scale, selection, kind)
    if a.dtype == torch.float32:
        centre = z.mean(0)  # distances stay as they are, and their rounding shrinks
        a, z = a - centre, z - centre
    squares = [torch.linalg.vector_norm(t, dim=1, dtype=torch.float32).square() for t in (a, z)]
    scale = torch.full((1,), -2.0, device=a.device)
    return Pairs(a.contiguous(), z.contiguous(), scale, selection, kind, p, q, *squares)
