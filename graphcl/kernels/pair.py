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
from graphcl.kernels.columns import Columns
from graphcl.kernels.pair_reference import pair_lse_reference
from graphcl.kernels.pair_tiles import PairTiles, check_pairs, working_type
from graphcl.kernels.rule import Rule

_LOG2E = math.log2(math.e)
_MAX_EXPONENT = 75.0  # 2^75 times as many candidates as fit into memory is still a single-precision number, and so is 2^-75


@overload
def pair_lse(
    a: Tensor, columns: Columns, *, scale: float | Tensor, rule: Rule | None = None, both: Literal[False] = False
) -> Tensor: ...
@overload
def pair_lse(
    a: Tensor, columns: Columns, *, scale: float | Tensor, rule: Rule | None = None, both: Literal[True]
) -> tuple[Tensor, Tensor]: ...
def pair_lse(
    a: Tensor, columns: Columns, *, scale: float | Tensor, rule: Rule | None = None, both: bool = False
) -> Tensor | tuple[Tensor, Tensor]:
    """Row-wise ``log sum_j w_ij exp(scale_i * <a_i, z_j> + bias_j)`` over the pairs that count; with ``both`` also column-wise.

    ``w_ij`` is 1, or the weight that ``rule.clusters`` gives. Time ``O(N M D)``, memory ``O((N + M) D)`` and one workspace
    of 32 MB whatever ``N`` and ``M`` are. A row or column in which nothing counts gives ``-inf`` and no gradient. Gradients
    go to ``a``, ``columns.z``, ``columns.bias`` and ``scale``. Half-precision inputs are computed with in single precision,
    and so is their result; their gradients are rounded once, at the end.

    Args:
        a: Anchors.
        columns: Candidates.
        scale: Multiplies the dot product: one over the temperature, or one over the temperature of each anchor.
        rule: Which pairs count; all when ``None``.
        both: Whether the sums over anchors, ``log sum_i`` of the same terms, come along out of the same sweep.

    Shapes:
        a: ``(N, D)``; columns.z: ``(M, D)``; scale: one number or ``(N,)``;
            returns: ``(N,)``, with ``both`` ``(N,)`` and ``(M,)``.

    Raises:
        InputError: Shapes, types or devices that do not belong together.
    """
    rule = Rule() if rule is None else rule
    check_pairs(a, columns, rule)
    dtype = working_type(a.dtype)
    bias = None if columns.bias is None else columns.bias.to(dtype)
    tensors = (a.to(dtype), columns.z.to(dtype), bias, _row_scale(scale, len(a), dtype, a.device))
    rows, sums = _PairLSE.apply(*tensors, columns.ids, rule, both)  # type: ignore[no-untyped-call]
    return (rows, sums) if both else rows


def _row_scale(scale: float | Tensor, num_rows: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """One number, ``(1,)``, or one for each row, ``(N,)``."""
    if isinstance(scale, Tensor) and scale.numel() != 1 and scale.shape != (num_rows,):
        raise InputError(
            f"scale must be one number or one for each anchor, ({num_rows},); got a tensor of shape {tuple(scale.shape)}. "
            "It multiplies the dot products of an anchor: 1 / temperature."
        )
    return torch.as_tensor(scale, dtype=dtype, device=device).reshape(-1)


class _PairLSE(torch.autograd.Function):
    """Forward keeps one number a row and a column; backward recomputes each tile and turns it into all gradients."""

    @staticmethod
    def forward(
        ctx: Any, a: Tensor, z: Tensor, bias: Tensor | None, scale: Tensor, ids: Tensor | None, rule: Rule, both: bool
    ) -> tuple[Tensor, Tensor | None]:
        logits = _Logits(a, z, bias, scale, ids, rule, both)
        ctx.bounded = logits.bounded()
        ctx.ids, ctx.rule, ctx.both = ids, rule, both
        rows, columns = logits.plain_sums() if ctx.bounded else logits.shifted_sums()
        for sums in (rows, columns):
            if sums is not None:
                sums.mul_(math.log(2))
        ctx.save_for_backward(a, z, bias, scale, rows, columns)
        return rows, columns

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, row_grad: Tensor, column_grad: Tensor | None = None) -> tuple[Tensor | None, ...]:
        a, z, bias, scale, rows_lse, columns_lse = ctx.saved_tensors
        logits = _Logits(a, z, bias, scale, ctx.ids, ctx.rule, ctx.both)
        need_a, need_z, need_bias, need_scale = ctx.needs_input_grad[:4]
        da = torch.zeros_like(a) if need_a or need_scale else None
        dz = torch.zeros_like(z) if need_z else None
        dbias = torch.zeros_like(bias) if need_bias else None
        # Where a tile has one coefficient a row, it goes to vectors and not to the tile.
        weights: _RowWeights | _BothWeights
        if column_grad is not None:
            share = torch.ones_like(row_grad)
            weights = _BothWeights(logits, ctx.bounded, (rows_lse, row_grad), (columns_lse, column_grad))
        else:
            share = row_grad * _inverse(rows_lse) if ctx.bounded else row_grad
            weights = _RowWeights(logits, None if ctx.bounded else _finite(rows_lse))
        pull = a * (share * scale)[:, None]
        for rows, columns in logits.tiles:
            tile = weights.tile(rows, columns)
            if da is not None:
                da[rows].addmm_(tile, z[columns])
            if dz is not None:
                dz[columns].addmm_(tile.T, pull[rows])
            if dbias is not None:
                dbias[columns].addmv_(tile.T, share[rows])
        dscale = None
        if da is not None:
            da.mul_(share[:, None])
            # d/d scale of scale * <a, z> needs no tile of its own: the row products are already in the unscaled gradient.
            dscale = (a * da).sum(1) if need_scale else None
            if dscale is not None and len(scale) != len(a):
                dscale = dscale.sum(0, keepdim=True)
            da.mul_(scale[:, None])
        return da, dz, dbias, dscale, None, None, None


