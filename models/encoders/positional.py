"""Features for graphs that bring none: where a node sits in the graph."""

from __future__ import annotations

from inspect import signature
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
import torch
from scipy.sparse.linalg import eigsh
from torch import Tensor

from graphcl.errors import InputError
from graphcl.kernels import Adjacency

# Where few eigenvalues are distinct, Lanczos breaks down and goes on from a random vector; older SciPy cannot seed that one.
LARGEST_EXACT = 20_000  # nodes; Lanczos takes minutes above, since the leading eigenvalues of large graphs are hardly apart
OVERSAMPLING, PASSES = 8, 12
_SEEDED: dict[str, Any] = {"rng": 0} if "rng" in signature(eigsh).parameters else {}


def positional_features(adj: Adjacency, width: int = 32) -> Tensor:
    """Leading eigenvectors of the symmetrically normalised adjacency, each scaled by its eigenvalue, and the log-degree.

    Above 20,000 nodes a randomised range finder takes the place of Lanczos: a subspace in which smooth vectors prevail, not
    the eigenvectors themselves. Time ``O(E width)`` a pass, twelve passes.

    The same numbers every time: Lanczos starts from a fixed vector and every eigenvector's largest entry is positive.
    Dwivedi and Bresson, 2020, https://arxiv.org/abs/2012.09699, use the same vectors; differs in that each is scaled by its
    eigenvalue, so that smooth ones lead.

    Args:
        adj: Symmetric operator made with ``normalize="sym"``.
        width: Number of eigenvectors, cut to what the graph has.

    Shapes:
        returns: ``(N, min(width, N - 2) + 1)`` float32.

    Raises:
        InputError: The operator is not symmetric, or the graph has fewer than four nodes.
    """
    n = adj.num_nodes
    if n < 4:
        raise InputError(f"positional features need at least 4 nodes; got {n}: give the nodes features instead")
    if width < 1:
        raise InputError(f"width, the number of eigenvectors, must be >= 1; got {width}")
    if not adj.is_symmetric:
        raise InputError("positional features need an undirected graph: add the reverse of every edge")
    pattern = adj.pattern
    matrix = sp.csr_matrix(
        (adj.values.double().cpu().numpy(), pattern.col.cpu().numpy(), pattern.crow.cpu().numpy()), shape=(n, n)
    )
    if not adj.values.any():
        raise InputError("positional features need an edge or self-loops: every entry of the operator is zero")
    k = min(width, n - 2)
    start = np.random.default_rng(0).standard_normal(n)
    if n > LARGEST_EXACT:
        value, vector = _range_finder(matrix, k)
    else:
        value, vector = eigsh(matrix, k=k, which="LA", v0=start, tol=1e-8, **_SEEDED)
    lead = vector[np.abs(vector).argmax(0), np.arange(k)]
    vector = vector * np.where(lead < 0, -1.0, 1.0) * value.clip(min=0) * np.sqrt(n)
    degree = np.log1p(adj.degree.double().cpu().numpy())
    columns = np.column_stack([vector[:, ::-1], (degree - degree.mean()) / max(degree.std(), 1e-12)])
    return torch.from_numpy(np.ascontiguousarray(columns, dtype=np.float32))


def _range_finder(matrix: sp.csr_matrix, k: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Ritz values, ascending, and vectors of a random subspace after passes of ``(A + I) / 2``, whose spectrum is not negative.

    Halko, Martinsson and Tropp, 2011, https://doi.org/10.1137/090771806.

    Shapes:
        matrix: ``(N, N)``; returns: ``(k,)`` and ``(N, k)``.
    """
    basis = np.random.default_rng(0).standard_normal((matrix.shape[0], k + OVERSAMPLING))
    for _ in range(PASSES):
        basis, _ = np.linalg.qr((matrix @ basis + basis) / 2)
    value, rotation = np.linalg.eigh(basis.T @ (matrix @ basis))
    return value[-k:], basis @ rotation[:, -k:]
