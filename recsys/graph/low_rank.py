"""The few strongest directions of a sparse matrix: a second view of who met what, never written out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Self

import numpy as np
import scipy.sparse as sp
import torch
from scipy.sparse.linalg import svds
from torch import Tensor

from graphcl.errors import InputError
from graphcl.kernels.csr import CSR, check_operand, multiply


@dataclass(frozen=True, eq=False)
class LowRank:
    """``left diag(singular) right^T``: a ``U x I`` matrix of rank ``q`` in ``O(q (U + I))`` memory.

    Products cost ``O(q (U + I) D)``, their gradients as much.

    Args:
        left: Orthonormal columns.
        singular: Falling, ``>= 0``.
        right: Orthonormal columns.

    Shapes:
        left: ``(U, q)``; singular: ``(q,)``; right: ``(I, q)``.
    """

    left: Tensor
    singular: Tensor
    right: Tensor
    _scaled_left: Tensor = field(init=False, repr=False)
    _scaled_right: Tensor = field(init=False, repr=False)

    def __post_init__(self) -> None:
        shapes = [tuple(part.shape) for part in (self.left, self.singular, self.right)]
        if [len(shape) for shape in shapes] != [2, 1, 2] or len({shape[-1] for shape in shapes}) > 1:
            raise InputError(f"left, singular and right must be (U, q), (q,) and (I, q) of one q; got {shapes}")
        object.__setattr__(self, "_scaled_left", self.left * self.singular)
        object.__setattr__(self, "_scaled_right", self.right * self.singular)

    @property
    def rank(self) -> int:
        """``q``."""
        return self.singular.numel()

    @property
    def shape(self) -> tuple[int, int]:
        """``(U, I)``."""
        return len(self.left), len(self.right)

    def apply(self, items: Tensor) -> Tensor:
        """The product with rows of items; differentiable.

        Shapes:
            items: ``(I, D)``; returns: ``(U, D)``.

        Raises:
            InputError: Another shape, type or device than the factors have.
        """
        self._check(items, len(self.right), "items")
        return self._scaled_left @ (self.right.T @ items)

    def apply_transposed(self, users: Tensor) -> Tensor:
        """The product of the transpose with rows of users; differentiable.

        Shapes:
            users: ``(U, D)``; returns: ``(I, D)``.

        Raises:
            InputError: Another shape, type or device than the factors have.
        """
        self._check(users, len(self.left), "users")
        return self._scaled_right @ (self.left.T @ users)

    def to(self, device: torch.device | str) -> Self:
        """The same on another device."""
        return type(self)(self.left.to(device), self.singular.to(device), self.right.to(device))

    def _check(self, rows: Tensor, count: int, name: str) -> None:
        if rows.ndim != 2 or len(rows) != count:
            raise InputError(f"{name} must be ({count}, D), one row for each; got {tuple(rows.shape)}")
        check_operand(rows, name, self.left.dtype, self.left.device, "the factors")


@torch.no_grad()
def truncated_svd(
    matrix: CSR, rank: int, *, oversampling: int = 10, power: int = 4, generator: torch.Generator | None = None
) -> LowRank:
    """The ``rank`` largest singular values of a sparse matrix with their vectors, from a random sketch.

    The range of ``rank + oversampling`` random combinations of columns is sharpened by ``power`` products with the matrix and
    its transpose, with a QR after each. The matrix is then projected on it exactly: whatever the sketch missed,
    ``|A - A_q|^2 = |A|^2 - sum_k s_k^2`` holds, and a sketch as wide as the smaller side leaves nothing out. Of each pair of
    vectors the left one's largest entry is positive. The same generator state gives the same factors. No gradients.

    With ``k = rank + oversampling``: time ``O(power k (E + k (U + I)))``, memory ``O(k (U + I))``.

    Halko et al., 2011, https://arxiv.org/abs/0909.4061, their algorithms 4.4 and 5.1. Differs from ``torch.svd_lowrank``: the
    sketch is wider than what is kept, and has a generator.

    Args:
        matrix: Values in float32 or float64.
        rank: Of the result, from 1 to the smaller side.
        oversampling: Columns of the sketch beyond ``rank``.
        power: Rounds of both products. Spectra of interactions fall slowly: after 4 rounds the five largest values of Gowalla
            are still one or two percent low; ``exact_svd`` finds them in about twice the time.
        generator: Of the sketch, drawn on its device; torch's own on the CPU when ``None``.

    Raises:
        InputError: A rank out of range, or values that are not finite numbers of these types.
    """
    values = _checked(matrix, rank)
    if oversampling < 0 or power < 0:
        raise InputError(f"oversampling and power must be >= 0; got {oversampling} and {power}")
    rows, columns = matrix.shape
    width = min(rank + oversampling, rows, columns)
    source = torch.device("cpu") if generator is None else generator.device
    sketch = torch.randn(columns, width, dtype=values.dtype, device=source, generator=generator).to(values.device)
    basis = _orthonormal(multiply(matrix, sketch))
    for _ in range(power):
        basis = _orthonormal(multiply(matrix, _orthonormal(multiply(matrix, basis, transposed=True))))
    # A^T Q is tall: its thin SVD is that of Q^T A with the two sides exchanged.
    right, singular, inner = torch.linalg.svd(multiply(matrix, basis, transposed=True), full_matrices=False)
    return _signed(basis @ inner[:rank].T, singular[:rank].clone(), right[:, :rank])


@torch.no_grad()
def exact_svd(matrix: CSR, rank: int, *, generator: torch.Generator | None = None) -> LowRank:
    """The same triples, as exact as the type allows, by restarted Lanczos.

    For spectra that fall slowly, where ``truncated_svd`` mixes the triples with what comes after. ARPACK through scipy, on the
    CPU whatever the device. Time about ``O(rank (E + rank (U + I)))`` a restart, a few restarts; memory
    ``O(rank (U + I))``.

    Args:
        matrix: Values in float32 or float64.
        rank: From 1 to the smaller side.
        generator: Of the first vector, on the CPU; torch's own when ``None``.

    Raises:
        InputError: As for ``truncated_svd``.
    """
    values = _checked(matrix, rank)
    smaller = min(matrix.shape)
    # ARPACK can find neither all triples nor those of nothing but zeros; a sketch can.
    if rank == smaller or not bool(values.any()):
        return truncated_svd(matrix, rank, power=0, generator=generator)
    pattern = matrix.pattern
    block = sp.csr_array((values.cpu().numpy(), pattern.col.cpu().numpy(), pattern.crow.cpu().numpy()), shape=matrix.shape)
    start = torch.randn(smaller, dtype=values.dtype, generator=generator).numpy()
    found = svds(block, k=rank, v0=start, tol=1e-4 if values.dtype == torch.float32 else 0)
    left, singular, right = (torch.from_numpy(np.array(part)).to(values) for part in found)
    order = singular.argsort(descending=True)
    return _signed(left[:, order], singular[order], right[order].T)


def _checked(matrix: CSR, rank: int) -> Tensor:
    """The values, once they and the rank are known to be usable."""
    rows, columns = matrix.shape
    if not 1 <= rank <= min(rows, columns):
        raise InputError(f"rank must be from 1 to the smaller side of the {rows} x {columns} matrix; got {rank}")
    values = matrix.values.detach()
    check_operand(values, "the values of the matrix", values.dtype, values.device, "themselves")
    if not bool(torch.isfinite(values).all()):
        raise InputError("the matrix holds NaN or infinite values: divide by no degree of 0")
    return values


def _signed(left: Tensor, singular: Tensor, right: Tensor) -> LowRank:
    """Vectors come with either sign: here the largest entry of the left one is positive."""
    peak = left.gather(0, left.abs().argmax(0, keepdim=True))
    sign = torch.where(peak < 0, -1.0, 1.0).to(left.dtype)
    return LowRank(left * sign, singular, right * sign)


def _orthonormal(columns: Tensor) -> Tensor:
    """An orthonormal basis; Householder's, so that it stays one where columns depend on each other."""
    basis: Tensor = torch.linalg.qr(columns)[0]
    return basis
