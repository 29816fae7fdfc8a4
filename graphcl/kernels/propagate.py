"""Messages along the edges: dense rows multiplied by the adjacency, once per hop."""

from __future__ import annotations

from torch import Tensor

from graphcl.errors import InputError
from graphcl.kernels.adjacency import Adjacency
from graphcl.kernels.csr import check_operand, multiply


def propagate(adj: Adjacency, x: Tensor, hops: int = 1) -> Tensor:
    """``A^hops x``, row by row: ``out[i]`` sums ``A[i, j] * x[j]`` over the neighbours ``j`` of ``i``.

    The backward multiplies by the transpose, whose order is found once per pattern, or by ``A`` itself where it is symmetric.
    Time ``O(hops * E * D)``; memory that of two results, nothing of size ``E x D``. The same bits on every run and for every
    order of calls. Gradients reach ``x`` and the values of an operator made by ``adj.reweight``, to any order.

    Args:
        adj: The operator.
        x: float32 or float64 like the operator; any strides.
        hops: Number of products, ``>= 0``; none returns ``x`` itself.

    Shapes:
        x: ``(N, D)`` or ``(N,)``; returns: the same.

    Raises:
        InputError: ``x`` has another number of rows, type or device than the operator, or ``hops < 0``.
    """
    check_rows(adj, x)
    check_hops(hops)
    rows = x if x.ndim == 2 else x.unsqueeze(1)
    for _ in range(hops):
        rows = multiply(adj.matrix, rows)
    return rows if x.ndim == 2 else rows.squeeze(1)


def check_rows(adj: Adjacency, x: Tensor) -> None:
    """Refuses features that do not go with the operator.

    Raises:
        InputError: Another number of rows, type or device.
    """
    if x.ndim not in (1, 2) or x.size(0) != adj.num_nodes:
        raise InputError(
            f"x must be (N,) or (N, D) with N = {adj.num_nodes} nodes; got {tuple(x.shape)}. "
            "Is the adjacency that of another graph, or did a view drop nodes?"
        )
    check_operand(x, "x", adj.dtype, adj.device, "the adjacency")


def check_hops(hops: int) -> None:
    """Refuses a number of hops that is not a count.

    Raises:
        InputError: ``hops < 0``.
    """
    if hops < 0:
        raise InputError(f"hops must be 0 or more; got {hops}. It is the number of times messages are passed.")
