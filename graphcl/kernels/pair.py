"""The pair sweep: all N x M similarities, met one tile at a time.

This is the only place in the package that forms rows of the N x M similarity array. It keeps O(N) results, and the
backward pass meets the tiles again instead of storing them, so both directions need O(N D) memory.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from graphcl.errors import InputError

_TILE_BYTES = 32 * 2**20  # larger tiles fall out of the cache, and fresh memory beyond this is returned to the system each time
_MIN_ROWS = 256  # smaller products waste a third of the matrix rate
_LOG2E = math.log2(math.e)
_MAX_EXPONENT = 75.0  # 2^75 times as many candidates as fit into memory is still a single-precision number, and so is 2^-75


@dataclass(frozen=True)
class Columns:
    """A set of candidates.

    Args:
        z: Embeddings.
        bias: Added to every logit of the column; log-weights, ``-inf`` takes a column out.
        ids: Integer names of the columns that a `Rule` speaks of; the position when ``None``.

    Shapes:
        z: ``(M, D)``; bias: ``(M,)``; ids: ``(M,)`` int64.
    """

    z: Tensor
    bias: Tensor | None = None
    ids: Tensor | None = None


@dataclass(frozen=True)
class Rule:
    """Which pairs count, told by integer ids and never by an N x M mask.

    Args:
        exclude: The column id that each row leaves out (itself, its positive, its own cluster); ``None`` leaves out nothing.

    Shapes:
        exclude: ``(N,)`` int64.
    """

    exclude: Tensor | None = None


def pair_lse(a: Tensor, columns: Columns, *, scale: float | Tensor, rule: Rule | None = None) -> Tensor:
    """Row-wise ``log sum_j exp(scale * <a_i, z_j> + bias_j)`` over the pairs that count.

    Time ``O(N M D)``, memory ``O((N + M) D)`` and one tile of 32 MB (256 rows where that is more). A row in which nothing
    counts gives ``-inf`` and no gradient. Gradients go to ``a``, ``columns.z``, ``columns.bias`` and ``scale``.

    Args:
        a: Anchors.
        columns: Candidates.
        scale: Multiplies the dot product: one over the temperature.
        rule: Which pairs count; all when ``None``.

    Shapes:
        a: ``(N, D)``; columns.z: ``(M, D)``; returns: ``(N,)``.

    Raises:
        InputError: Shapes, types or devices that do not belong together.
    """
    _check(a, columns, rule)
    if isinstance(scale, Tensor) and scale.numel() != 1:
        raise InputError(f"scale must be one number; got a tensor of shape {tuple(scale.shape)}")
    exclude = rule.exclude if rule is not None else None
    factor = torch.as_tensor(scale, dtype=a.dtype, device=a.device).reshape(())
    result: Tensor = _PairLSE.apply(a, columns.z, columns.bias, factor, exclude, columns.ids)  # type: ignore[no-untyped-call]
    return result


def pair_lse_reference(a: Tensor, columns: Columns, *, scale: float | Tensor, rule: Rule | None = None) -> Tensor:
    """The same by one dense N x M array: the oracle of the tests, differentiable by plain autograd.

    Shapes:
        a: ``(N, D)``; columns.z: ``(M, D)``; returns: ``(N,)``.
    """
    logits = scale * (a @ columns.z.T)
    if columns.bias is not None:
        logits = logits + columns.bias
    if rule is not None and rule.exclude is not None:
        ids = torch.arange(len(columns.z), device=a.device) if columns.ids is None else columns.ids
        logits = logits.masked_fill(rule.exclude[:, None] == ids[None, :], -torch.inf)
    return logits.logsumexp(1)


class _PairLSE(torch.autograd.Function):
    """Forward keeps one number a row; backward recomputes each tile and turns it into both gradients."""

    @staticmethod
    def forward(
        ctx: Any, a: Tensor, z: Tensor, bias: Tensor | None, scale: Tensor, exclude: Tensor | None, ids: Tensor | None
    ) -> Tensor:
        lse = a.new_empty(len(a))
        tiles = _Tiles(a, z, bias, scale, exclude, ids)
        bounded = tiles.bounded()
        for rows in tiles:
            logits = tiles.logits(rows)
            if bounded:  # no sum can overflow or vanish: two passes less over the tile
                torch.log2(logits.exp2_().sum(1), out=lse[rows])
                continue
            top = logits.amax(1)
            top.masked_fill_(top == -torch.inf, 0.0)
            logits.sub_(top[:, None]).exp2_()
            torch.add(logits.sum(1).log2_(), top, out=lse[rows])
        lse.mul_(math.log(2))
        ctx.save_for_backward(a, z, bias, scale, exclude, ids, lse)
        return lse

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        a, z, bias, scale, exclude, ids, lse = ctx.saved_tensors
        da, dz = torch.zeros_like(a), torch.zeros_like(z)
        dbias = None if bias is None else torch.zeros_like(bias)
        shift = lse.masked_fill(lse == -torch.inf, 0.0).mul_(_LOG2E)
        pull = a * grad[:, None]  # the row's share of the gradient goes to vectors, not to the tile
        tiles = _Tiles(a, z, bias, scale, exclude, ids)
        for rows in tiles:
            weights = tiles.logits(rows).sub_(shift[rows, None]).exp2_()
            torch.mm(weights, z, out=da[rows])
            dz.addmm_(weights.T, pull[rows])
            if dbias is not None:
                dbias.addmv_(weights.T, grad[rows])
        da.mul_(grad[:, None])
        # d/d scale of scale * <a, z> needs no tile of its own: the row products are already in the unscaled gradient.
        dscale = (a * da).sum() if ctx.needs_input_grad[3] else None
        return da.mul_(scale), dz.mul_(scale), dbias, dscale, None, None


class _Tiles:
    """Blocks of anchor rows, all written into the same workspace; logits to base 2, whose exponential is faster."""

    def __init__(
        self, a: Tensor, z: Tensor, bias: Tensor | None, scale: Tensor, exclude: Tensor | None, ids: Tensor | None
    ) -> None:
        self.a, self.z = a * (scale * _LOG2E), z
        self.bias = None if bias is None else bias * _LOG2E
        self.exclude, self.ids = exclude, ids
        self.inside = exclude is None or ids is not None or bool(((exclude >= 0) & (exclude < len(z))).all())
        fit = _TILE_BYTES // (max(len(z), 1) * a.element_size())
        self.rows = min(len(a), max(_MIN_ROWS, fit))
        self.space = a.new_empty(self.rows, len(z))

    def __iter__(self) -> Iterator[slice]:
        return (slice(start, min(start + self.rows, len(self.a))) for start in range(0, len(self.a), max(self.rows, 1)))

    def bounded(self) -> bool:
        """Whether every logit is so small that sums of exponentials need no shift; unit rows down to temperature 0.02."""
        if self.bias is not None or len(self.a) == 0 or self.a.dtype == torch.float16:  # which ends at 2^16
            return False
        return bool(self.a.norm(dim=1).max() * self.z.norm(dim=1).max() <= _MAX_EXPONENT)

    def logits(self, rows: slice) -> Tensor:
        tile = self.space[: rows.stop - rows.start]
        torch.mm(self.a[rows], self.z.T, out=tile)
        if self.bias is not None:
            tile.add_(self.bias)
        if self.exclude is not None:
            self._leave_out(tile, self.exclude[rows])
        return tile

    def _leave_out(self, tile: Tensor, exclude: Tensor) -> None:
        if self.ids is not None:
            tile.masked_fill_(exclude[:, None] == self.ids, -torch.inf)
        elif self.inside:  # one entry a row: no need to look at the others
            tile.scatter_(1, exclude[:, None], -torch.inf)
        else:
            tile.masked_fill_(exclude[:, None] == torch.arange(tile.shape[1], device=tile.device), -torch.inf)


def _check(a: Tensor, columns: Columns, rule: Rule | None) -> None:
    z = columns.z
    if a.ndim != 2 or z.ndim != 2 or a.shape[1] != z.shape[1]:
        raise InputError(f"anchors (N, D) and candidates (M, D) must share D; got {tuple(a.shape)} and {tuple(z.shape)}")
    if len(z) == 0:
        raise InputError("there is no candidate to contrast with: the candidate set has 0 rows")
    if not a.is_floating_point() or a.dtype != z.dtype or a.device != z.device:
        raise InputError(
            f"anchors and candidates must share one floating type and device; got {a.dtype} on {a.device} "
            f"and {z.dtype} on {z.device}"
        )
    for name, vector, length in (
        ("bias", columns.bias, len(z)),
        ("ids", columns.ids, len(z)),
        ("exclude", None if rule is None else rule.exclude, len(a)),
    ):
        if vector is not None and vector.shape != (length,):
            raise InputError(f"{name} must be a vector of length {length}; got {tuple(vector.shape)}")


__all__ = ["Columns", "Rule", "pair_lse", "pair_lse_reference"]
