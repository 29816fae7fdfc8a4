"""The log-sum-exp over pairs on a GPU, as autograd sees it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from graphcl.kernels.blocks import Blocks
from graphcl.kernels.columns import Columns
from graphcl.kernels.pair_logits import LOG2E, MAX_EXPONENT, finite, inverse
from graphcl.kernels.pair_self import mirrored
from graphcl.kernels.rule import Rule
from graphcl.kernels.triton.launch import Pairs
from graphcl.kernels.triton.selection import Selection


def triton_pair_lse(
    a: Tensor, columns: Columns, *, scale: Tensor, rule: Rule, both: bool = False, bf16: bool = False
) -> tuple[Tensor, Tensor | None]:
    """`pair_lse` by Triton kernels, of arguments that were checked: sums of rows and, with ``both``, of columns, in fp32.

    Operands stay in the type they have (halves are multiplied as they are, sums are fp32), and gradients are rounded once, at
    the end. Time ``O(N M D)``: one product of that size for each side in the forward pass and two in the backward, half of
    it where the sides are one set. Memory ``O(N + M)`` beside the gradients.

    Args:
        a: Anchors.
        columns: Candidates.
        scale: Multiplies the dot product.
        rule: Which pairs count.
        both: Whether sums of columns come along.
        bf16: Whether single-precision operands are rounded to bfloat16.

    Shapes:
        a: ``(N, D)``; columns.z: ``(M, D)``; scale: ``(1,)`` or ``(N,)``; returns: ``(N,)`` and ``(M,)``.
    """
    if columns.blocks is None and mirrored(a, columns, scale, rule):
        rows: Tensor = _TritonSelfLSE.apply(a, scale, rule, bf16)  # type: ignore[no-untyped-call]
        return rows, rows if both else None
    rows, others = _TritonLSE.apply(  # type: ignore[no-untyped-call]
        a, columns.z, columns.bias, scale, columns.ids, rule, columns.blocks, both, bf16
    )
    return rows, others


class _TritonLSE(torch.autograd.Function):
    """Forward keeps one number a row and a column; backward meets the pairs once from each side that needs a gradient."""

    @staticmethod
    def forward(
        ctx: Any,
        a: Tensor,
        z: Tensor,
        bias: Tensor | None,
        scale: Tensor,
        ids: Tensor | None,
        rule: Rule,
        blocks: Blocks | None,
        both: bool,
        bf16: bool,
    ) -> tuple[Tensor, Tensor | None]:
        ctx.selection = Selection(len(a), len(z), ids, rule, blocks, a.device)
        ctx.bf16 = bf16
        pairs = _pairs(a, z, bias, scale, ctx.selection, bf16)
        rows = pairs.sums()
        columns = pairs.sums(columns=True) if both else None
        ctx.bounded = both and _bounded(pairs)
        ctx.save_for_backward(a, z, bias, scale, rows, columns)
        return rows, columns

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, row_grad: Tensor, column_grad: Tensor | None = None) -> tuple[Tensor | None, ...]:
        a, z, bias, scale, rows, columns = ctx.saved_tensors
        need_a, need_z, need_bias, need_scale = ctx.needs_input_grad[:4]
        pairs = _pairs(a, z, bias, scale, ctx.selection, ctx.bf16)
        weights = {"row_weights": _weights(row_grad, rows, ctx.bounded), "bounded": ctx.bounded}
        if columns is not None and column_grad is not None:
            weights["column_weights"] = _weights(column_grad, columns, ctx.bounded)
        da = dz = dbias = dscale = None
        if need_a or need_scale:
            da, _, dscale = pairs.gradients(**weights, dots=need_scale, dtype=a.dtype)
            if dscale is not None and len(scale) != len(a):
                dscale = dscale.sum(0, keepdim=True)
        if need_z or need_bias:
            dz, dbias, _ = pairs.gradients(columns=True, **weights, sums=need_bias, dtype=z.dtype)
            dbias = None if dbias is None else dbias.to(bias.dtype)
        return da, dz, dbias, None if dscale is None else dscale.to(scale.dtype), None, None, None, None, None


class _TritonSelfLSE(torch.autograd.Function):
    """A set with itself: the sums of its rows are those of its columns, and one launch gives the gradient of both roles."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, scale: Tensor, rule: Rule, bf16: bool) -> Tensor:
        ctx.selection = Selection(len(a), len(a), None, rule, None, a.device)
        ctx.bf16 = bf16
        pairs = _pairs(a, a, None, scale, ctx.selection, bf16)
        rows = pairs.sums()
        ctx.bounded = _bounded(pairs)
        ctx.save_for_backward(a, scale, rows)
        return rows

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        a, scale, rows = ctx.saved_tensors
        need_scale = ctx.needs_input_grad[1]
        weights = _weights(grad, rows, ctx.bounded)
        da, _, dots = _pairs(a, a, None, scale, ctx.selection, ctx.bf16).gradients(
            row_weights=weights, column_weights=weights, bounded=ctx.bounded, dots=need_scale, dtype=a.dtype
        )
        # Each row met itself as an anchor and as a candidate.
        return da, None if dots is None else (dots.sum(0, keepdim=True) / 2).to(scale.dtype), None, None


def _pairs(a: Tensor, z: Tensor, bias: Tensor | None, scale: Tensor, selection: Selection, bf16: bool) -> Pairs:
    a, z = ((t.bfloat16() if bf16 else t).contiguous() for t in (a, z))
    factor = (scale.float() * LOG2E).contiguous()
    return Pairs(a, z, factor, selection, column_add=None if bias is None else (bias.float() * LOG2E).contiguous())


def _bounded(pairs: Pairs) -> bool:
    """Whether every logit is so small that exponentials need no shift, so that one serves the sums of both sides."""
    if pairs.column_add is not None or len(pairs.a) == 0:
        return False
    left, right = (torch.linalg.vector_norm(t, dim=1, dtype=torch.float32) for t in (pairs.a, pairs.z))
    return bool((left * pairs.scale.abs()).max() * right.max() <= MAX_EXPONENT)


def _weights(grad: Tensor, lse: Tensor, bounded: bool) -> tuple[Tensor, Tensor | None]:
    """What a pair is weighted by, ``grad * exp2(t - lse)``, in two vectors, or in one where no shift is needed.

    Shapes:
        grad, lse: ``(N,)``; returns: ``(N,)`` and ``(N,)``.
    """
    if bounded:
        return (grad * inverse(lse)).contiguous(), None
    return grad.float().contiguous(), finite(lse)
