"""Launches over the entries of sparse rows."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from graphcl.kernels.triton import row_sizes
from graphcl.kernels.triton.row_plan import row_plan
from graphcl.kernels.triton.rows import dot_entries, reduce_entries

Kind = Literal["sum", "max", "lse"]


def reduce_rows(
    crow: Tensor, col: Tensor | None, weight: Tensor | None, x: Tensor, *, kind: Kind = "sum", dtype: torch.dtype | None = None
) -> Tensor:
    """``y_i`` is the sum, maximum or log-sum-exp over the entries ``e`` of row ``i`` of ``w_e x[col_e]``; without gradients.

    Sums are made in fp32 and rounded once. Rows without an entry are 0, for the others ``-inf``. Time ``O(E D)``, memory
    that of the result and, for cut rows, less than a hundredth of what is read. The same bits on every run.

    Args:
        crow: Row pointers.
        col: Row of ``x`` for each entry; ``None`` where entry ``e`` is row ``e``.
        weight: Of each entry; ones when ``None``.
        x: Rows in fp32, fp16 or bf16.
        kind: What is found.
        dtype: Of the result; that of ``x`` when ``None``.

    Shapes:
        crow: ``(N + 1,)``; col, weight: ``(E,)``; x: ``(M, D)``; returns: ``(N, D)``.
    """
    dim, num_rows = x.shape[1], len(crow) - 1
    out = x.new_empty(num_rows, dim, dtype=dtype or x.dtype)
    if out.numel() == 0:
        return out
    x = x.contiguous()
    num_entries = len(x) if col is None else len(col)
    longest = row_sizes.longest_stretch(dim)
    for level in row_plan(crow, longest):
        begin = crow if level.begin is None else level.begin
        sizes = row_sizes.row_sizes(dim, num_entries / (len(begin) - 1))
        partial = torch.empty(level.num_partial, dim, device=x.device) if level.num_partial else None
        with torch.cuda.device_of(x):  # type: ignore[no-untyped-call]
            reduce_entries[(len(begin) - 1, -(-dim // sizes.width))](
                begin=begin,
                target=level.target,
                col=col,
                weight=weight,
                x=x,
                out=out,
                partial=partial,
                KIND=kind,
                D=dim,
                ENTRIES=sizes.entries,
                WIDTH=sizes.width,
                GATHERED=col is not None,
                WEIGHTED=weight is not None,
                TARGETS=level.target is not None,
                PARTIAL=partial is not None,
                enable_fp_fusion=True,
                num_warps=sizes.warps,
                num_stages=1,
            )
        if partial is not None:
            x, col, weight, num_entries = partial, None, None, level.num_partial
    return out


def dot_rows(row: Tensor, col: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """``<a[row_e], b[col_e]>`` for each entry, in fp32; without gradients.

    Time ``O(E D)``, memory ``O(E)``; equal blocks of entries, so rows of any length are balanced.

    Shapes:
        row, col: ``(E,)``; a: ``(N, D)``; b: ``(M, D)``; returns: ``(E,)``.
    """
    dim = a.shape[1]
    if len(col) == 0 or dim == 0:
        return torch.zeros(len(col), device=a.device)
    out = torch.empty(len(col), device=a.device)
    sizes = row_sizes.dot_sizes(dim)
    with torch.cuda.device_of(a):  # type: ignore[no-untyped-call]
        dot_entries[(-(-len(col) // sizes.entries),)](
            row=row,
            col=col,
            a=a.contiguous(),
            b=b.contiguous(),
            out=out,
            num_entries=len(col),
            D=dim,
            ENTRIES=sizes.entries,
            WIDTH=sizes.width,
            enable_fp_fusion=True,
            num_warps=sizes.warps,
            num_stages=1,
        )
    return out
