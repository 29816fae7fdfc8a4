"""The nearest-neighbour graph of feature rows: exact, and the same on every run."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from sklearn.metrics.pairwise import euclidean_distances
from sklearn.neighbors import NearestNeighbors
from torch import Tensor

from graphcl.datasets.edges import Edges, undirect
from graphcl.datasets.matrix import SparseLike, as_csr
from graphcl.errors import InputError

_BLOCK_BYTES = 32 << 20  # of distances held at once when ties are settled


def knn_graph(x: Tensor | NDArray[Any] | SparseLike, k: int) -> Tensor:
    """Connects every row with its ``k`` nearest other rows by Euclidean distance; undirected.

    Among equally near rows the lower numbers are taken; a row is never its own neighbour, also where its copies are as
    near as itself. Time ``O(N * N * F)``, memory ``O(N * k)`` besides a block of distances.

    Args:
        x: One row a node; finite.
        k: Neighbours a row, from 1 to ``N - 1``.

    Shapes:
        x: ``(N, F)``, dense or sparse; returns: ``(2, 2E)`` int64, both directions, sorted.

    Raises:
        InputError: Not a finite table, or ``k`` out of range.
    """
    return torch.from_numpy(knn_edges(x, k).index)


def knn_edges(x: Tensor | NDArray[Any] | SparseLike, k: int) -> Edges:
    """What ``knn_graph`` gives, as a tidied edge list.

    Shapes:
        x: ``(N, F)``.
    """
    rows = _rows(x)
    number = rows.shape[0]
    if not 1 <= k <= number - 1:
        raise InputError(f"expected from 1 to {number - 1} neighbours for {number} rows, got {k}")
    neighbours = _nearest(rows, k)
    return undirect(np.repeat(np.arange(number), k), neighbours.reshape(-1), number)


def _rows(x: Tensor | NDArray[Any] | SparseLike) -> NDArray[np.float64] | sp.csr_array[Any, tuple[int, int]]:
    if isinstance(x, Tensor):
        x = x.detach().cpu()
        if x.layout == torch.sparse_csr:
            parts = (x.values().numpy(), x.col_indices().numpy(), x.crow_indices().numpy())
            x = sp.csr_array(parts, shape=(x.shape[0], x.shape[1]))
        else:
            x = x.numpy()
    if isinstance(x, sp.sparray | sp.spmatrix):
        sparse = as_csr(x).astype(np.float64)
        values: NDArray[np.float64] = sparse.data
        table: NDArray[np.float64] | sp.csr_array[Any, tuple[int, int]] = sparse
    else:
        table = values = np.ascontiguousarray(x, dtype=np.float64)
    if table.ndim != 2 or not np.isfinite(values).all():
        raise InputError(f"expected finite numbers of shape (N, F) to find neighbours in, got shape {table.shape}")
    return table


def _nearest(rows: NDArray[np.float64] | sp.csr_array[Any, tuple[int, int]], k: int) -> NDArray[np.int64]:
    """Row numbers of the ``k`` nearest other rows, in no particular order.

    Shapes:
        rows: ``(N, F)``; returns: ``(N, k)``.
    """
    number = rows.shape[0]
    # Itself, k others, and one more that shows whether the k-th place is shared.
    ask = min(k + 2, number)
    distance, found = NearestNeighbors(n_neighbors=ask, algorithm="brute").fit(rows).kneighbors(rows)
    others = found != np.arange(number)[:, None]
    # Copies of a row can crowd it out of its own list; those rows are settled below, so any column may go here.
    others[others.all(axis=1), -1] = False
    chosen = found[others].reshape(number, ask - 1)
    reach = distance[others].reshape(number, ask - 1) ** 2
    if ask - 1 > k:
        slack = _slack(rows)
        shared = np.flatnonzero(reach[:, k] - reach[:, k - 1] <= slack)
        step = max(1, _BLOCK_BYTES // (8 * number))
        for start in range(0, shared.size, step):
            block = shared[start : start + step]
            chosen[block, :k] = _settle(rows, block, k, slack)
    return np.ascontiguousarray(chosen[:, :k], dtype=np.int64)


def _slack(rows: NDArray[np.float64] | sp.csr_array[Any, tuple[int, int]]) -> float:
    """Squared distances closer than this differ by rounding only."""
    squares = np.asarray(rows.multiply(rows).sum(axis=1) if isinstance(rows, sp.csr_array) else (rows * rows).sum(axis=1))
    return 1e-12 * float(squares.max())


def _settle(
    rows: NDArray[np.float64] | sp.csr_array[Any, tuple[int, int]], block: NDArray[np.intp], k: int, slack: float
) -> NDArray[np.int64]:
    """The ``k`` nearest others of a few rows, the lower numbers first among the equally near.

    Shapes:
        block: ``(B,)``; returns: ``(B, k)``.
    """
    distance = euclidean_distances(rows[block], rows, squared=True)
    distance[np.arange(block.size), block] = np.inf
    edge = np.partition(distance, k - 1, axis=1)[:, k - 1 : k]
    nearer = distance < edge - slack
    level = (distance <= edge + slack) & ~nearer
    places = k - nearer.sum(axis=1, keepdims=True)
    nearer |= level & (level.cumsum(axis=1) <= places)
    return np.nonzero(nearer)[1].reshape(block.size, k)
