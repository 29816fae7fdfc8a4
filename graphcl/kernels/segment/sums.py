"""Sums and means of rows by segment, and their gradient, which is a gather."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from graphcl.errors import InputError
from graphcl.kernels.backend import Backend
from graphcl.kernels.segment.reduce import reduce_sum
from graphcl.kernels.segment.segments import Segments


def segment_sum(x: Tensor, ids: Tensor, num_segments: int, *, backend: Backend = "auto") -> Tensor:
    """Row ``k`` of the result is the sum of the rows of ``x`` whose id is ``k``; empty segments are zero.

    Halves are added in fp32 and rounded once. Time ``O(N D)``, memory that of the result; on a GPU the ids are sorted once
    for as long as they live. The same bits on every run, gradients of any order.

    Args:
        x: Rows to add up, of any type.
        ids: Segment of each row, in ``0 .. num_segments - 1``, in any order.
        num_segments: Rows of the result.
        backend: ``"triton"`` takes fp32, fp16 and bf16 on an NVIDIA GPU; ``"auto"`` takes it wherever it can run.

    Shapes:
        x: ``(N, ...)``; ids: ``(N,)`` int64; returns: ``(K, ...)`` of the type of ``x``.

    Raises:
        InputError: ``ids`` has another length or leaves the range; a backend that cannot run.
    """
    return add_up(x, Segments(x, ids, num_segments, backend)).to(x.dtype)


def segment_mean(x: Tensor, ids: Tensor, num_segments: int, *, backend: Backend = "auto") -> Tensor:
    """Row ``k`` of the result is the mean of the rows of ``x`` whose id is ``k``; empty segments are zero.

    Cost and arguments as `segment_sum`; a mean of halves cannot overflow.

    Args:
        x: Rows to average, floating.
        ids: Segment of each row.
        num_segments: Rows of the result.
        backend: See `segment_sum`.

    Shapes:
        x: ``(N, ...)``; ids: ``(N,)`` int64; returns: ``(K, ...)`` of the type of ``x``.

    Raises:
        InputError: ``x`` is not floating; ``ids`` has another length or leaves the range; a backend that cannot run.
    """
    check_floating(x)
    segments = Segments(x, ids, num_segments, backend)
    total = add_up(x, segments)
    counts = segments.counts.clamp(min=1).to(total.dtype)
    return (total / counts.view(-1, *[1] * (x.ndim - 1))).to(x.dtype)


def add_up(x: Tensor, segments: Segments) -> Tensor:
    """Sums of segments in the working type, with a gradient.

    Shapes:
        x: ``(N, ...)``; returns: ``(K, ...)``.
    """
    out: Tensor = _Sum.apply(x, segments)  # type: ignore[no-untyped-call]
    return out


def spread(y: Tensor, segments: Segments) -> Tensor:
    """Each row gets the value of its segment; the gradient is a sum by segment.

    Shapes:
        y: ``(K, ...)``; returns: ``(N, ...)``.
    """
    out: Tensor = _Spread.apply(y, segments)  # type: ignore[no-untyped-call]
    return out


def check_floating(x: Tensor) -> None:
    """Refuses rows that have no mean, maximum or softmax with a gradient.

    Raises:
        InputError: ``x`` is not floating.
    """
    if not x.is_floating_point():
        raise InputError(f"x must be floating; got {x.dtype}. Convert it: x.float().")


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, segments: Segments) -> Tensor:
        ctx.segments, ctx.dtype = segments, x.dtype
        return reduce_sum(x, segments)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return spread(grad.to(ctx.dtype), ctx.segments), None


class _Spread(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, y: Tensor, segments: Segments) -> Tensor:
        ctx.segments, ctx.dtype = segments, y.dtype
        return y.index_select(0, segments.ids)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return add_up(grad, ctx.segments).to(ctx.dtype), None
