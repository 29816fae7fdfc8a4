"""Spectral clustering by products: of all cosines of an embedding, or of a graph; no N x N array is held."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from inspect import signature
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
import torch
from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigsh
from threadpoolctl import threadpool_limits
from torch import Tensor

from graphcl.errors import InputError
from graphcl.evaluation.clustering import Labels
from graphcl.evaluation.kmeans import kmeans
from graphcl.kernels import Adjacency

Vector = npt.NDArray[np.float64]
# Where few eigenvalues are distinct, Lanczos breaks down and goes on from a random vector; older SciPy cannot seed that one.
_SEEDED: dict[str, Any] = {"rng": 0} if "rng" in signature(eigsh).parameters else {}


@dataclass(frozen=True)
class SpectralMap:
    """From embeddings to spectral coordinates; for the rows it was made of exact, for others Nyström's extension.

    Args:
        total: ``Z^T 1``, which gives a row its degree.
        basis: ``Z^T D^-1/2 U`` for the leading eigenvectors ``U``, times the root of the sum of degrees.
        values: Their eigenvalues, the largest first.

    Shapes:
        total: ``(D,)``; basis: ``(D, K)``; values: ``(K,)``; called: ``(N, D)`` to ``(N, K)``.
    """

    total: Tensor
    basis: Tensor
    values: Tensor

    def __call__(self, z: Tensor) -> Tensor:
        """Rows of ``D^-1/2 U``, scaled so that the mean square of a coordinate over edge ends is 1."""
        own = z.square().sum(1)
        degree = z @ self.total - own
        degree = torch.where(degree > 0, degree, torch.inf)
        # The eigenvector equation, solved for the row itself: its own similarity is not among those summed up.
        rest = self.values + (own / degree)[:, None]
        solid = rest.abs() > 1e-7
        return torch.where(solid, (z @ self.basis) / degree[:, None] / torch.where(solid, rest, 1.0), 0.0)


def linear_spectral(z: Tensor, n_components: int) -> SpectralMap:
    """Leading eigenvectors of ``D^-1/2 (Z Z^T - diag) D^-1/2``, the normalised graph of all similarities ``<z_i, z_j>``.

    The graph that scikit-learn's spectral clustering makes of a precomputed affinity, whose diagonal it ignores, too. Lanczos
    on the product ``v -> Z (Z^T v)``: exact, ``O(N D)`` an iteration, memory ``O(N D)`` in float64; similarities are never
    held. Starts from a fixed vector, on one thread.

    Args:
        z: Embeddings whose similarities are not negative: unit rows without negative entries, for example.
        n_components: Number of eigenvectors, the trivial one among them.

    Shapes:
        z: ``(N, D)``.

    Raises:
        InputError: Not a finite matrix, as many components as rows, or rows whose similarities to the others sum up to less
            than nothing.
    """
    if z.ndim != 2 or not bool(z.isfinite().all()):
        raise InputError(f"spectral clustering needs finite embeddings (N, D); got {tuple(z.shape)}")
    if not 1 <= n_components < len(z):
        raise InputError(
            f"the number of eigenvectors must lie in 1 .. {len(z) - 1}, below the number of rows; got {n_components}"
        )
    rows = z.detach().double().cpu().numpy()
    own, total = np.einsum("nd,nd->n", rows, rows), rows.sum(0)
    degree = rows @ total - own
    if degree.min() < -1e-6 * max(1.0, float(np.abs(degree).max())):
        raise InputError(
            "spectral clustering needs similarities that are not negative, and some rows are opposed to the others: give rows "
            "without negative entries, or append a column of ones"
        )
    root = np.zeros_like(degree)
    np.power(degree, -0.5, out=root, where=degree > 1e-12)

    def product(v: Vector) -> Vector:
        v = v.reshape(-1)
        out: Vector = root * (rows @ (rows.T @ (root * v)) - own * (root * v))
        return out

    values, vectors = leading_eigenvectors(product, len(rows), n_components)
    basis = rows.T @ (root[:, None] * vectors) * np.sqrt(max(degree.sum(), 0.0))
    return SpectralMap(*(torch.from_numpy(np.ascontiguousarray(part)).to(z) for part in (total, basis, values)))


def spectral_clusters(z: Tensor, n_clusters: int, *, seed: int, n_init: int = 10) -> Labels:
    """Clusters by k-means on the spectral coordinates of an embedding, one for each cluster.

    Args:
        z: As in `linear_spectral`.
        n_clusters: ``K``.
        seed: Of k-means.
        n_init: Its starts.

    Shapes:
        z: ``(N, D)``; returns: ``(N,)``.
    """
    coordinates = linear_spectral(z, n_clusters)(z)
    return kmeans(coordinates.float().cpu().numpy(), n_clusters, seed=seed, n_init=n_init).labels


def graph_coordinates(adj: Adjacency, n_components: int, *, regularisation: float = 1.0) -> npt.NDArray[np.float32]:
    """Leading eigenvectors of a graph whose nodes are all joined to all others by a thin thread, of unit rows.

    ``D_t^-1/2 (A + t/N 1 1^T) D_t^-1/2`` with ``t`` the regularisation times the mean degree: without it the leading vectors of
    a sparse graph tell its smallest components apart and nothing else. The thread is a product with one vector:
    ``O(E + N)`` an iteration. Amini, Chen, Bickel and Levina, 2013, https://arxiv.org/abs/1207.2340; unit rows after Ng, Jordan
    and Weiss, 2001.

    Args:
        adj: Symmetrically normalised, symmetric.
        n_components: Number of eigenvectors.
        regularisation: ``>= 0``; 0 for the bare graph.

    Shapes:
        returns: ``(N, n_components)``.

    Raises:
        InputError: An operator that is not symmetric, a setting out of range.
    """
    n = adj.num_nodes
    if adj.normalize != "sym" or not adj.is_symmetric:
        raise InputError("spectral coordinates need an undirected graph, normalised 'sym': add the reverse of every edge")
    if not 1 <= n_components < n:
        raise InputError(f"the number of eigenvectors must lie in 1 .. {n - 1}, below the number of nodes; got {n_components}")
    if not regularisation >= 0:
        raise InputError(f"regularisation must be >= 0; got {regularisation}")
    degree = adj.degree.double().cpu().numpy()
    thread = regularisation * degree.mean()
    matrix, root = as_scipy(adj), (degree + thread) ** -0.5
    scale, along = np.sqrt(degree) * root, root * np.sqrt(thread / n)

    def product(v: Vector) -> Vector:
        v = v.reshape(-1)
        out: Vector = scale * (matrix @ (scale * v)) + along * (along @ v)
        return out

    vectors = leading_eigenvectors(product, n, n_components)[1]
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True).clip(min=1e-12)
    return np.asarray(unit, dtype=np.float32)


def leading_eigenvectors(
    product: Callable[[Vector], Vector], size: int, count: int, *, which: Literal["LA", "LM"] = "LA"
) -> tuple[Vector, Vector]:
    """Eigenvalues, the largest first, and eigenvectors of a symmetric operator given as a product; the same every time.

    To eight digits; to two where Lanczos does not tell them further apart in a hundred restarts, as on a long chain.

    Args:
        product: From a vector to a vector.
        size: ``N``.
        count: How many, below ``N``.
        which: ``"LA"``, the largest, or ``"LM"``, the largest by their size.

    Shapes:
        returns: ``(count,)`` and ``(N, count)``.
    """
    operator = LinearOperator((size, size), matvec=product, dtype=np.float64)
    start = np.random.default_rng(0).standard_normal(size)
    with threadpool_limits(1):  # sums split over threads are added in another order from run to run
        try:
            values, vectors = eigsh(operator, k=count, which=which, v0=start, tol=1e-8, maxiter=100, **_SEEDED)
        except ArpackNoConvergence:
            values, vectors = eigsh(operator, k=count, which=which, v0=start, tol=1e-2, **_SEEDED)
    order = np.argsort(-np.abs(values) if which == "LM" else -values, kind="stable")
    return values[order], vectors[:, order]


def as_scipy(adj: Adjacency) -> sp.csr_matrix:
    """An operator as SciPy has it, in double precision."""
    pattern = adj.pattern
    parts = (adj.values.detach().double().cpu().numpy(), pattern.col.cpu().numpy(), pattern.crow.cpu().numpy())
    return sp.csr_matrix(parts, shape=(adj.num_nodes, adj.num_nodes))
