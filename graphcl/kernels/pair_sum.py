"""Sums of a kernel over all pairs, met one tile at a time."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from graphcl.errors import InputError
from graphcl.kernels.backend import Backend, uses_triton
from graphcl.kernels.columns import Columns
from graphcl.kernels.pair_kernel import PairKernel
from graphcl.kernels.pair_tiles import PairTiles, check_pairs, working_type
from graphcl.kernels.rule import Rule
from graphcl.kernels.triton.kernel_numbers import kernel_numbers


def pair_sum(a: Tensor, columns: Columns, *, kernel: PairKernel, rule: Rule | None = None, backend: Backend = "auto") -> Tensor:
    """Row-wise ``sum_j w_ij kernel(a_i, z_j)`` over the pairs that count.

    ``w_ij`` is 1, or the weight that ``rule.clusters`` gives. A row in which nothing counts gives 0. Squared distances come
    from dot products of centred rows: their absolute error is that of the squared norms, so near-duplicates far from the
    others want float64. Time ``O(N M D)``, memory ``O((N + M) D)`` and one workspace of 4 MB, twice that for softplus.
    Gradients go to ``a`` and ``columns.z``. Half-precision inputs are computed with in single precision, and so is the result.

    Args:
        a: Anchors.
        columns: Candidates, without a bias.
        kernel: What is summed.
        rule: Which pairs count; all when ``None``.
        backend: As in `pair_lse`; kernels from outside this package know torch alone.

    Shapes:
        a: ``(N, D)``; columns.z: ``(M, D)``; returns: ``(N,)``.

    Raises:
        InputError: Shapes, types or devices that do not belong together; a bias; Triton where it cannot run.
    """
    rule = Rule() if rule is None else rule
    check_pairs(a, columns, rule)
    if columns.blocks is not None:
        raise InputError("a sum of kernels meets all pairs; drop the blocks of its candidates, which are for pair_lse")
    if columns.bias is not None:
        raise InputError("a sum of kernels takes candidates without bias, which is a log-weight of pair_lse; got one. Drop it.")
    foreign = None if kernel_numbers(kernel) is not None else f"it does not know the kernel {type(kernel).__name__}"
    if uses_triton(backend, a, foreign):
        from graphcl.kernels.triton.kernel_sum import triton_pair_sum

        return triton_pair_sum(a, columns, kernel=kernel, rule=rule)
    dtype = working_type(a.dtype)
    result: Tensor = _PairSum.apply(a.to(dtype), columns.z.to(dtype), columns.ids, kernel, rule)  # type: ignore[no-untyped-call]
    return result


class _PairSum(torch.autograd.Function):
    """Forward keeps nothing but the inputs; backward recomputes each tile and turns its slopes into both gradients."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, z: Tensor, ids: Tensor | None, kernel: PairKernel, rule: Rule) -> Tensor:
        ctx.save_for_backward(a, z)
        ctx.ids, ctx.kernel, ctx.rule = ids, kernel, rule
        sums = a.new_zeros(len(a))
        arguments = _Arguments(a, z, ids, kernel, rule)
        for rows, columns in arguments.tiles:
            sums[rows] += arguments.weigh(kernel.value(arguments.tile(rows, columns)), rows, columns).sum(1)
        return sums

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        a, z = ctx.saved_tensors
        kernel: PairKernel = ctx.kernel
        arguments = _Arguments(a, z, ctx.ids, kernel, ctx.rule)
        a, z = arguments.a, arguments.z  # as far apart as before, and nearer to the origin
        ones = (a.new_ones(len(a), 1), z.new_ones(len(z), 1))
        left, right = torch.cat([a, ones[0]], 1), torch.cat([z, ones[1]], 1)  # sums of slopes come as one more column
        pull = left * grad[:, None]
        da, dz = torch.zeros_like(left), torch.zeros_like(right)
        for rows, columns in arguments.tiles:
            slopes = arguments.weigh(kernel.derivative(arguments.tile(rows, columns)), rows, columns)
            da[rows].addmm_(slopes, right[columns])
            dz[columns].addmm_(slopes.T, pull[rows])
        da.mul_(grad[:, None])
        if not kernel.of_distance:
            return da[:, :-1], dz[:, :-1], None, None, None
        # The slope of |a - z|^2 is 2 (a - z) on one side and 2 (z - a) on the other.
        return 2 * (da[:, -1:] * a - da[:, :-1]), 2 * (dz[:, -1:] * z - dz[:, :-1]), None, None, None


class _Arguments:
    """Tiles of what the kernel is a function of."""

    def __init__(self, a: Tensor, z: Tensor, ids: Tensor | None, kernel: PairKernel, rule: Rule) -> None:
        self.of_distance = kernel.of_distance
        if self.of_distance:
            centre = z.mean(0)  # distances stay as they are, and their rounding shrinks
            a, z = a - centre, z - centre
            ones = (a.new_ones(len(a), 1), z.new_ones(len(z), 1))
            # One product gives |a|^2 + |z|^2 - 2 <a, z>.
            left = torch.cat([-2 * a, a.square().sum(1, keepdim=True), ones[0]], 1)
            right = torch.cat([z, ones[1], z.square().sum(1, keepdim=True)], 1)
        else:
            left, right = a, z
        self.a, self.z = a, z
        self.tiles = PairTiles(left, right, ids, rule)

    def tile(self, rows: slice, columns: slice) -> Tensor:
        tile = self.tiles.product(rows, columns)
        return tile.clamp_(min=0) if self.of_distance else tile

    def weigh(self, tile: Tensor, rows: slice, columns: slice) -> Tensor:
        counts = self.tiles.counts(rows, columns)
        if counts is not None:
            tile.mul_(counts)
        self.tiles.leave_out(tile, rows, columns, 0.0)
        return tile
