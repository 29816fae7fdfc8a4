"""Tiles of logits to base 2, whose exponential is faster: their sums over both sides and the weights of their gradients."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from graphcl.kernels.pair_tiles import PairTiles
from graphcl.kernels.rule import Rule

LOG2E = math.log2(math.e)
MAX_EXPONENT = 75.0  # 2^75 times as many candidates as fit into memory is still a single-precision number, and so is 2^-75


class Logits:
    """Tiles of ``log2(e) * (scale_i <a_i, z_j> + bias_j)``, with ``-inf`` where a pair does not count.

    Args:
        a: Anchors.
        z: Candidates.
        bias: Of each candidate.
        scale: One number, or one for each anchor.
        ids: Names of the candidates.
        rule: Which pairs count.
        spare: Whether a second room of the size of a tile will be asked for.
        triangle: Whether only tiles on and above the diagonal are met, see `PairTiles`.
        bf16: Whether products are made of numbers rounded to bfloat16.

    Shapes:
        a: ``(N, D)``; z: ``(M, D)``; bias, ids: ``(M,)``; scale: ``(1,)`` or ``(N,)``.
    """

    def __init__(
        self,
        a: Tensor,
        z: Tensor,
        bias: Tensor | None,
        scale: Tensor,
        ids: Tensor | None,
        rule: Rule,
        *,
        spare: bool = False,
        triangle: bool = False,
        bf16: bool = False,
    ) -> None:
        self.tiles = PairTiles(a * (scale * LOG2E)[:, None], z, ids, rule, spare=spare, triangle=triangle, bf16=bf16)
        self.bias = None if bias is None else bias * LOG2E

    def bounded(self) -> bool:
        """Whether every logit is so small that sums of exponentials need no shift; unit rows down to temperature 0.02."""
        left, right = self.tiles.left, self.tiles.right
        if self.bias is not None or len(left) == 0:
            return False
        return bool(left.norm(dim=1).max() * right.norm(dim=1).max() <= MAX_EXPONENT)

    def tile(self, rows: slice, columns: slice) -> Tensor:
        """The logits of a block; overwritten by the next.

        Shapes:
            returns: ``(rows, columns)``.
        """
        tile = self.tiles.product(rows, columns)
        if self.bias is not None:
            tile.add_(self.bias[columns])
        counts = self.tiles.counts(rows, columns)
        if counts is not None:
            tile.add_(counts.log2_())
        self.tiles.leave_out(tile, rows, columns, -torch.inf)
        return tile

    def powers(self, rows: slice, columns: slice) -> Tensor:
        """``exp2`` of the logits of a block, where they are ``bounded``: zero where a pair does not count.

        Shapes:
            returns: ``(rows, columns)``.
        """
        tile = self.tiles.product(rows, columns).exp2_()
        counts = self.tiles.counts(rows, columns)
        if counts is not None:
            tile.mul_(counts)
        self.tiles.leave_out(tile, rows, columns, 0.0)
        return tile


class RowWeights:
    """``exp2(logit - shift_i)``, without a shift where there is no danger."""

    def __init__(self, logits: Logits, shift: Tensor | None) -> None:
        self.logits, self.shift = logits, shift

    def tile(self, rows: slice, columns: slice) -> Tensor:
        """The weights of a block."""
        if self.shift is None:
            return self.logits.powers(rows, columns)
        return self.logits.tile(rows, columns).sub_(self.shift[rows, None]).exp2_()


class BothWeights:
    """``g_i exp2(logit - row_i) + h_j exp2(logit - column_j)``; one exponential where it needs no shift."""

    def __init__(self, logits: Logits, bounded: bool, row: tuple[Tensor, Tensor], column: tuple[Tensor, Tensor]) -> None:
        self.logits, self.bounded = logits, bounded
        (row_lse, self.row_grad), (column_lse, self.column_grad) = row, column
        if bounded:
            self.row, self.column = self.row_grad * inverse(row_lse), self.column_grad * inverse(column_lse)
        else:
            self.row, self.column = finite(row_lse), finite(column_lse)

    def tile(self, rows: slice, columns: slice) -> Tensor:
        """The weights of a block."""
        if self.bounded:
            tile = self.logits.powers(rows, columns)
            return tile.mul_(torch.add(self.row[rows, None], self.column[columns], out=self.logits.tiles.spare(tile)))
        tile = self.logits.tile(rows, columns)
        spare = self.logits.tiles.spare(tile)
        torch.sub(tile, self.column[columns], out=spare).exp2_().mul_(self.column_grad[columns])
        return tile.sub_(self.row[rows, None]).exp2_().mul_(self.row_grad[rows, None]).add_(spare)


def log_add(total: Tensor, tile: Tensor, dim: int, *, out: Tensor) -> None:
    """Adds the tile, summed over one side, to a running total of logarithms to base 2."""
    top = tile.amax(dim, keepdim=True)
    top.masked_fill_(top == -torch.inf, 0.0)
    torch.sub(tile, top, out=out).exp2_()
    torch.logaddexp2(total, out.sum(dim).log2_().add_(top.squeeze(dim)), out=total)


def finite(lse: Tensor) -> Tensor:
    """To base 2; where nothing counts, any number does."""
    return lse.masked_fill(lse == -torch.inf, 0.0).mul_(LOG2E)


def inverse(lse: Tensor) -> Tensor:
    """``exp(-lse)``, and 1 where nothing counts."""
    return finite(lse).neg_().exp2_()
