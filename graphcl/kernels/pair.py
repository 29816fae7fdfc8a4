"""The log-sum-exp over all pairs: N x M similarities, met one tile at a time.

It keeps O(N + M) results, and the backward pass meets the tiles again instead of storing them, so both directions need
O((N + M) D) memory.
"""

from __future__ import annotations

import math
from typing import Any, Literal, overload

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from graphcl.errors import InputError
from graphcl.kernels.backend import Backend, uses_triton
from graphcl.kernels.columns import Columns
from graphcl.kernels.pair_blocks import pair_lse_blocks, row_scale
from graphcl.kernels.pair_logits import BothWeights, Logits, RowWeights, finite, inverse, log_add
from graphcl.kernels.pair_reference import pair_lse_reference
from graphcl.kernels.pair_self import SelfLSE, mirrored
from graphcl.kernels.pair_tiles import add_product, check_pairs, working_type
from graphcl.kernels.rule import Rule


@overload
def pair_lse(
    a: Tensor,
    columns: Columns,
    *,
    scale: float | Tensor,
    rule: Rule | None = None,
    both: Literal[False] = False,
    bf16: bool = False,
    backend: Backend = "auto",
) -> Tensor: ...
@overload
def pair_lse(
    a: Tensor,
    columns: Columns,
    *,
    scale: float | Tensor,
    rule: Rule | None = None,
    both: Literal[True],
    bf16: bool = False,
    backend: Backend = "auto",
) -> tuple[Tensor, Tensor]: ...
def pair_lse(
    a: Tensor,
    columns: Columns,
    *,
    scale: float | Tensor,
    rule: Rule | None = None,
    both: bool = False,
    bf16: bool = False,
    backend: Backend = "auto",
) -> Tensor | tuple[Tensor, Tensor]:
    """Row-wise ``log sum_j w_ij exp(scale_i * <a_i, z_j> + bias_j)`` over the pairs that count; with ``both`` also column-wise.

    ``w_ij`` is 1, or the weight that ``rule.clusters`` gives. Time ``O(N M D)``, memory ``O((N + M) D)`` and one workspace
    of 4 MB whatever ``N`` and ``M`` are. Where ``columns.z`` is ``a`` itself and the rule does not tell the two sides apart,
    half of the pairs serve for all; where ``columns.blocks`` lists some, only these are met. A row or column in which
    nothing counts gives ``-inf`` and no gradient. Gradients go to ``a``, ``columns.z``, ``columns.bias`` and ``scale``.
    Half-precision inputs are computed with in single precision, and so is their result; their gradients are rounded once, at
    the end. Triton, on a GPU, needs no workspace, and rounds the weights of half-precision gradients to the inputs' digits.

    Args:
        a: Anchors.
        columns: Candidates.
        scale: Multiplies the dot product: one over the temperature, or one over the temperature of each anchor.
        rule: Which pairs count; all when ``None``.
        both: Whether the sums over anchors, ``log sum_i`` of the same terms, come along out of the same sweep.
        bf16: Whether products are made of numbers rounded to bfloat16, and rounded to it: faster where the hardware has them,
            with logits that are off by up to one part in 100.
        backend: ``"torch"`` runs anywhere, ``"triton"`` on an NVIDIA GPU; ``"auto"`` takes Triton where it can, see `backend`.

    Shapes:
        a: ``(N, D)``; columns.z: ``(M, D)``; scale: one number or ``(N,)``;
            returns: ``(N,)``, with ``both`` ``(N,)`` and ``(M,)``.

    Raises:
        InputError: Shapes, types or devices that do not belong together; blocks with ``both`` or ``bf16``; Triton where it
            cannot run.
    """
    rule = Rule() if rule is None else rule
    if columns.blocks is not None:
        if both or bf16:
            raise InputError("blocks give sums of rows in full precision only: leave both and bf16 out")
        return pair_lse_blocks(a, columns, scale=scale, rule=rule, backend=backend)
    check_pairs(a, columns, rule)
    dtype = working_type(a.dtype)
    factor = row_scale(scale, len(a), dtype, a.device)
    if uses_triton(backend, a):
        from graphcl.kernels.triton.lse import triton_pair_lse

        rows, others = triton_pair_lse(a, columns, scale=factor, rule=rule, both=both, bf16=bf16)
        return rows if others is None else (rows, others)
    if mirrored(a, columns, factor, rule):
        sums: Tensor = SelfLSE.apply(a.to(dtype), factor, rule, bf16)  # type: ignore[no-untyped-call]
        return (sums, sums) if both else sums
    bias = None if columns.bias is None else columns.bias.to(dtype)
    tensors = (a.to(dtype), columns.z.to(dtype), bias, factor)
    row_sums, column_sums = _PairLSE.apply(*tensors, columns.ids, rule, both, bf16)  # type: ignore[no-untyped-call]
    return (row_sums, column_sums) if both else row_sums


