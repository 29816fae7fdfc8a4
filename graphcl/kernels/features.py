"""Node features that stay sparse: their product with a weight, and what propagation makes of their norms."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from graphcl.errors import InputError
from graphcl.kernels.adjacency import Adjacency
from graphcl.kernels.csr import CSR, check_operand, multiply
from graphcl.kernels.pattern import Pattern
from graphcl.kernels.propagate import check_hops, check_rows, propagate
from graphcl.kernels.weak_cache import WeakTensorCache

# Share of entries beyond which dense products are faster: on a CPU the two cross between 0.12 and 0.2, and at a third dense
# ones, which take no more memory than indices and values of 12 bytes, take half the time.
FILLED = 0.2
_cache: WeakTensorCache[CSR] = WeakTensorCache()
_dense: WeakTensorCache[Tensor] = WeakTensorCache()


def feature_product(x: Tensor, weight: Tensor) -> Tensor:
    """``x @ weight`` for dense or CSR features, the first layer of an encoder.

    For CSR features the time is ``O(nnz * D)`` in both directions: the transpose that the gradient needs is found once and kept
    as long as ``x`` lives unchanged. Where more than a fifth of the entries are stored, a dense copy is kept instead. The
    gradient goes to ``weight`` alone. To mask feature columns, mask rows of the weight: ``feature_product(x, weight *
    keep[:, None])`` leaves ``x`` and what was made of it as they are.

    Args:
        x: Features, dense or ``torch.sparse_csr``.
        weight: Dense; type and device of ``x``.

    Shapes:
        x: ``(N, F)``; weight: ``(F, D)``; returns: ``(N, D)``.

    Raises:
        InputError: Shapes, types, devices or a layout that do not go together, or CSR features that require a gradient.
    """
    if x.ndim != 2 or weight.ndim != 2 or x.size(1) != weight.size(0):
        raise InputError(
            f"x must be (N, F) and weight (F, D) with one F; got {tuple(x.shape)} and {tuple(weight.shape)}. "
            "torch.nn.Linear keeps its weight as (D, F): transpose it with .t()."
        )
    if x.layout == torch.strided:
        return x @ weight
    matrix = _as_csr(x)
    check_operand(weight, "weight", x.dtype, x.device, "x")
    if len(matrix.values) > FILLED * x.numel():
        return _dense.get((x,), None, x.to_dense) @ weight
    return multiply(matrix, weight)


def propagate_features(adj: Adjacency, x: Tensor, hops: int) -> Tensor:
    """``A^hops x`` as data: dense, without gradients, for features that are smoothed once before training.

    CSR features become dense first, since a few hops fill them anyway: two arrays of ``N x F`` exist at once. Where only
    the norms of the result matter, ``row_norms_of_propagated`` needs neither.

    Args:
        adj: The operator.
        x: Features, dense or ``torch.sparse_csr``, of the operator's type and device.
        hops: Number of products, ``>= 0``.

    Shapes:
        x: ``(N, F)``; returns: the same, dense.

    Raises:
        InputError: Features that do not go with the operator, or ``hops < 0``.
    """
    with torch.no_grad():
        if x.layout != torch.strided:
            _as_csr(x)  # refuses layouts that are neither
            x = x.to_dense()
        return propagate(adj, x, hops)


def row_norms_of_propagated(adj: Adjacency, x: Tensor, hops: int, ord: float = 2, block: int = 256) -> Tensor:
    """The norm of each row of ``A^hops x``, exactly, without the ``N x F`` product.

    Columns are propagated in blocks and forgotten: time ``O(hops * nnz * F)``, memory ``O(N * block)``. Sums run in float64.
    Without gradients.

    Args:
        adj: The operator.
        x: Features, ``torch.sparse_csr`` or dense, of the operator's type and device.
        hops: Number of products, ``>= 0``.
        ord: 1, 2 or ``math.inf``.
        block: Columns that are dense at a time, ``>= 1``.

    Shapes:
        x: ``(N, F)``; returns: ``(N,)``.

    Raises:
        InputError: Features that do not go with the operator, another ``ord``, ``hops < 0`` or ``block < 1``.
    """
    if ord not in (1, 2, math.inf):
        raise InputError(f"ord must be 1, 2 or math.inf; got {ord}.")
    if block < 1:
        raise InputError(f"block must be 1 or more columns; got {block}.")
    check_hops(hops)
    check_rows(adj, x)
    if x.ndim != 2:
        raise InputError(f"x must be (N, F); got {tuple(x.shape)}. A single feature is x.unsqueeze(1).")
    with torch.no_grad():
        matrix = None if x.layout == torch.strided else _as_csr(x)
        total = torch.zeros(x.size(0), dtype=torch.float64, device=x.device)
        for start in range(0, x.size(1), block):
            stop = min(start + block, x.size(1))
            columns = x[:, start:stop] if matrix is None else _dense_columns(matrix, start, stop)
            columns = propagate(adj, columns, hops)
            if ord == 2:
                total += columns.square().sum(1, dtype=torch.float64)
            elif ord == 1:
                total += columns.abs().sum(1, dtype=torch.float64)
            else:
                torch.maximum(total, columns.abs().amax(1).double(), out=total)
        return (total.sqrt_() if ord == 2 else total).to(x.dtype)


def _dense_columns(matrix: CSR, start: int, stop: int) -> Tensor:
    """``(N, stop - start)``, some columns of a sparse matrix, read from its transpose, where they are neighbours."""
    crow, nodes, _, _ = matrix.pattern.transpose
    bounds = crow[start : stop + 1].long()
    first, last = int(bounds[0]), int(bounds[-1])
    column = torch.repeat_interleave(torch.arange(stop - start, device=crow.device), bounds.diff(), output_size=last - first)
    dense = matrix.values.new_zeros(matrix.pattern.num_rows, stop - start)
    place = nodes[first:last].long() * (stop - start) + column
    # Added, not written: an entry that is stored twice counts twice, as in the product.
    dense.view(-1).index_add_(0, place, matrix.transposed_values()[first:last])
    return dense


def _as_csr(x: Tensor) -> CSR:
    """The matrix behind a CSR tensor; the same object, with its transpose, as long as the tensor lives unchanged."""
    if x.layout != torch.sparse_csr:
        raise InputError(f"features must be dense or torch.sparse_csr; got {x.layout}. Convert them once: x.to_sparse_csr().")
    if x.requires_grad:
        raise InputError(
            "sparse features are data and get no gradient; got x with requires_grad. "
            "Detach it, or use a dense x; a learned mask belongs on the weight's rows."
        )

    def build() -> CSR:
        pattern = Pattern(x.crow_indices(), x.col_indices(), x.size(1))
        return CSR(pattern, x.values().detach(), symmetric=False)

    return _cache.get((x,), None, build)
