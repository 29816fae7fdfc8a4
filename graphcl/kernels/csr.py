"""Sparse times dense, and dense times dense at sparse positions: each is the gradient of the other.

For a matrix ``V`` of values on a pattern, ``Y = V X`` has the gradients ``dX = V^T dY`` (a product again) and
``dv_ij = <dY_i, X_j>`` (dots at the entries only); the dots ``e_ij = <a_i, b_j>`` have ``da = [de] b`` and
``db = [de]^T a`` (products with the gradient as values). Both backwards are written in terms of the two functions,
so derivatives of any order exist, and none of them holds an ``E x D`` array.
"""

from __future__ import annotations

import functools
import warnings
from typing import Any

import torch
from torch import Tensor

from graphcl.errors import InputError
from graphcl.kernels.backend import Backend, uses_triton
from graphcl.kernels.pattern import Pattern

PANEL = 32  # columns: two cache lines of a row
CACHE = 2**23  # bytes of gathered rows that stay in a core's reach; from half as much again on, products slow down


class CSR:
    """Values on a pattern: an ``N x M`` sparse matrix that remembers its transpose.

    Args:
        pattern: Where the entries stand.
        values: One per entry, floating, in the pattern's order; may require a gradient.
        symmetric: Whether the matrix equals its transpose, where the caller knows; found out at the first use when ``None``.

    Shapes:
        values: ``(E,)``.
    """

    __slots__ = ("_symmetric", "_transposed", "_version", "pattern", "values")

    def __init__(self, pattern: Pattern, values: Tensor, *, symmetric: bool | None = None) -> None:
        self.pattern = pattern
        self.values = values
        self._symmetric = symmetric
        self._transposed: Tensor | None = None
        self._version = -1

    @property
    def shape(self) -> tuple[int, int]:
        """``(N, M)``."""
        return self.pattern.num_rows, self.pattern.num_columns

    @property
    def is_symmetric(self) -> bool:
        """Whether the matrix equals its transpose, bit for bit."""
        if self._symmetric is None:
            return self.pattern.is_symmetric and torch.equal(self.transposed_values(), self.values.detach())
        return self._symmetric

    def transposed_values(self) -> Tensor:
        """``(E,)``, the values in the order of the transpose, without gradient; kept until the values are written to."""
        values = self.values.detach()
        if self._symmetric:
            return values
        # Learned values change in place at every optimiser step, so what was kept is good for one version only.
        version = -1 if values.is_inference() else self.values._version
        if self._transposed is None or version != self._version:
            permuted = values.index_select(0, self.pattern.transpose.order)
            same = not self.values.requires_grad and self.pattern.is_symmetric and torch.equal(permuted, values)
            self._transposed, self._version = values if same else permuted, version
        return self._transposed


def multiply(matrix: CSR, x: Tensor, *, transposed: bool = False, backend: Backend = "auto") -> Tensor:
    """The product of a sparse matrix, or of its transpose, with dense rows; gradients to ``x`` and to the values.

    Time ``O(E * D)``, memory that of the result. The same bits on every run. Shapes and types are the caller's to check; rows
    may be halves where the values are fp32, and are then added in fp32.

    Shapes:
        x: ``(M, D)``, ``(N, D)`` where transposed; returns: ``(N, D)``, ``(M, D)`` where transposed.
    """
    out: Tensor = _Product.apply(matrix.values, x, matrix, transposed, backend)  # type: ignore[no-untyped-call]
    return out


def dots_at(pattern: Pattern, a: Tensor, b: Tensor, *, backend: Backend = "auto") -> Tensor:
    """``<a[i], b[j]>`` for each entry (i, j) of the pattern; gradients to ``a`` and ``b``.

    Time ``O(E * D)``, memory ``O(E)``; of halves in fp32. Shapes and types are the caller's to check.

    Shapes:
        a: ``(N, D)``; b: ``(M, D)``; returns: ``(E,)``.
    """
    out: Tensor = _SampledDots.apply(a, b, pattern, backend)  # type: ignore[no-untyped-call]
    return out


def check_operand(x: Tensor, name: str, dtype: torch.dtype, device: torch.device, owner: str) -> None:
    """Refuses a dense operand whose type or device the sparse products cannot work with.

    Args:
        x: The operand.
        name: What the caller calls it.
        dtype: What its type must be, if it is float32 or float64 at all.
        device: Where it must be.
        owner: Whose type and device those are, as a reader would say it: ``"the adjacency"``.

    Raises:
        InputError: ``x`` is neither float32 nor float64, or of another type or on another device.
    """
    if x.dtype not in (torch.float32, torch.float64):
        raise InputError(f"{name} must be float32 or float64; got {x.dtype}. Convert it: {name}.float().")
    if x.dtype != dtype:
        raise InputError(f"{name} must be {dtype} like {owner}; got {x.dtype}. Convert one of them with .to(dtype=...).")
    if x.device != device:
        raise InputError(f"{name} must be on {device} like {owner}; got {x.device}. Move one of them with .to(...).")


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, x: Tensor, matrix: CSR, transposed: bool, backend: Backend) -> Tensor:
        ctx.matrix, ctx.transposed, ctx.backend = matrix, transposed, backend
        # The product is linear in x: x is kept only where the values learn.
        ctx.save_for_backward(values, x if ctx.needs_input_grad[0] else None)
        return _product(matrix, x, transposed, backend)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None, None, None]:
        values, x = ctx.saved_tensors
        grad_values = grad_x = None
        if ctx.needs_input_grad[0]:
            a, b = (x, grad) if ctx.transposed else (grad, x)
            grad_values = dots_at(ctx.matrix.pattern, a, b, backend=ctx.backend)
        if ctx.needs_input_grad[1]:
            back = not ctx.transposed
            grad_x = _Product.apply(values, grad, ctx.matrix, back, ctx.backend)  # type: ignore[no-untyped-call]
        return grad_values, grad_x, None, None, None