class _PairLSE(torch.autograd.Function):
    """Forward keeps one number a row and a column; backward recomputes each tile and turns it into all gradients."""

    @staticmethod
    def forward(
        ctx: Any,
        a: Tensor,
        z: Tensor,
        bias: Tensor | None,
        scale: Tensor,
        ids: Tensor | None,
        rule: Rule,
        both: bool,
        bf16: bool,
    ) -> tuple[Tensor, Tensor | None]:
        logits = Logits(a, z, bias, scale, ids, rule, spare=both, bf16=bf16)
        ctx.bounded = logits.bounded()
        ctx.ids, ctx.rule, ctx.both, ctx.bf16 = ids, rule, both, bf16
        rows, columns = _plain_sums(logits, both) if ctx.bounded else _shifted_sums(logits, both)
        for sums in (rows, columns):
            if sums is not None:
                sums.mul_(math.log(2))
        ctx.save_for_backward(a, z, bias, scale, rows, columns)
        return rows, columns

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, row_grad: Tensor, column_grad: Tensor | None = None) -> tuple[Tensor | None, ...]:
        a, z, bias, scale, rows_lse, columns_lse = ctx.saved_tensors
        logits = Logits(a, z, bias, scale, ctx.ids, ctx.rule, spare=ctx.both, bf16=ctx.bf16)
        need_a, need_z, need_bias, need_scale = ctx.needs_input_grad[:4]
        da = torch.zeros_like(a) if need_a or need_scale else None
        dz = torch.zeros_like(z) if need_z else None
        dbias = torch.zeros_like(bias) if need_bias else None
        # Where a tile has one coefficient a row, it goes to vectors and not to the tile.
        weights: RowWeights | BothWeights
        if column_grad is not None:
            share = torch.ones_like(row_grad)
            weights = BothWeights(logits, ctx.bounded, (rows_lse, row_grad), (columns_lse, column_grad))
        else:
            share = row_grad * inverse(rows_lse) if ctx.bounded else row_grad
            weights = RowWeights(logits, None if ctx.bounded else finite(rows_lse))
        tiles = logits.tiles
        pull, push = tiles.operand(a * (share * scale)[:, None]), tiles.operand(z)
        for rows, columns in tiles:
            tile = weights.tile(rows, columns)
            if dbias is not None:
                dbias[columns].addmv_(tile.T, share[rows])
            tile = tiles.rounded(tile)
            if da is not None:
                add_product(da[rows], tile, push[columns])
            if dz is not None:
                add_product(dz[columns], tile.T, pull[rows])
        dscale = None
        if da is not None:
            da.mul_(share[:, None])
            # d/d scale of scale * <a, z> needs no tile of its own: the row products are already in the unscaled gradient.
            dscale = (a * da).sum(1) if need_scale else None
            if dscale is not None and len(scale) != len(a):
                dscale = dscale.sum(0, keepdim=True)
            da.mul_(scale[:, None])
        return da, dz, dbias, dscale, None, None, None, None


def _plain_sums(logits: Logits, both: bool) -> tuple[Tensor, Tensor | None]:
    """No sum can overflow or vanish: two passes less over the tile."""
    rows_sum, columns_sum = _start(logits, both, 0.0)
    for rows, columns in logits.tiles:
        tile = logits.powers(rows, columns)
        rows_sum[rows] += tile.sum(1)
        if columns_sum is not None:
            columns_sum[columns] += tile.sum(0)
    return rows_sum.log2_(), None if columns_sum is None else columns_sum.log2_()


def _shifted_sums(logits: Logits, both: bool) -> tuple[Tensor, Tensor | None]:
    """Each tile is shifted by its own maximum, and what it gives is added to the rest as logarithms."""
    rows_sum, columns_sum = _start(logits, both, -torch.inf)
    for rows, columns in logits.tiles:
        tile = logits.tile(rows, columns)
        if columns_sum is not None:
            log_add(columns_sum[columns], tile, 0, out=logits.tiles.spare(tile))
        log_add(rows_sum[rows], tile, 1, out=tile)
    return rows_sum, columns_sum


def _start(logits: Logits, both: bool, value: float) -> tuple[Tensor, Tensor | None]:
    left, right = logits.tiles.left, logits.tiles.right
    return left.new_full((len(left),), value), right.new_full((len(right),), value) if both else None


__all__ = ["Columns", "Rule", "pair_lse", "pair_lse_reference"]
