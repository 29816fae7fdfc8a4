"""Powers of an adjacency with their fill, written out row by row, for what cannot be applied as a product."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
import torch
from torch import Tensor

from graphcl.errors import InputError
from graphcl.kernels.adjacency import Adjacency
from graphcl.kernels.edge_list import EdgeList
from graphcl.kernels.pattern import Pattern
from graphcl.kernels.weak_cache import WeakTensorCache

_ENTRIES = 2**24  # a chunk of rows may fill to about as many before it is cut down and stored
_cache: WeakTensorCache[Powers] = WeakTensorCache()


@dataclass(frozen=True)
class Powers:
    """Powers of an adjacency as one sparse operator.

    Args:
        adjacency: The entries that were kept, the values as they are.
        dropped: Share of each row's weight that the bound cut off, before the row was scaled up again.

    Shapes:
        dropped: ``(N,)``, in ``0 .. 1``.
    """

    adjacency: Adjacency
    dropped: Tensor

    @property
    def exact(self) -> bool:
        """Whether nothing was cut off."""
        return not bool(self.dropped.any())

    def __repr__(self) -> str:
        return (
            f"Powers(nnz={self.adjacency.nnz}, {int((self.dropped > 0).sum())} of {len(self.dropped)} rows cut, "
            f"{float(self.dropped.mean()) if len(self.dropped) else 0.0:.2%} of the weight dropped)"
        )


def adjacency_powers(adj: Adjacency, order: int, *, cumulative: bool = True, max_fill: int | None = None) -> Powers:
    """``sum_{r = 1 .. order} A^r``, or ``A^order`` alone, with all entries that this fills in, or the largest of each row.

    For weights that stand inside a function, ``log sum_j M_ij exp(s_ij)`` for one. Where the powers act on rows of features
    they need not be written out: ``propagate`` applies them one by one, ``O(order E D)``. Rows are made in chunks and cut
    down before the next ones are made, so that a graph whose powers are full never stands in memory. A row that is cut is
    scaled up to the sum it had; among equal weights those of the smallest ids stay. Sums run in float64, on the CPU. Time
    ``O(order * walks)``; memory that of the entries kept and of one chunk. Remembered as long as the adjacency's values live;
    constants: no gradient flows to the values.

    Args:
        adj: The operator ``A``, usually row-normalised, whose rows of powers sum to 1.
        order: The highest power, ``>= 1``.
        cumulative: Whether the lower powers are added.
        max_fill: Most entries of a row, ``>= 1``; all when ``None``.

    Shapes:
        the operator returned: ``(N, N)``.

    Raises:
        InputError: ``order`` or ``max_fill`` below 1; values that are negative or not finite, among which none are largest.
    """
    if order < 1:
        raise InputError(f"order must be >= 1, the highest power of the adjacency; got {order}")
    if max_fill is not None and max_fill < 1:
        raise InputError(f"max_fill must be >= 1, the entries kept of a row, or None for all; got {max_fill}")
    values = adj.values.detach()
    if not bool((values.isfinite() & (values >= 0)).all()):
        raise InputError("powers are made of weights that are finite and not negative; clamp the values of the adjacency")
    if order == 1 and (max_fill is None or max_fill >= int(adj.pattern.crow.diff().max() if adj.num_nodes else 0)):
        return Powers(adj, values.new_zeros(adj.num_nodes))
    return _cache.get((adj.values,), (order, cumulative, max_fill), lambda: _build(adj, order, cumulative, max_fill))


def _build(adj: Adjacency, order: int, cumulative: bool, max_fill: int | None) -> Powers:
    n, pattern = adj.num_nodes, adj.pattern
    col, crow = pattern.col.cpu().numpy(), pattern.crow.cpu().numpy()
    matrix = sp.csr_matrix((adj.values.detach().double().cpu().numpy(), col, crow), shape=(n, n))
    indices: list[npt.NDArray[np.int64]] = []
    data: list[npt.NDArray[np.float64]] = []
    counts: list[npt.NDArray[np.int64]] = []
    dropped: list[npt.NDArray[np.float64]] = []
    for start, stop in _chunks(matrix, order):
        power = matrix[start:stop]
        total = power
        for _ in range(order - 1):
            power = power @ matrix
            total = total + power if cumulative else power
        total.sort_indices()
        rows, columns, weights, lost = _largest(total, max_fill)
        indices.append(columns)
        data.append(weights)
        counts.append(np.bincount(rows, minlength=stop - start))
        dropped.append(lost)
    with torch.inference_mode(False), torch.no_grad():
        pointers = np.concatenate([[0], np.concatenate(counts).cumsum()])
        filled = Pattern(torch.from_numpy(pointers), torch.from_numpy(np.concatenate(indices)), n).to(adj.device)
        edges = EdgeList(filled, torch.zeros(filled.nnz, dtype=torch.bool, device=adj.device), adj.self_loops)
        weight = torch.from_numpy(np.concatenate(data)).to(adj.device, adj.dtype)
        return Powers(Adjacency(edges, weight, None), torch.from_numpy(np.concatenate(dropped)).to(adj.device, adj.dtype))


def _chunks(matrix: sp.csr_matrix, order: int) -> Iterator[tuple[int, int]]:
    """Ranges of rows whose walks, as many as their powers can fill in, stay below the limit; one row at least."""
    n = matrix.shape[0]
    ones = sp.csr_matrix((np.ones(matrix.nnz), matrix.indices, matrix.indptr), shape=matrix.shape)
    walks = np.ones(n)
    for _ in range(order):
        walks = np.minimum(np.asarray(ones @ walks), n)
    start, filled = 0, 0.0
    for row, most in enumerate(walks.tolist()):
        if row > start and filled + most > _ENTRIES:
            yield start, row
            start, filled = row, 0.0
        filled += most
    yield start, n


def _largest(
    chunk: sp.csr_matrix, max_fill: int | None
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Rows, columns and weights of the entries kept, and the share of each row that is lost."""
    count = np.diff(chunk.indptr)
    rows = np.repeat(np.arange(chunk.shape[0]), count)
    columns, weights = chunk.indices.astype(np.int64), chunk.data
    lost = np.zeros(chunk.shape[0])
    if max_fill is None or not (count > max_fill).any():
        return rows, columns, weights, lost
    order = np.lexsort((columns, -weights, rows))
    rank = np.arange(len(rows)) - np.repeat(chunk.indptr[:-1], count)
    kept = np.sort(order[rank < max_fill])
    total = np.bincount(rows, weights, minlength=len(lost))
    rows, columns, weights = rows[kept], columns[kept], weights[kept]
    left = np.bincount(rows, weights, minlength=len(lost))
    cut = (count > max_fill) & (total > 0)
    lost[cut] = 1 - left[cut] / total[cut]
    scale = np.ones(len(lost))
    scale[cut] = total[cut] / left[cut]
    return rows, columns, weights * scale[rows], lost
