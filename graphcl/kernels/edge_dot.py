"""Dot products of listed pairs of rows."""

from __future__ import annotations

from torch import Tensor

from graphcl.errors import InputError
from graphcl.kernels.adjacency import Adjacency
from graphcl.kernels.csr import check_operand, dots_at
from graphcl.kernels.pattern import Pattern


def edge_dot(a: Tensor, b: Tensor, pairs: Adjacency | Pattern | tuple[Tensor, Tensor]) -> Tensor:
    """``<a[i], b[j]>`` for each listed pair (i, j), in the order of the list.

    Time ``O(E * D)``, memory ``O(E)``: neither ``N x M`` nor ``E x D``. The backward is two sparse products with the incoming
    gradient as values. ``a`` and ``b`` may be the same tensor.

    Args:
        a: Rows that the pairs' first ids name.
        b: Rows that the pairs' second ids name; type and device of ``a``.
        pairs: An adjacency (its entries: ``i`` the target, ``j`` the source), a ``Pattern``, or the pointers and columns of
            a CSR matrix. The last is checked, and its transpose found again in each backward: where it serves more than
            once, keep ``Pattern.from_csr(crow, col, len(b))``.

    Shapes:
        a: ``(N, D)``; b: ``(M, D)``; returns: ``(E,)``.

    Raises:
        InputError: ``a`` or ``b`` do not fit the pairs or each other.
    """
    for name, rows in (("a", a), ("b", b)):
        if rows.ndim != 2:
            raise InputError(f"{name} must be (rows, D); got {tuple(rows.shape)}. A single vector is {name}.unsqueeze(1).")
    if isinstance(pairs, tuple):
        pattern = Pattern.from_csr(*pairs, num_columns=b.size(0))
    else:
        pattern = pairs.pattern if isinstance(pairs, Adjacency) else pairs
    if a.size(0) != pattern.num_rows or b.size(0) != pattern.num_columns or a.size(1) != b.size(1):
        raise InputError(
            f"a and b must be ({pattern.num_rows}, D) and ({pattern.num_columns}, D) with one D, as the pairs list them; "
            f"got {tuple(a.shape)} and {tuple(b.shape)}. Rows of the pairs index a, columns index b."
        )
    check_operand(a, "a", a.dtype, pattern.device, "the pairs")
    check_operand(b, "b", a.dtype, a.device, "a")
    return dots_at(pattern, a, b)
