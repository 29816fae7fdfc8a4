"""One reduction of rows by segment, by the fastest code for the device; without gradients.

Which code that is, as measured on a CPU (2 cores, torch 2.13, shared machine, least of 5, ms; ids in random order):

    rows, segments, D      index_add  scatter_reduce  sorted CSR product, sorting  segment_reduce, gather, sorted before
    10k, 100, 64                0.15            0.10                   0.71                       0.53
    1M, 1k, 1                   1.7             1.8                   96                         35
    1M, 1k, 64                325             350                    712                        505
    1M, 100k, 64              268             388                    443                        605

- Sums: `index_add_`. A product with rows that were sorted before takes half of it (151 and 152 ms in the last two lines),
  but few callers reduce by the same ids more than twice, and sorting takes more than is won. `torch.segment_reduce` wins
  where rows lie in order already (90 ms in the last line), which nobody promises.
- Maxima: `scatter_reduce_`. `index_reduce_` takes 2 to 50 times as long with narrow or few rows; with 64 features and 20k rows
  or more it takes 0.7 to 0.9 of it (forward and backward), but warns every user that it is in beta.
- Gathered rows with weights are products with a sparse matrix (`csr`), ten times as fast as gather, multiply and scatter.
- On an NVIDIA GPU the Triton kernels; without Triton torch's own. `torch_scatter` has no line: nothing was measured that it
  wins, its `scatter` adds in any order on a GPU, and its `segment_csr` needs an `E x D` array of gathered rows.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from graphcl.kernels.segment.segments import Segments

HALVES = (torch.float16, torch.bfloat16)


def working_type(dtype: torch.dtype) -> torch.dtype:
    """The type that sums are made in: fp32 for halves."""
    return torch.float32 if dtype in HALVES else dtype


def reduce_sum(x: Tensor, segments: Segments) -> Tensor:
    """The sum of each segment, 0 where it is empty; of halves in fp32.

    Shapes:
        x: ``(N, ...)``; returns: ``(K, ...)``.
    """
    if segments.triton:
        return _by_triton(x, segments, "sum")
    x = x.to(working_type(x.dtype))
    return x.new_zeros(segments.num, *x.shape[1:]).index_add_(0, segments.ids, x)


def reduce_max(x: Tensor, segments: Segments) -> Tensor:
    """The maximum of each segment, ``-inf`` where it is empty; NaN where it has one. Of halves in fp32.

    Shapes:
        x: ``(N, ...)``; returns: ``(K, ...)``.
    """
    if segments.triton:
        return _by_triton(x, segments, "max")
    x = x.to(working_type(x.dtype))
    ids = segments.ids.long().reshape(-1, *[1] * (x.ndim - 1)).expand(x.shape)
    return x.new_full((segments.num, *x.shape[1:]), -torch.inf).scatter_reduce_(0, ids, x, "amax")


def reduce_lse(x: Tensor, segments: Segments) -> Tensor:
    """The log of the sum of exponentials of each segment, ``-inf`` where it is empty; of halves in fp32.

    Shapes:
        x: ``(N, ...)``; returns: ``(K, ...)``.
    """
    if segments.triton:
        return _by_triton(x, segments, "lse")
    top = reduce_max(x, segments)
    top = top.masked_fill_(top.isinf(), 0.0)
    terms = (x - top.index_select(0, segments.ids)).exp_()
    return reduce_sum(terms, segments).log_().add_(top)


def _by_triton(x: Tensor, segments: Segments, kind: str) -> Tensor:
    from graphcl.kernels.triton.row_launch import reduce_rows

    rows = x.reshape(len(x), math.prod(x.shape[1:]))
    crow, order = segments.sorted.crow, segments.sorted.order
    out = reduce_rows(crow, order, None, rows, kind=kind, dtype=torch.float32)  # type: ignore[arg-type]
    return out.view(segments.num, *x.shape[1:])
