"""The log-sum-exp over listed blocks of pairs: work for what is listed, not for N x M."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from graphcl.errors import InputError
from graphcl.kernels.backend import Backend, uses_triton
from graphcl.kernels.blocks import Blocks
from graphcl.kernels.columns import Columns
from graphcl.kernels.pair_tiles import check_pairs, working_type
from graphcl.kernels.rule import Rule

TILE_BYTES = 4 * 2**20  # gathered rows, a tile and the rows of a gradient stay in the cache together
_LOG2E = math.log2(math.e)
_MAX_EXPONENT = 75.0  # up to here sums of exponentials neither overflow nor vanish in single precision


def pair_lse_blocks(
    a: Tensor, columns: Columns, *, scale: float | Tensor, rule: Rule | None = None, backend: Backend = "auto"
) -> Tensor:
    """Row-wise ``log sum_j exp(scale_i * <a_i, z_j> + bias_j)`` over the pairs that ``columns.blocks`` lists and that count.

    Time ``O(P D)`` for ``P`` listed pairs, memory ``O((N + M) D)`` and workspaces of 4 MB. A row in no block, or in none where
    something counts, gives ``-inf`` and no gradient. Gradients go to ``a``, ``columns.z``, ``columns.bias`` and ``scale``.
    Half-precision inputs are computed with in single precision, and so is their result.

    Args:
        a: Anchors.
        columns: Candidates with their blocks.
        scale: Multiplies the dot product: one over the temperature, or one over the temperature of each anchor.
        rule: Which of the listed pairs count: ``exclude``, ``different`` and ``seen`` are known here; all when ``None``.
        backend: As in `pair_lse`.

    Shapes:
        a: ``(N, D)``; columns.z: ``(M, D)``; scale: one number or ``(N,)``; returns: ``(N,)``.

    Raises:
        InputError: Shapes, types, devices or blocks that do not belong together; a rule with other parts.
    """
    rule = Rule() if rule is None else rule
    blocks = columns.blocks
    if blocks is None:
        raise InputError("there are no blocks: give Columns(..., blocks=...), or use pair_lse for all pairs")
    if rule.same is not None or rule.clusters is not None:
        raise InputError(
            "blocks know the rule parts exclude, different and seen; for same and clusters use all pairs, no blocks"
        )
    check_pairs(a, columns, rule)
    if blocks.rows.device != a.device:
        raise InputError(f"blocks must be on the device of the anchors, {a.device}; got {blocks.rows.device}")
    blocks.check(len(a), len(columns.z))
    dtype = working_type(a.dtype)
    factor = row_scale(scale, len(a), dtype, a.device)
    if uses_triton(backend, a):
        from graphcl.kernels.triton.lse import triton_pair_lse

        return triton_pair_lse(a, columns, scale=factor, rule=rule)[0]
    bias = None if columns.bias is None else columns.bias.to(dtype)
    tensors = a.to(dtype), columns.z.to(dtype), bias, factor
    out: Tensor = _BlockLSE.apply(*tensors, columns.ids, rule, blocks)  # type: ignore[no-untyped-call]
    return out


def row_scale(scale: float | Tensor, num_rows: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """The scale as a vector, of one number or of one for each row.

    Shapes:
        scale: one number or ``(N,)``; returns: ``(1,)`` or ``(N,)``.

    Raises:
        InputError: Another number of numbers.
    """
    if isinstance(scale, Tensor) and scale.numel() != 1 and scale.shape != (num_rows,):
        raise InputError(
            f"scale must be one number or one for each anchor, ({num_rows},); got a tensor of shape {tuple(scale.shape)}. "
            "It multiplies the dot products of an anchor: 1 / temperature."
        )
    return torch.as_tensor(scale, dtype=dtype, device=device).reshape(-1)


class _BlockLSE(torch.autograd.Function):
    """Forward keeps one number a row; backward recomputes each tile and turns it into all gradients."""

    @staticmethod
    def forward(
        ctx: Any, a: Tensor, z: Tensor, bias: Tensor | None, scale: Tensor, ids: Tensor | None, rule: Rule, blocks: Blocks
    ) -> Tensor:
        tiles = _BlockTiles(a, z, bias, scale, ids, rule, blocks)
        ctx.ids, ctx.rule, ctx.blocks = ids, rule, blocks
        ctx.bounded = tiles.bounded()
        lse = (tiles.plain_sums() if ctx.bounded else tiles.shifted_sums()).mul_(math.log(2))
        ctx.save_for_backward(a, z, bias, scale, lse)
        return lse

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        a, z, bias, scale, lse = ctx.saved_tensors
        need_a, need_z, need_bias, need_scale = ctx.needs_input_grad[:4]
        tiles = _BlockTiles(a, z, bias, scale, ctx.ids, ctx.rule, ctx.blocks)
        da = torch.zeros_like(a) if need_a or need_scale else None
        dz = torch.zeros_like(z) if need_z else None
        dbias = torch.zeros_like(bias) if need_bias else None
        shift = lse.masked_fill(lse == -torch.inf, 0.0).mul_(_LOG2E)
        # Where no shift is needed it goes, as a factor, to vectors and not to the tiles.
        share = grad * shift.neg().exp2_() if ctx.bounded else grad
        pull = a * (share * scale)[:, None]
        room = a.new_empty(tiles.height * a.shape[1])
        for rows, columns in tiles:
            tile = tiles.logits(rows, columns)
            if not ctx.bounded:
                tile.sub_(shift.index_select(0, rows)[:, None])
            tile.exp2_()
            here = room[: len(rows) * a.shape[1]].view(len(rows), -1)
            if da is not None:
                da.index_add_(0, rows, torch.mm(tile, z[columns], out=here))
            if dz is not None:
                dz[columns].addmm_(tile.T, torch.index_select(pull, 0, rows, out=here))
            if dbias is not None:
                dbias[columns].addmv_(tile.T, share.index_select(0, rows))
        dscale = None
        if da is not None:
            da.mul_(share[:, None])
            # d/d scale of scale * <a, z>: the row products are already in the unscaled gradient.
            dscale = (a * da).sum(1) if need_scale else None
            if dscale is not None and len(scale) != len(a):
                dscale = dscale.sum(0, keepdim=True)
            da.mul_(scale[:, None])
        return da, dz, dbias, dscale, None, None, None


class _BlockTiles:
    """Tiles of logits to base 2; a block too large for the budget is cut into several."""

    def __init__(
        self, a: Tensor, z: Tensor, bias: Tensor | None, scale: Tensor, ids: Tensor | None, rule: Rule, blocks: Blocks
    ) -> None:
        self.left, self.z = a * (scale * _LOG2E)[:, None], z
        self.bias = None if bias is None else bias * _LOG2E
        self.ids, self.rule, self.rows = ids, rule, blocks.rows
        self.row_pointers, self.column_pointers = blocks.row_pointers.tolist(), blocks.column_pointers.tolist()
        numbers = TILE_BYTES // a.element_size()
        widest = max((stop - start for start, stop in _spans(self.column_pointers)), default=0)
        tallest = max((stop - start for start, stop in _spans(self.row_pointers)), default=0)
        # Columns are cut only where a few rows of them would not fit; then rows, so that both tile and gathered rows fit.
        self.width = max(1, min(widest, numbers // max(1, min(tallest, 64))))
        self.height = max(1, min(tallest, numbers // max(self.width, a.shape[1])))
        self._tile = a.new_empty(self.height * self.width)
        self._gathered = a.new_empty(self.height * a.shape[1])
        masked = rule.different is not None or (rule.exclude is not None and ids is not None)
        self._mask = torch.empty(len(self._tile) if masked else 0, dtype=torch.bool, device=a.device)

    def __iter__(self) -> Iterator[tuple[Tensor, slice]]:
        for (first, last), (left, right) in zip(_spans(self.row_pointers), _spans(self.column_pointers), strict=True):
            for start in range(first, last, self.height):
                rows = self.rows[start : min(start + self.height, last)]
                for column in range(left, right, self.width):
                    yield rows, slice(column, min(column + self.width, right))

    def bounded(self) -> bool:
        """Whether every logit is so small that sums of exponentials need no shift."""
        if self.bias is not None or len(self.left) == 0:
            return False
        return bool(self.left.norm(dim=1).max() * self.z.norm(dim=1).max() <= _MAX_EXPONENT)

    def logits(self, rows: Tensor, columns: slice) -> Tensor:
        """The tile, overwritten by the next; ``-inf`` where a pair does not count."""
        gathered = self._gathered[: len(rows) * self.left.shape[1]].view(len(rows), -1)
        torch.index_select(self.left, 0, rows, out=gathered)
        right = self.z[columns]
        tile = torch.mm(gathered, right.T, out=self._tile[: len(rows) * len(right)].view(len(rows), -1))
        if self.bias is not None:
            tile.add_(self.bias[columns])
        self._leave_out(tile, rows, columns)
        return tile

    def plain_sums(self) -> Tensor:
        """No sum can overflow or vanish."""
        sums = self.left.new_zeros(len(self.left))
        for rows, columns in self:
            sums.index_add_(0, rows, self.logits(rows, columns).exp2_().sum(1))
        return sums.log2_()

    def shifted_sums(self) -> Tensor:
        """Each tile is shifted by its own maximum, and what it gives is added to the rest as logarithms."""
        sums = self.left.new_full((len(self.left),), -torch.inf)
        for rows, columns in self:
            tile = self.logits(rows, columns)
            top = tile.amax(1, keepdim=True)
            top.masked_fill_(top == -torch.inf, 0.0)
            here = tile.sub_(top).exp2_().sum(1).log2_().add_(top.squeeze(1))
            # A row stands in a block once, so nothing is written twice.
            sums.index_copy_(0, rows, torch.logaddexp2(sums.index_select(0, rows), here))
        return sums

    def _leave_out(self, tile: Tensor, rows: Tensor, columns: slice) -> None:
        rule = self.rule
        if rule.exclude is not None:
            exclude = rule.exclude.index_select(0, rows)
            if self.ids is None:
                _strike(tile, torch.arange(len(rows), device=rows.device), exclude, columns)
            else:
                self._mask_out(tile, exclude, self.ids[columns])
        if rule.different is not None:
            self._mask_out(tile, rule.different[0].index_select(0, rows), rule.different[1][columns])
        if rule.seen is not None:
            crow, col = rule.seen
            start = crow.index_select(0, rows).long()
            times = crow.index_select(0, rows + 1).long() - start
            row = torch.arange(len(rows), device=rows.device).repeat_interleave(times)
            first = (start - times.cumsum(0) + times).index_select(0, row)
            listed = col.index_select(0, first + torch.arange(len(row), device=rows.device))
            _strike(tile, row, listed, columns)

    def _mask_out(self, tile: Tensor, left: Tensor, right: Tensor) -> None:
        mask = self._mask[: tile.numel()].view(tile.shape)
        tile.masked_fill_(torch.eq(left[:, None], right, out=mask), -torch.inf)


def _spans(pointers: list[int]) -> Iterator[tuple[int, int]]:
    return pairwise(pointers)


def _strike(tile: Tensor, row: Tensor, column: Tensor, columns: slice) -> None:
    """Writes at listed pairs, those of other columns left aside."""
    here = ((column >= columns.start) & (column < columns.stop)).nonzero().squeeze(1)
    at = (row.index_select(0, here), column.index_select(0, here).long() - columns.start)
    tile.index_put_(at, tile.new_tensor(-torch.inf))
