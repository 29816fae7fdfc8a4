"""The maximum of rows by segment."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from graphcl.kernels.backend import Backend
from graphcl.kernels.segment.reduce import reduce_max, reduce_sum
from graphcl.kernels.segment.segments import Segments
from graphcl.kernels.segment.sums import check_floating, spread


def segment_max(x: Tensor, ids: Tensor, num_segments: int, *, backend: Backend = "auto") -> Tensor:
    """Row ``k`` of the result is the maximum, feature by feature, of the rows of ``x`` whose id is ``k``; empty segments are 0.

    Rows that share a maximum share its gradient equally, as in ``torch.amax``, so the order of rows does not matter; NaN passes
    through. Time ``O(N D)``, memory that of the result, in the backward pass a few arrays of the size of ``x``. The same bits
    on every run.

    Args:
        x: Rows, floating.
        ids: Segment of each row, in ``0 .. num_segments - 1``, in any order.
        num_segments: Rows of the result.
        backend: ``"triton"`` takes fp32, fp16 and bf16 on an NVIDIA GPU; ``"auto"`` takes it wherever it can run.

    Shapes:
        x: ``(N, ...)``; ids: ``(N,)`` int64; returns: ``(K, ...)`` of the type of ``x``.

    Raises:
        InputError: ``x`` is not floating; ``ids`` has another length or leaves the range; a backend that cannot run.
    """
    check_floating(x)
    out: Tensor = _Max.apply(x, Segments(x, ids, num_segments, backend))  # type: ignore[no-untyped-call]
    return out


class _Max(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, segments: Segments) -> Tensor:
        top = reduce_max(x, segments).to(x.dtype)  # rounds nothing: it is one of the rows
        empty = (segments.counts == 0).view(-1, *[1] * (x.ndim - 1))
        top = top.masked_fill_(empty, 0.0)
        ctx.segments = segments
        ctx.save_for_backward(x, top)
        return top

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        x, top = ctx.saved_tensors
        with torch.no_grad():
            first = x == top.index_select(0, ctx.segments.ids)
            shares = reduce_sum(first.float(), ctx.segments).clamp_(min=1).reciprocal_().to(grad.dtype)
        return spread(grad * shares, ctx.segments).masked_fill(~first, 0.0), None
