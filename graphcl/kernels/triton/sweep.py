"""The two kernels: sums over the pairs of each row, and their gradients.

Both look at pairs from one side. A program owns a tile of the rows of that side, streams the rows of the other, and writes what
it owns once, so there are no atomic operations and nothing depends on the order in which programs end. The other side has a
launch of its own, with the roles exchanged (the shape of Dao, 2023, https://arxiv.org/abs/2307.08691).

The function of a pair is one of ``t = scale * <x, y> + own_add + other_add``: its ``exp2`` (``KIND = "lse"``, all in logarithms
to base 2), or a kernel of squared distances or of dot products (`tile.kernel_value`).
"""

from __future__ import annotations

import triton
import triton.language as tl

from graphcl.kernels.triton.tile import (
    add_dot,
    add_weighted,
    count_apart,
    keep_by_ids,
    keep_unseen,
    kernel_slope,
    kernel_value,
    load_rows,
    log2_counts,
    long_dot,
)

LN2 = tl.constexpr(0.6931471805599453)


@triton.jit
def owned(tile, num_own, tile_first, tile_last, own_list, OWN: tl.constexpr, LISTED: tl.constexpr, OWN_LIST: tl.constexpr):
    """The rows that a program owns, and which of them there are."""
    if LISTED:
        at = tl.load(tile_first + tile) + tl.arange(0, OWN)
        valid = at < tl.load(tile_last + tile)
    else:
        at = tile * OWN + tl.arange(0, OWN)
        valid = at < num_own
    if OWN_LIST:
        return tl.load(own_list + at, mask=valid, other=0), valid
    return at, valid


@triton.jit
def arguments(
    product, own, own_valid, other, other_valid, scale, own_add, other_add,
    SCALE: tl.constexpr, OWN_ADD: tl.constexpr, OTHER_ADD: tl.constexpr,
):  # fmt: skip
    """``t`` out of the dot products."""
    if SCALE == "own":
        t = product * tl.load(scale + own, mask=own_valid, other=0.0)[:, None]
    elif SCALE == "other":
        t = product * tl.load(scale + other, mask=other_valid, other=0.0)[None, :]
    else:
        t = product * tl.load(scale)
    if OWN_ADD:
        t += tl.load(own_add + own, mask=own_valid, other=0.0)[:, None]
    if OTHER_ADD:
        t += tl.load(other_add + other, mask=other_valid, other=0.0)[None, :]
    return t


@triton.jit
def sum_pairs(
    x, y, num_own, num_other, scale, own_add, other_add, own_ids, other_ids,
    seen, seen_pointers, tile_first, tile_last, own_list, other_list,
    span_pointers, spans, span_first, span_last, member_pointers, members, length, p, q, out,
    KIND: tl.constexpr, D: tl.constexpr, OWN: tl.constexpr, OTHER: tl.constexpr, STEP: tl.constexpr, PRECISION: tl.constexpr,
    SCALE: tl.constexpr, OWN_ADD: tl.constexpr, OTHER_ADD: tl.constexpr,
    APART: tl.constexpr, SAME: tl.constexpr, CLUSTERS: tl.constexpr, SEEN: tl.constexpr,
    LISTED: tl.constexpr, OWN_LIST: tl.constexpr, OTHER_LIST: tl.constexpr, MEMBERS: tl.constexpr,
):  # fmt: skip
    """One number for each own row: the sum over the others, or its logarithm; one for each part the others are cut into."""
    PARTS: tl.constexpr = APART + SAME + CLUSTERS
    tile = tl.program_id(0)
    own, own_valid = owned(tile, num_own, tile_first, tile_last, own_list, OWN, LISTED, OWN_LIST)
    split = tl.program_id(1)
    span, last_span = split, split + 1
    if LISTED:
        span, last_span = tl.load(span_pointers + tile), tl.load(span_pointers + tile + 1)
    if MEMBERS:
        member = tl.load(member_pointers + own, mask=own_valid, other=0)
        last_member = tl.load(member_pointers + own + 1, mask=own_valid, other=0)
    if SEEN:
        seen_at = tl.load(seen_pointers + split.to(tl.int64) * num_own + own, mask=own_valid, other=0)
        seen_end = tl.load(seen_pointers + (split + 1).to(tl.int64) * num_own + own, mask=own_valid, other=0)
    if D <= STEP:
        x_rows = load_rows(x, own, own_valid, tl.arange(0, STEP), D, STEP)
    top = tl.full((OWN,), float("-inf"), tl.float32)
    total = tl.zeros((OWN,), tl.float32)
    for part in range(span, last_span):
        first, last = part * length, tl.minimum((part + 1) * length, num_other)
        belongs = own_valid
        if LISTED:
            block = tl.load(spans + part)
            first, last = tl.load(span_first + block), tl.load(span_last + block)
            if MEMBERS:
                belongs = own_valid & (tl.load(members + member, mask=member < last_member, other=-1) == block)
                member += belongs.to(tl.int32)
        for start in range(first, last, OTHER):
            other = start + tl.arange(0, OTHER)
            other_valid = other < last
            if OTHER_LIST:
                other = tl.load(other_list + other, mask=other_valid, other=0)
            product = tl.zeros((OWN, OTHER), tl.float32)
            if D <= STEP:
                y_rows = load_rows(y, other, other_valid, tl.arange(0, STEP), D, STEP)
                product = add_dot(x_rows, tl.trans(y_rows), product, PRECISION)
            else:
                product = long_dot(x, own, own_valid, y, other, other_valid, product, D, STEP, PRECISION)
            t = arguments(
                product, own, own_valid, other, other_valid, scale, own_add, other_add, SCALE, OWN_ADD, OTHER_ADD
            )  # fmt: skip
            keep = belongs[:, None] & other_valid[None, :]
            keep = keep_by_ids(keep, own_ids, own, own_valid, other_ids, other, other_valid, APART, SAME, PARTS)
            if SEEN:
                keep, seen_at = keep_unseen(keep, other, other_valid, seen, seen_at, seen_end)
            if CLUSTERS > 0:
                count = tl.zeros((OWN, OTHER), tl.float32)
                count = count_apart(count, own_ids, own, own_valid, other_ids, other, other_valid, APART + SAME, PARTS)
            if KIND == "lse":
                if CLUSTERS > 0:
                    t += log2_counts(count)
                t = tl.where(keep, t, float("-inf"))
                higher = tl.maximum(top, tl.max(t, 1))
                shift = tl.where(higher == float("-inf"), 0.0, higher)
                total = total * tl.exp2(top - shift) + tl.sum(tl.exp2(t - shift[:, None]), 1)
                top = higher
            else:
                value = kernel_value(t, p, q, KIND)
                if CLUSTERS > 0:
                    value *= count
                total += tl.sum(tl.where(keep, value, 0.0), 1)
    if KIND == "lse":
        some = total > 0
        total = tl.where(some, (top + tl.log2(tl.where(some, total, 1.0))) * LN2, float("-inf"))
    tl.store(out + split.to(tl.int64) * num_own + own, total, mask=own_valid)


