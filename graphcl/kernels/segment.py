"""Sums of rows by segment, deterministic on the CPU and under deterministic algorithms on a GPU."""

from __future__ import annotations

from torch import Tensor

from graphcl.errors import InputError


def segment_sum(x: Tensor, ids: Tensor, num_segments: int) -> Tensor:
    """Row ``k`` of the result is the sum of the rows of ``x`` whose id is ``k``; empty segments are zero.

    Args:
        x: Rows to add up.
        ids: Segment of each row, in ``0 .. num_segments - 1``, in any order.
        num_segments: Rows of the result.

    Shapes:
        x: ``(N, D)``; ids: ``(N,)`` int64; returns: ``(K, D)``.

    Raises:
        InputError: ``ids`` has another length or leaves the range.
    """
    if ids.shape != (len(x),):
        raise InputError(f"ids must name one segment a row, ({len(x)},); got {tuple(ids.shape)}")
    if len(ids) and (int(ids.min()) < 0 or int(ids.max()) >= num_segments):
        raise InputError(f"segment ids must lie in 0 .. {num_segments - 1}; got {int(ids.min())} .. {int(ids.max())}")
    return x.new_zeros(num_segments, *x.shape[1:]).index_add(0, ids, x)
