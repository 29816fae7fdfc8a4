"""The log-sum-exp of a power of the distance over all pairs, met one tile at a time."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from graphcl.errors import InputError
from graphcl.kernels.columns import Columns
from graphcl.kernels.pair_tiles import PairTiles, check_pairs, working_type
from graphcl.kernels.rule import Rule


def pair_power_lse(a: Tensor, columns: Columns, *, scale: float, gamma: float, rule: Rule | None = None) -> Tensor:
    """Row-wise ``log sum_j w_ij exp(-scale * |a_i - z_j|^gamma)`` over the pairs that count, by a running maximum.

    ``w_ij`` is 1, or the weight that ``rule.clusters`` gives; a row in which nothing counts gives ``-inf`` and no gradient.
    The power has no slope at distance 0 for ``gamma <= 1``, so it is `softened_power` that is summed. Distances come from dot
    products of centred rows, as in `pair_sum`: that of near-duplicates is right to about ``1e-3`` of the norms in single
    precision. Time ``O(N M D)``, memory ``O((N + M) D)`` and one workspace of 4 MB. Gradients go to ``a`` and ``columns.z``.
    Half-precision inputs are computed with in single precision, and so is the result. At ``gamma = 2`` `pair_lse` with the bias
    ``-scale |z_j|^2`` gives the same, faster.

    Args:
        a: Anchors.
        columns: Candidates, without a bias.
        scale: Multiplies the power, ``> 0``: one over the temperature.
        gamma: Exponent of the distance, ``> 0``.
        rule: Which pairs count; all when ``None``.

    Shapes:
        a: ``(N, D)``; columns.z: ``(M, D)``; returns: ``(N,)``.

    Raises:
        InputError: Shapes, types or devices that do not belong together; a bias; numbers that are not positive and finite.
    """
    rule = Rule() if rule is None else rule
    check_pairs(a, columns, rule)
    if columns.blocks is not None:
        raise InputError("powers of distances meet all pairs; drop the blocks of the candidates, which are for pair_lse")
    if columns.bias is not None:
        raise InputError("powers of distances take candidates without bias; got one. Drop it, or use pair_lse.")
    for name, value in (("scale", scale), ("gamma", gamma)):
        if not math.isfinite(value) or value <= 0:
            raise InputError(f"{name} must be a finite number > 0; got {value}. Logits are -scale * distance ** gamma.")
    dtype = working_type(a.dtype)
    tensors = (a.to(dtype), columns.z.to(dtype))
    result: Tensor = _PairPowerLSE.apply(*tensors, columns.ids, scale, gamma, rule)  # type: ignore[no-untyped-call]
    return result


def softened_power(squared: Tensor, gamma: float) -> Tensor:
    """``(r^2 + eps)^(gamma / 2)`` with a tiny ``eps``: the distance to a power, with a slope at 0 as well.

    Args:
        squared: Squared distances, ``>= 0``.
        gamma: Exponent of the distance, ``> 0``.

    Shapes:
        squared, returns: any, the same.
    """
    return (squared + _softening(squared.dtype)).pow(gamma / 2)


class _PairPowerLSE(torch.autograd.Function):
    """Forward keeps one number a row; backward recomputes each tile and turns its slopes into both gradients."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, z: Tensor, ids: Tensor | None, scale: float, gamma: float, rule: Rule) -> Tensor:
        powers = _Powers(a, z, ids, scale, gamma, rule)
        ctx.ids, ctx.scale, ctx.gamma, ctx.rule = ids, scale, gamma, rule
        sums = a.new_full((len(a),), -torch.inf)
        for rows, columns in powers.tiles:
            tile, _ = powers.logits(rows, columns)
            top = tile.amax(1, keepdim=True)
            top.masked_fill_(top == -torch.inf, 0.0)
            terms = tile.sub_(top).exp2_().sum(1).log2_().add_(top.squeeze(1))
            torch.logaddexp2(sums[rows], terms, out=sums[rows])
        ctx.save_for_backward(a, z, sums)
        return sums * math.log(2)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        a, z, sums = ctx.saved_tensors
        powers = _Powers(a, z, ctx.ids, ctx.scale, ctx.gamma, ctx.rule)
        shift = sums.masked_fill(sums == -torch.inf, 0.0)
        a, z = powers.a, powers.z  # as far apart as before, and nearer to the origin
        ones = (a.new_ones(len(a), 1), z.new_ones(len(z), 1))
        left, right = torch.cat([a, ones[0]], 1), torch.cat([z, ones[1]], 1)  # sums of slopes come as one more column
        # The logit is -scale (r^2 + eps)^(gamma / 2), and the slope of r^2 is 2 (a - z): what is the same for a row stays out.
        share = -ctx.scale * ctx.gamma * grad[:, None]
        pull = left * share
        da, dz = torch.zeros_like(left), torch.zeros_like(right)
        for rows, columns in powers.tiles:
            tile, slope = powers.logits(rows, columns)
            slopes = tile.sub_(shift[rows, None]).exp2_().mul_(slope)
            da[rows].addmm_(slopes, right[columns])
            dz[columns].addmm_(slopes.T, pull[rows])
        da.mul_(share)
        return da[:, -1:] * a - da[:, :-1], dz[:, -1:] * z - dz[:, :-1], None, None, None, None


class _Powers:
    """Tiles of logits to base 2, and beside each ``(r^2 + eps)^(gamma / 2 - 1)``."""

    def __init__(self, a: Tensor, z: Tensor, ids: Tensor | None, scale: float, gamma: float, rule: Rule) -> None:
        centre = z.mean(0)  # distances stay as they are, and their rounding shrinks
        self.a, self.z = a - centre, z - centre
        ones = (a.new_ones(len(a), 1), z.new_ones(len(z), 1))
        # One product gives |a|^2 + |z|^2 - 2 <a, z>.
        left = torch.cat([-2 * self.a, self.a.square().sum(1, keepdim=True), ones[0]], 1)
        right = torch.cat([self.z, ones[1], self.z.square().sum(1, keepdim=True)], 1)
        self.scale, self.gamma = scale, gamma
        self.tiles = PairTiles(left, right, ids, rule, spare=True)

    def logits(self, rows: slice, columns: slice) -> tuple[Tensor, Tensor]:
        tile = self.tiles.product(rows, columns)
        tile.clamp_(min=0).add_(_softening(tile.dtype))
        spare = self.tiles.spare(tile)
        # The plain distance is the usual case, and a root costs a tenth of a power.
        slope = torch.rsqrt(tile, out=spare) if self.gamma == 1 else torch.pow(tile, self.gamma / 2 - 1, out=spare)
        tile.mul_(slope).mul_(-self.scale * math.log2(math.e))
        counts = self.tiles.counts(rows, columns)
        if counts is not None:
            tile.add_(counts.log2_())
        self.tiles.leave_out(tile, rows, columns, -torch.inf)
        return tile, slope


def _softening(dtype: torch.dtype) -> float:
    """Below what a squared distance of unit rows can be told from 0."""
    return 1e-12 if dtype == torch.float64 else 1e-8