class _SampledDots(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor, pattern: Pattern, backend: Backend) -> Tensor:
        ctx.pattern, ctx.backend = pattern, backend
        ctx.save_for_backward(a, b)
        return _sampled_dots(pattern, a, b, backend)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        a, b = ctx.saved_tensors
        matrix = CSR(ctx.pattern, grad, symmetric=False)
        grad_a = multiply(matrix, b, backend=ctx.backend) if ctx.needs_input_grad[0] else None
        grad_b = multiply(matrix, a, transposed=True, backend=ctx.backend) if ctx.needs_input_grad[1] else None
        return grad_a, grad_b, None, None


def _product(matrix: CSR, x: Tensor, transposed: bool, backend: Backend) -> Tensor:
    pattern = matrix.pattern
    if transposed:
        crow, col, rows, values = *pattern.transpose[:2], pattern.num_columns, matrix.transposed_values()
    else:
        crow, col, rows, values = pattern.crow, pattern.col, pattern.num_rows, matrix.values.detach()
    if pattern.nnz == 0 or x.numel() == 0:
        return x.new_zeros(rows, x.size(1))
    if uses_triton(backend, x):
        from graphcl.kernels.triton.row_launch import reduce_rows

        return reduce_rows(crow, col, values, x)
    if x.dtype != values.dtype:
        return _torch_product(crow, col, values, x.to(values.dtype), rows).to(x.dtype)
    return _torch_product(crow, col, values, x, rows)


def _torch_product(crow: Tensor, col: Tensor, values: Tensor, x: Tensor, rows: int) -> Tensor:
    out = x.new_empty(rows, x.size(1))
    matrix = _torch_csr(crow, col, values, (rows, x.size(0)))
    # `csr @ x` fills one fresh N x D array with zeros, copies it to another and adds to that; writing into an
    # uninitialised one touches memory once. With beta=0 the old content of `out` is ignored, NaN included.
    if not _pays_in_panels(len(col), x):
        return torch.addmm(out, matrix, x, beta=0, out=out)
    for start in range(0, x.size(1), PANEL):
        width = min(PANEL, x.size(1) - start)
        part = out.narrow(1, start, width)
        torch.addmm(part, matrix, x.narrow(1, start, width).contiguous(), beta=0, out=part)
    return out


def _pays_in_panels(nnz: int, x: Tensor) -> bool:
    """Whether the rows that a product gathers leave the caches, and would stay there a few columns at a time.

    They are then fetched from memory once in place of once for each entry, and the bits stay the same. What it
    costs, a copy of ``x`` and the pattern read again for every panel, shows in sparser graphs.
    """
    rows, width = x.shape
    column = x.element_size() * rows
    helps = column * PANEL <= CACHE < column * width / 1.5
    return x.device.type == "cpu" and helps and width >= 4 * PANEL and nnz >= 8 * rows


def _sampled_dots(pattern: Pattern, a: Tensor, b: Tensor, backend: Backend) -> Tensor:
    if a.dtype in (torch.float16, torch.bfloat16) and not uses_triton(backend, a):
        a, b = a.float(), b.float()
    if pattern.nnz == 0 or a.size(1) == 0:
        return a.new_zeros(pattern.nnz)
    if uses_triton(backend, a):
        from graphcl.kernels.triton.row_launch import dot_rows

        return dot_rows(pattern.row, pattern.col, a, b)
    # One parallel loop over rows with nothing but the result in memory. A tiled gather would enter hundreds of
    # short parallel loops, each of which waits for the slower thread. The zeros are there because beta times the old
    # value is added.
    zeros = _torch_csr(pattern.crow, pattern.col, a.new_zeros(pattern.nnz), (pattern.num_rows, pattern.num_columns))
    dots: Tensor = torch.sparse.sampled_addmm(zeros, a, b.t(), beta=0.0)
    return dots.values()


def _torch_csr(crow: Tensor, col: Tensor, values: Tensor, shape: tuple[int, int]) -> Tensor:
    _silence_beta_notice()
    return torch.sparse_csr_tensor(crow, col, values, shape, check_invariants=False)


@functools.cache
def _silence_beta_notice() -> None:
    """Lets torch say, once and unheard, that CSR tensors are in beta; users can do nothing about it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        index = torch.zeros(2, dtype=torch.int64)
        torch.sparse_csr_tensor(index, index[:0], torch.zeros(0), (1, 1), check_invariants=False)