@triton.jit
def differentiate_pairs(
    x, y, num_own, num_other, scale, own_add, other_add, own_ids, other_ids,
    seen, seen_pointers, tile_first, tile_last, own_list, other_list,
    span_pointers, spans, span_first, span_last, member_pointers, members, length, p, q,
    own_grad, own_shift, other_grad, other_shift, out, out_sums, out_dots,
    KIND: tl.constexpr, D: tl.constexpr, OWN: tl.constexpr, OTHER: tl.constexpr, STEP: tl.constexpr, PRECISION: tl.constexpr,
    SCALE: tl.constexpr, OWN_ADD: tl.constexpr, OTHER_ADD: tl.constexpr,
    APART: tl.constexpr, SAME: tl.constexpr, CLUSTERS: tl.constexpr, SEEN: tl.constexpr,
    LISTED: tl.constexpr, OWN_LIST: tl.constexpr, OTHER_LIST: tl.constexpr, MEMBERS: tl.constexpr,
    OUT: tl.constexpr, FROM_OWN: tl.constexpr, FROM_OTHER: tl.constexpr, BOUNDED: tl.constexpr,
    DISTANCE: tl.constexpr, SUMS: tl.constexpr, DOTS: tl.constexpr,
):  # fmt: skip
    """The gradient of own rows, recomputing ``t``: ``sum_j g_ij d t_ij / d x_i`` with ``g`` from the sums of either side.

    Beside it ``sum_j g_ij`` where ``SUMS`` and ``sum_j g_ij <x_i, y_j>`` where ``DOTS``: the gradients of what is added to
    ``t`` for a row, and of its scale.
    """
    PARTS: tl.constexpr = APART + SAME + CLUSTERS
    tile = tl.program_id(0)
    own, own_valid = owned(tile, num_own, tile_first, tile_last, own_list, OWN, LISTED, OWN_LIST)
    split = tl.program_id(1)
    chunk = tl.program_id(2)
    out_column = chunk * OUT + tl.arange(0, OUT)
    span, last_span = split, split + 1
    if LISTED:
        span, last_span = tl.load(span_pointers + tile), tl.load(span_pointers + tile + 1)
    if MEMBERS:
        member = tl.load(member_pointers + own, mask=own_valid, other=0)
        last_member = tl.load(member_pointers + own + 1, mask=own_valid, other=0)
    if SEEN:
        seen_at = tl.load(seen_pointers + split.to(tl.int64) * num_own + own, mask=own_valid, other=0)
        seen_end = tl.load(seen_pointers + (split + 1).to(tl.int64) * num_own + own, mask=own_valid, other=0)
    if D <= STEP:
        x_rows = load_rows(x, own, own_valid, tl.arange(0, STEP), D, STEP)
    if FROM_OWN:
        mine = tl.load(own_grad + own, mask=own_valid, other=0.0)
        if KIND == "lse" and not BOUNDED:
            my_shift = tl.load(own_shift + own, mask=own_valid, other=0.0)
    total = tl.zeros((OWN,), tl.float32)
    gradient = tl.zeros((OWN, OUT), tl.float32)
    for part in range(span, last_span):
        first, last = part * length, tl.minimum((part + 1) * length, num_other)
        belongs = own_valid
        if LISTED:
            block = tl.load(spans + part)
            first, last = tl.load(span_first + block), tl.load(span_last + block)
            if MEMBERS:
                belongs = own_valid & (tl.load(members + member, mask=member < last_member, other=-1) == block)
                member += belongs.to(tl.int32)
        for start in range(first, last, OTHER):
            other = start + tl.arange(0, OTHER)
            other_valid = other < last
            if OTHER_LIST:
                other = tl.load(other_list + other, mask=other_valid, other=0)
            product = tl.zeros((OWN, OTHER), tl.float32)
            if D <= STEP:
                y_rows = load_rows(y, other, other_valid, tl.arange(0, STEP), D, STEP)
                product = add_dot(x_rows, tl.trans(y_rows), product, PRECISION)
            else:
                product = long_dot(x, own, own_valid, y, other, other_valid, product, D, STEP, PRECISION)
                y_rows = load_rows(y, other, other_valid, out_column, D, OUT)
            t = arguments(
                product, own, own_valid, other, other_valid, scale, own_add, other_add, SCALE, OWN_ADD, OTHER_ADD
            )  # fmt: skip
            keep = belongs[:, None] & other_valid[None, :]
            keep = keep_by_ids(keep, own_ids, own, own_valid, other_ids, other, other_valid, APART, SAME, PARTS)
            if SEEN:
                keep, seen_at = keep_unseen(keep, other, other_valid, seen, seen_at, seen_end)
            if CLUSTERS > 0:
                count = tl.zeros((OWN, OTHER), tl.float32)
                count = count_apart(count, own_ids, own, own_valid, other_ids, other, other_valid, APART + SAME, PARTS)
            if FROM_OTHER:
                theirs = tl.load(other_grad + other, mask=other_valid, other=0.0)
                if KIND == "lse" and not BOUNDED:
                    their_shift = tl.load(other_shift + other, mask=other_valid, other=0.0)
            if KIND == "lse":
                if CLUSTERS > 0:
                    t += log2_counts(count)
                t = tl.where(keep, t, float("-inf"))
                if BOUNDED:
                    g = tl.exp2(t) * (mine[:, None] + theirs[None, :])
                elif FROM_OWN and FROM_OTHER:
                    g = tl.exp2(t - my_shift[:, None]) * mine[:, None] + tl.exp2(t - their_shift[None, :]) * theirs[None, :]
                elif FROM_OWN:
                    g = tl.exp2(t - my_shift[:, None])
                else:
                    g = tl.exp2(t - their_shift[None, :]) * theirs[None, :]
            else:
                g = kernel_slope(t, p, q, KIND)
                if CLUSTERS > 0:
                    g *= count
                g = tl.where(keep, g, 0.0)
                if FROM_OTHER:
                    g *= theirs[None, :]
            if SUMS:
                total += tl.sum(g, 1)
            if SCALE == "other":
                g *= tl.load(scale + other, mask=other_valid, other=0.0)[None, :]
            gradient = add_weighted(g, y_rows, gradient, PRECISION)
    # What is the same for all others is multiplied in once.
    if FROM_OWN and not FROM_OTHER:
        total *= mine
        gradient *= mine[:, None]
    row = split.to(tl.int64) * num_own + own
    if SUMS and not DISTANCE:  # every chunk of features finds the same
        tl.store(out_sums + row, total, mask=own_valid & (tl.zeros_like(own) == chunk))
    if DOTS or DISTANCE:
        features = load_rows(x, own, own_valid, out_column, D, OUT).to(tl.float32)
    if DOTS:
        dots = tl.sum(gradient * features, 1)
        tl.store(out_dots + chunk.to(tl.int64) * tl.num_programs(1) * num_own + row, dots, mask=own_valid)
    if SCALE == "own":
        gradient *= tl.load(scale + own, mask=own_valid, other=0.0)[:, None]
    elif SCALE == "one":
        gradient *= tl.load(scale)
    if KIND == "lse":
        gradient *= LN2  # the scale was that of logarithms to base 2
    if DISTANCE:
        gradient += 2 * total[:, None] * features
    at = out + row[:, None] * D + out_column[None, :]
    tl.store(at, gradient.to(out.dtype.element_ty), mask=own_valid[:, None] & (out_column < D)[None, :])
