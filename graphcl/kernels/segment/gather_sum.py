"""Weighted sums of gathered rows."""

from __future__ import annotations

import torch
from torch import Tensor

from graphcl.errors import InputError
from graphcl.kernels.backend import Backend
from graphcl.kernels.csr import CSR, multiply
from graphcl.kernels.pattern import Pattern
from graphcl.kernels.segment.reduce import working_type


def gather_sum(x: Tensor, pattern: Pattern, weight: Tensor | None = None, *, backend: Backend = "auto") -> Tensor:
    """``y_i = sum_e w_e x[col_e]`` over the entries ``e`` of row ``i``; rows without an entry are zero.

    The product of a sparse matrix with dense rows, for halves too: these are added in fp32 and rounded once. Gradients reach
    ``x`` through the transposed pattern, and the weights by dot products at the entries. Time ``O(E D)``, memory that of the
    result, nothing of size ``E x D``. The same bits on every run.

    Args:
        x: Rows to gather, floating.
        pattern: Which of them each row of the result adds up.
        weight: Of each entry, in the pattern's order, of the working type (fp32 for halves); ones when ``None``.
        backend: ``"triton"`` takes fp32, fp16 and bf16 on an NVIDIA GPU; ``"auto"`` takes it wherever it can run.

    Shapes:
        x: ``(M, D)``; weight: ``(E,)``; returns: ``(N, D)`` of the type of ``x``.

    Raises:
        InputError: ``x`` or ``weight`` do not fit the pattern or each other; a backend that cannot run.
    """
    if x.ndim != 2 or len(x) != pattern.num_columns or not x.is_floating_point():
        raise InputError(
            f"x must be ({pattern.num_columns}, D), as the pattern gathers, and floating; got {tuple(x.shape)} {x.dtype}"
        )
    dtype = working_type(x.dtype)
    if weight is None:
        weight = torch.ones(pattern.nnz, dtype=dtype, device=x.device)
    if weight.shape != (pattern.nnz,) or weight.dtype != dtype:
        raise InputError(
            f"weight must be ({pattern.nnz},) of {dtype}, one an entry; got {tuple(weight.shape)} of {weight.dtype}"
        )
    if x.device != pattern.device or weight.device != pattern.device:
        raise InputError(f"x and weight must be on {pattern.device} like the pattern; got {x.device} and {weight.device}")
    return multiply(CSR(pattern, weight), x, backend=backend)
