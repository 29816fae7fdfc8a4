"""Softmax and log-sum-exp inside each segment: attention over the edges of a node, or over the rows of a graph."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from graphcl.kernels.backend import Backend
from graphcl.kernels.segment.reduce import reduce_lse, reduce_max, reduce_sum
from graphcl.kernels.segment.segments import Segments
from graphcl.kernels.segment.sums import add_up, check_floating, spread


def segment_logsumexp(x: Tensor, ids: Tensor, num_segments: int, *, backend: Backend = "auto") -> Tensor:
    """``log sum exp(x_n)`` over the rows ``n`` of each segment; ``-inf``, without a gradient, where there is nothing to add.

    Time ``O(N D)``, memory that of the result (on torch of ``x``). The same bits on every run.

    Args:
        x: Logits, floating; ``-inf`` for what does not count.
        ids: Segment of each row, in ``0 .. num_segments - 1``, in any order.
        num_segments: Rows of the result.
        backend: ``"triton"`` takes fp32, fp16 and bf16 on an NVIDIA GPU; ``"auto"`` takes it wherever it can run.

    Shapes:
        x: ``(N, ...)``; ids: ``(N,)`` int64; returns: ``(K, ...)``, for halves in fp32.

    Raises:
        InputError: ``x`` is not floating; ``ids`` has another length or leaves the range; a backend that cannot run.
    """
    check_floating(x)
    out: Tensor = _LogSumExp.apply(x, Segments(x, ids, num_segments, backend))  # type: ignore[no-untyped-call]
    return out


def segment_softmax(x: Tensor, ids: Tensor, num_segments: int, *, backend: Backend = "auto") -> Tensor:
    """``exp(x_n) / sum exp(x_m)`` over the rows ``m`` of the segment of ``n``: each segment's rows sum to 1.

    A segment whose logits are all ``-inf`` gives zeros. Time ``O(N D)``, memory a few arrays of the size of ``x``; halves in
    fp32, rounded once. The same bits on every run.

    Args:
        x: Logits, floating; ``-inf`` for what does not count.
        ids: Segment of each row, in ``0 .. num_segments - 1``, in any order.
        num_segments: Number of segments; they may be empty.
        backend: See `segment_logsumexp`.

    Shapes:
        x: ``(N, ...)``; ids: ``(N,)`` int64; returns: ``(N, ...)`` of the type of ``x``.

    Raises:
        InputError: ``x`` is not floating; ``ids`` has another length or leaves the range; a backend that cannot run.
    """
    check_floating(x)
    out: Tensor = _Softmax.apply(x, Segments(x, ids, num_segments, backend))  # type: ignore[no-untyped-call]
    return out.to(x.dtype)


class _LogSumExp(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, segments: Segments) -> Tensor:
        ctx.segments = segments
        lse = reduce_lse(x, segments)
        ctx.save_for_backward(x, lse)
        return lse

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        x, lse = ctx.saved_tensors
        # Differentiable itself: the saved result leads back to this function, so second derivatives exist.
        shift = spread(lse.masked_fill(lse == -torch.inf, 0.0), ctx.segments)
        return (spread(grad, ctx.segments) * (x - shift).exp()).to(x.dtype), None


class _Softmax(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, segments: Segments) -> Tensor:
        # Not by the log-sum-exp: where logits are large, it has too few digits left for the sum.
        top = reduce_max(x, segments)
        terms = (x - top.masked_fill_(top.isinf(), 0.0).index_select(0, segments.ids)).exp_()
        sums = reduce_sum(terms, segments)
        share = terms.div_(sums.masked_fill_(sums == 0, 1.0).index_select(0, segments.ids))
        ctx.segments, ctx.dtype = segments, x.dtype
        ctx.save_for_backward(share)
        return share

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        (share,) = ctx.saved_tensors
        change = share * grad
        return (change - share * spread(add_up(change, ctx.segments), ctx.segments)).to(ctx.dtype), None
