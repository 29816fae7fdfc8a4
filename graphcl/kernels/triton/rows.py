"""Sums of gathered rows, and dot products of listed pairs of rows, on a GPU.

A program owns one stretch of entries that belong to one result, and writes this result once; entries of a long row are cut into
stretches (`row_plan`), whose results are reduced again by the same kernel. There are no atomic operations, and nothing depends
on the order in which programs end.
"""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def reduce_entries(
    begin, target, col, weight, x, out, partial,
    KIND: tl.constexpr, D: tl.constexpr, ENTRIES: tl.constexpr, WIDTH: tl.constexpr,
    GATHERED: tl.constexpr, WEIGHTED: tl.constexpr, TARGETS: tl.constexpr, PARTIAL: tl.constexpr,
):  # fmt: skip
    """The sum, the maximum or the log-sum-exp of ``w_e x[col_e]`` over one stretch of entries, feature by feature."""
    stretch = tl.program_id(0)
    first, last = tl.load(begin + stretch), tl.load(begin + stretch + 1)
    feature = tl.program_id(1) * WIDTH + tl.arange(0, WIDTH)
    lane = tl.arange(0, ENTRIES)
    # Each lane keeps a result of its own, so that lanes meet once and not in every step.
    total = tl.zeros((ENTRIES, WIDTH), tl.float32)
    top = tl.full((ENTRIES, WIDTH), float("-inf"), tl.float32)
    for start in range(first, last, ENTRIES):
        entry = start + lane
        there = entry < last
        row = entry
        if GATHERED:
            row = tl.load(col + entry, mask=there, other=0)
        keep = there[:, None] & (feature < D)[None, :]
        value = tl.load(x + row.to(tl.int64)[:, None] * D + feature[None, :], mask=keep, other=0.0).to(tl.float32)
        if WEIGHTED:
            value *= tl.load(weight + entry, mask=there, other=0.0).to(tl.float32)[:, None]
        if KIND == "sum":
            total += value
        else:
            value = tl.where(keep, value, float("-inf"))
            higher = tl.maximum(top, value)
            if KIND == "lse":
                shift = _finite(higher)
                total = total * tl.exp(top - shift) + tl.exp(value - shift)
            else:
                total += tl.where(value != value, 1.0, 0.0)  # maxima pass over NaN, which has to be seen
            top = higher
    if KIND == "sum":
        result = tl.sum(total, 0)
    else:
        result = tl.max(top, 0)
        if KIND == "lse":
            shift = _finite(result)
            total = tl.sum(total * tl.exp(top - shift[None, :]), 0)
            result = tl.where(total == 0, float("-inf"), shift + tl.log(tl.where(total == 0, 1.0, total)))
        else:
            result = tl.where(tl.sum(total, 0) > 0, float("nan"), result)
    place = stretch.to(tl.int64)
    if TARGETS:
        place = tl.load(target + stretch)
    if PARTIAL:
        if place < 0:  # one of several stretches of a row
            tl.store(partial + (-1 - place) * D + feature, result, mask=feature < D)
        else:
            tl.store(out + place * D + feature, result.to(out.dtype.element_ty), mask=feature < D)
    else:
        tl.store(out + place * D + feature, result.to(out.dtype.element_ty), mask=feature < D)


@triton.jit
def _finite(top):
    """What exponents are shifted by: the maximum, and 0 where that is infinite."""
    return tl.where(tl.abs(top) == float("inf"), 0.0, top)


@triton.jit
def dot_entries(row, col, a, b, out, num_entries, D: tl.constexpr, ENTRIES: tl.constexpr, WIDTH: tl.constexpr):
    """``<a[row_e], b[col_e]>`` for a block of entries."""
    entry = tl.program_id(0).to(tl.int64) * ENTRIES + tl.arange(0, ENTRIES)
    there = entry < num_entries
    left = tl.load(row + entry, mask=there, other=0).to(tl.int64)
    right = tl.load(col + entry, mask=there, other=0).to(tl.int64)
    total = tl.zeros((ENTRIES, WIDTH), tl.float32)
    for start in range(0, D, WIDTH):
        feature = start + tl.arange(0, WIDTH)
        keep = there[:, None] & (feature < D)[None, :]
        x = tl.load(a + left[:, None] * D + feature[None, :], mask=keep, other=0.0).to(tl.float32)
        y = tl.load(b + right[:, None] * D + feature[None, :], mask=keep, other=0.0).to(tl.float32)
        total += x * y
    tl.store(out + entry, tl.sum(total, 1), mask=there)
