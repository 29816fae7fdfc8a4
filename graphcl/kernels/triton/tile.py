"""What the kernels do to one tile of pairs: products, the rule, and the functions that are summed."""

from __future__ import annotations

import os

import triton
import triton.language as tl

# The interpreter multiplies the bits of bfloat16 numbers as if they were integers.
WIDEN = tl.constexpr(os.environ.get("TRITON_INTERPRET") == "1")


@triton.jit
def load_rows(z, index, valid, column, D: tl.constexpr, WIDTH: tl.constexpr):
    """Features of some rows, zeros beyond them. Offsets have 64 bits: there may be more than 2^31 numbers."""
    at = z + index.to(tl.int64)[:, None] * D + column[None, :]
    if D % WIDTH == 0:
        return tl.load(at, mask=valid[:, None], other=0.0)
    return tl.load(at, mask=valid[:, None] & (column < D)[None, :], other=0.0)


@triton.jit
def add_dot(left, right, total, PRECISION: tl.constexpr):
    """``total + left @ right``, summed in single precision."""
    if WIDEN:
        return tl.dot(left.to(tl.float32), right.to(tl.float32), total, input_precision=PRECISION)
    return tl.dot(left, right, total, input_precision=PRECISION)


@triton.jit
def add_weighted(weights, rows, total, PRECISION: tl.constexpr):
    """``total + weights @ rows``, the weights rounded to what the matrix units take."""
    if rows.dtype == tl.float16:
        # As TF32, which has the digits of fp16 and the range of fp32: most weights are smaller than any fp16 number.
        return add_dot(weights, rows.to(tl.float32), total, "tf32")
    return add_dot(weights.to(rows.dtype), rows, total, PRECISION)


@triton.jit
def long_dot(x, own, own_valid, y, other, other_valid, total, D: tl.constexpr, STEP: tl.constexpr, PRECISION: tl.constexpr):
    """Products of rows that are too wide to be held, some features at a time."""
    for first in range(0, D, STEP):
        column = first + tl.arange(0, STEP)
        left = load_rows(x, own, own_valid, column, D, STEP)
        right = load_rows(y, other, other_valid, column, D, STEP)
        total = add_dot(left, tl.trans(right), total, PRECISION)
    return total


@triton.jit
def keep_by_ids(
    keep, own_ids, own, own_valid, other_ids, other, other_valid, APART: tl.constexpr, SAME: tl.constexpr, PARTS: tl.constexpr
):  # fmt: skip
    """Takes out pairs whose ids are equal in one of the first parts, or differ in one of the next."""
    for part in tl.static_range(APART + SAME):
        mine = tl.load(own_ids + own.to(tl.int64) * PARTS + part, mask=own_valid, other=0)
        theirs = tl.load(other_ids + other.to(tl.int64) * PARTS + part, mask=other_valid, other=0)
        if part < APART:  # noqa: SIM108 - a branch of the compiler
            keep = keep & (mine[:, None] != theirs[None, :])
        else:
            keep = keep & (mine[:, None] == theirs[None, :])
    return keep


@triton.jit
def count_apart(count, own_ids, own, own_valid, other_ids, other, other_valid, FIRST: tl.constexpr, PARTS: tl.constexpr):
    """How many of the last parts set a pair apart."""
    for part in range(FIRST, PARTS):
        mine = tl.load(own_ids + own.to(tl.int64) * PARTS + part, mask=own_valid, other=0)
        theirs = tl.load(other_ids + other.to(tl.int64) * PARTS + part, mask=other_valid, other=0)
        count += (mine[:, None] != theirs[None, :]).to(tl.float32)
    return count


@triton.jit
def keep_unseen(keep, other, other_valid, seen, at, end):
    """Takes out listed pairs. Every own row has a cursor into its ascending list, which passes this tile and stays there."""
    last = tl.max(tl.where(other_valid, other, -1), 0)
    listed = tl.load(seen + at, mask=at < end, other=2147483647)
    while tl.min(listed, 0) <= last:
        keep = keep & (other[None, :] != listed[:, None])
        at += (listed <= last).to(tl.int64)
        listed = tl.load(seen + at, mask=at < end, other=2147483647)
    return keep, at


@triton.jit
def log2_counts(count):
    """``log2``, and ``-inf`` of 0."""
    return tl.where(count > 0, tl.log2(tl.maximum(count, 1.0)), float("-inf"))


@triton.jit
def kernel_value(t, p, q, KIND: tl.constexpr):
    """The function that is summed: of squared distances, or of scaled dot products for softplus."""
    if KIND == "softplus":
        value = tl.maximum(t, 0.0) + tl.log(1 + tl.exp(-tl.abs(t)))
    elif KIND == "gaussian":
        value = tl.exp2(-1.4426950408889634 * p * tl.maximum(t, 0.0))
    elif KIND == "imq":
        value = tl.rsqrt(tl.maximum(t, 0.0) / (p * p) + 1)
    elif KIND == "riesz":
        value = tl.exp2(-0.5 * p * tl.log2(tl.maximum(t, 0.0) + q))
        value = tl.where(p > 0, value, -value)
    else:
        tl.static_assert(KIND == "log")
        value = -0.5 * tl.log(1 + p * tl.maximum(t, 0.0))
    return value


@triton.jit
def kernel_slope(t, p, q, KIND: tl.constexpr):
    """Its derivative."""
    if KIND == "softplus":
        slope = 1 / (1 + tl.exp(-t))
    elif KIND == "gaussian":
        slope = -p * tl.exp2(-1.4426950408889634 * p * tl.maximum(t, 0.0))
    elif KIND == "imq":
        root = tl.rsqrt(tl.maximum(t, 0.0) / (p * p) + 1)
        slope = -0.5 * root * root * root / (p * p)
    elif KIND == "riesz":
        slope = -0.5 * tl.abs(p) * tl.exp2((-0.5 * p - 1) * tl.log2(tl.maximum(t, 0.0) + q))
    else:
        tl.static_assert(KIND == "log")
        slope = -0.5 * p / (1 + p * tl.maximum(t, 0.0))
    return slope