class _Logits:
    """Tiles of logits to base 2, whose exponential is faster, and their sums over both sides."""

    def __init__(
        self, a: Tensor, z: Tensor, bias: Tensor | None, scale: Tensor, ids: Tensor | None, rule: Rule, both: bool
    ) -> None:
        self.tiles = PairTiles(a * (scale * _LOG2E)[:, None], z, ids, rule, spare=both)
        self.bias = None if bias is None else bias * _LOG2E
        self.both = both

    def bounded(self) -> bool:
        """Whether every logit is so small that sums of exponentials need no shift; unit rows down to temperature 0.02."""
        left, right = self.tiles.left, self.tiles.right
        if self.bias is not None or len(left) == 0:
            return False
        return bool(left.norm(dim=1).max() * right.norm(dim=1).max() <= _MAX_EXPONENT)

    def tile(self, rows: slice, columns: slice) -> Tensor:
        tile = self.tiles.product(rows, columns)
        if self.bias is not None:
            tile.add_(self.bias[columns])
        counts = self.tiles.counts(rows, columns)
        if counts is not None:
            tile.add_(counts.log2_())
        self.tiles.leave_out(tile, rows, columns, -torch.inf)
        return tile

    def plain_sums(self) -> tuple[Tensor, Tensor | None]:
        """No sum can overflow or vanish: two passes less over the tile."""
        rows_sum, columns_sum = self._start(0.0)
        for rows, columns in self.tiles:
            tile = self.tile(rows, columns).exp2_()
            rows_sum[rows] += tile.sum(1)
            if columns_sum is not None:
                columns_sum[columns] += tile.sum(0)
        return rows_sum.log2_(), None if columns_sum is None else columns_sum.log2_()

    def shifted_sums(self) -> tuple[Tensor, Tensor | None]:
        """Each tile is shifted by its own maximum, and what it gives is added to the rest as logarithms."""
        rows_sum, columns_sum = self._start(-torch.inf)
        for rows, columns in self.tiles:
            tile = self.tile(rows, columns)
            if columns_sum is not None:
                _log_add(columns_sum[columns], tile, 0, out=self.tiles.spare(tile))
            _log_add(rows_sum[rows], tile, 1, out=tile)
        return rows_sum, columns_sum

    def _start(self, value: float) -> tuple[Tensor, Tensor | None]:
        left, right = self.tiles.left, self.tiles.right
        return left.new_full((len(left),), value), right.new_full((len(right),), value) if self.both else None


class _RowWeights:
    """``exp2(logit - shift_i)``, without a shift where there is no danger."""

    def __init__(self, logits: _Logits, shift: Tensor | None) -> None:
        self.logits, self.shift = logits, shift

    def tile(self, rows: slice, columns: slice) -> Tensor:
        tile = self.logits.tile(rows, columns)
        if self.shift is not None:
            tile.sub_(self.shift[rows, None])
        return tile.exp2_()


class _BothWeights:
    """``g_i exp2(logit - row_i) + h_j exp2(logit - column_j)``; one exponential where it needs no shift."""

    def __init__(self, logits: _Logits, bounded: bool, row: tuple[Tensor, Tensor], column: tuple[Tensor, Tensor]) -> None:
        self.logits, self.bounded = logits, bounded
        (row_lse, self.row_grad), (column_lse, self.column_grad) = row, column
        if bounded:
            self.row, self.column = self.row_grad * _inverse(row_lse), self.column_grad * _inverse(column_lse)
        else:
            self.row, self.column = _finite(row_lse), _finite(column_lse)

    def tile(self, rows: slice, columns: slice) -> Tensor:
        tile = self.logits.tile(rows, columns)
        spare = self.logits.tiles.spare(tile)
        if self.bounded:
            return tile.exp2_().mul_(torch.add(self.row[rows, None], self.column[columns], out=spare))
        torch.sub(tile, self.column[columns], out=spare).exp2_().mul_(self.column_grad[columns])
        return tile.sub_(self.row[rows, None]).exp2_().mul_(self.row_grad[rows, None]).add_(spare)


def _log_add(total: Tensor, tile: Tensor, dim: int, *, out: Tensor) -> None:
    """Adds the tile, summed over one side, to a running total of logarithms."""
    top = tile.amax(dim, keepdim=True)
    top.masked_fill_(top == -torch.inf, 0.0)
    torch.sub(tile, top, out=out).exp2_()
    torch.logaddexp2(total, out.sum(dim).log2_().add_(top.squeeze(dim)), out=total)


def _finite(lse: Tensor) -> Tensor:
    """To base 2; where nothing counts, any number does."""
    return lse.masked_fill(lse == -torch.inf, 0.0).mul_(_LOG2E)


def _inverse(lse: Tensor) -> Tensor:
    return _finite(lse).neg_().exp2_()


__all__ = ["Columns", "Rule", "pair_lse", "pair_lse_reference"]
