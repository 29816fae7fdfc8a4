"""The log-sum-exp of a set with itself: each pair of tiles is met once and serves both its rows and its columns."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from graphcl.kernels.columns import Columns
from graphcl.kernels.pair_logits import BothWeights, Logits, log_add
from graphcl.kernels.pair_tiles import add_product
from graphcl.kernels.rule import Rule


def mirrored(a: Tensor, columns: Columns, scale: float | Tensor, rule: Rule) -> bool:
    """Whether pair ``(i, j)`` is pair ``(j, i)``: one set on both sides, one scale, a rule that does not tell them apart."""
    if a is not columns.z or columns.bias is not None or (isinstance(scale, Tensor) and scale.numel() != 1):
        return False
    pairs = (rule.same, rule.different, rule.clusters)
    if rule.seen is not None or any(pair is not None and pair[0] is not pair[1] for pair in pairs):
        return False
    itself = rule.exclude is None or (
        columns.ids is None and torch.equal(rule.exclude, torch.arange(len(a), device=a.device).to(rule.exclude))
    )
    return itself


class SelfLSE(torch.autograd.Function):
    """Half the products and exponentials of two equal sides: tiles below the diagonal are those above, transposed."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, scale: Tensor, rule: Rule, bf16: bool) -> Tensor:
        """Row sums, which are column sums too.

        Shapes:
            a: ``(N, D)``; scale: ``(1,)``; returns: ``(N,)``.
        """
        logits = Logits(a, a, None, scale, None, rule, spare=True, triangle=True, bf16=bf16)
        ctx.bounded, ctx.rule, ctx.bf16 = logits.bounded(), rule, bf16
        sums = a.new_full((len(a),), 0.0 if ctx.bounded else -torch.inf)
        for rows, columns in logits.tiles:
            own, rest = _parts(rows, columns)
            if ctx.bounded:
                tile = logits.powers(rows, columns)
                sums[rows] += tile.sum(1)
                sums[rest] += tile[:, own:].sum(0)
            else:
                tile = logits.tile(rows, columns)
                if own < tile.shape[1]:
                    log_add(sums[rest], tile[:, own:], 0, out=logits.tiles.spare(tile)[:, own:])
                log_add(sums[rows], tile, 1, out=tile)
        lse = (sums.log2_() if ctx.bounded else sums).mul_(math.log(2))
        ctx.save_for_backward(a, scale, lse)
        return lse

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients to the set and the scale."""
        a, scale, lse = ctx.saved_tensors
        logits = Logits(a, a, None, scale, None, ctx.rule, spare=True, triangle=True, bf16=ctx.bf16)
        weights = BothWeights(logits, ctx.bounded, (lse, grad), (lse, grad))
        da = torch.zeros_like(a)
        operand = logits.tiles.operand(a)
        for rows, columns in logits.tiles:
            tile = logits.tiles.rounded(weights.tile(rows, columns))
            own, rest = _parts(rows, columns)
            add_product(da[rows], tile, operand[columns])
            add_product(da[rest], tile[:, own:].T, operand[rows])
        # Each row met itself as an anchor and as a candidate.
        dscale = (a * da).sum().reshape(1) / 2 if ctx.needs_input_grad[1] else None
        return da.mul_(scale), dscale, None, None


def _parts(rows: slice, columns: slice) -> tuple[int, slice]:
    """How many columns of a tile lie in the block on the diagonal, which holds both triangles, and where the others are."""
    own = max(0, min(rows.stop, columns.stop) - columns.start)
    return own, slice(columns.start + own, columns.stop)
