"""Node embeddings from the graph alone, by factorising what random walks estimate."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from graphcl.errors import InputError
from graphcl.evaluation.spectral import Vector, leading_eigenvectors
from graphcl.kernels import Adjacency, adjacency_powers


def factorised_walks(adj: Adjacency, width: int, *, window: int = 3, max_fill: int = 512) -> npt.NDArray[np.float32]:
    """What DeepWalk, node2vec without its bias, tends to: the leading part of the log of co-occurrence on walks.

    ``M_ij = log max(1, vol / window * sum_{r <= window} (P^r)_ij / d_j)`` with ``P`` the random walk on the graph with its
    self-loops; ``U sqrt(|L|)`` for the leading eigenpairs of ``M``. Entries that are zero are not stored, and of each row of
    the powers the ``max_fill`` largest alone count. Time ``O(window * walks + nnz(M) width)`` up to logarithms, memory
    ``O(nnz(M) + N width)``; no random number is drawn.

    Qiu et al., 2018 (NetMF), https://arxiv.org/abs/1710.02971. Differs: powers are cut to their largest entries where the
    original is dense; a small window for that reason; the walk may stay.

    Args:
        adj: Symmetrically normalised, symmetric, usually with self-loops.
        width: ``D``, below the number of nodes.
        window: Steps over which two nodes occur together, ``>= 1``.
        max_fill: Most nodes that a node occurs together with.

    Shapes:
        returns: ``(N, D)``.

    Raises:
        InputError: A graph that is not undirected, or a setting out of range.
    """
    n = adj.num_nodes
    if adj.normalize != "sym" or not adj.is_symmetric:
        raise InputError("walks are factorised on an undirected graph, normalised 'sym': add the reverse of every edge")
    if not 1 <= width < n:
        raise InputError(f"width must lie in 1 .. {n - 1}, below the number of nodes; got {width}")
    degree = adj.degree
    root = degree.sqrt()
    inverse = root.reciprocal().nan_to_num(posinf=0.0)
    pattern = adj.pattern
    walk = adj.reweight(adj.values * inverse.index_select(0, pattern.row) * root.index_select(0, pattern.col))
    powers = adjacency_powers(walk, window, max_fill=max_fill)
    entries = powers.adjacency
    # The powers scale a row that was cut up to the sum it had; what was kept is meant here as it was.
    kept = entries.values * (1 - powers.dropped).index_select(0, entries.pattern.row)
    share = kept / degree.index_select(0, entries.pattern.col).clamp(min=1e-12)
    logs = (share.double() * float(degree.sum()) / window).clamp(min=1).log().cpu().numpy()
    crow, col = entries.pattern.crow.cpu().numpy(), entries.pattern.col.cpu().numpy()
    matrix = sp.csr_matrix((logs, col, crow), shape=(n, n))
    matrix.eliminate_zeros()
    back = matrix.T.tocsr()

    def product(v: Vector) -> Vector:
        v = v.reshape(-1)
        out: Vector = (matrix @ v + back @ v) / 2  # cut rows are not symmetric
        return out

    values, vectors = leading_eigenvectors(product, n, width, which="LM")
    return (vectors * np.sqrt(np.abs(values))).astype(np.float32)
