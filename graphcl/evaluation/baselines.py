"""Clusters that nobody trained for: the anchors that a clustering system has to beat."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from graphcl.evaluation.clustering import Labels
from graphcl.evaluation.factorisation import factorised_walks
from graphcl.evaluation.kmeans import kmeans
from graphcl.evaluation.spectral import graph_coordinates, spectral_clusters
from graphcl.kernels import Adjacency, propagate_features


def kmeans_baselines(
    x: Tensor, adj: Adjacency, n_clusters: int, *, seed: int, filters: Sequence[int] = (1, 2), n_init: int = 10
) -> dict[str, Labels]:
    """Clusters by k-means on the features as they are, and on the features filtered by the graph.

    The filter is the low-pass ``A^t x`` on unit rows: what a system that propagates its features starts from. How far it
    should reach depends on the graph: one hop is best on some, two and more on others.

    Args:
        x: Features.
        adj: Symmetrically normalised, with self-loops.
        n_clusters: ``K``.
        seed: Of the k-means starts.
        filters: Numbers of hops.
        n_init: Starts of each k-means.

    Shapes:
        x: ``(N, F)`` dense or CSR; returns: name to ``(N,)``.
    """
    raw = x if x.layout == torch.strided else x.to_dense()
    return _kmeans_baselines(raw, F.normalize(raw, dim=1), adj, n_clusters, seed, filters, n_init)


def clustering_baselines(
    x: Tensor,
    adj: Adjacency,
    n_clusters: int,
    *,
    seed: int,
    filters: Sequence[int] = (1, 2, 3, 5),
    width: int = 64,
    n_init: int = 10,
) -> dict[str, Labels]:
    """k-means and spectral clustering of features, of filtered features and of the graph alone.

    ``kmeans-raw``; ``kmeans-filtered-t`` for each number of hops, unit rows filtered by ``A^t``; ``spectral-raw`` and
    ``spectral-filtered-2``, spectral clustering of all cosines (``(1 + cos) / 2`` where features may be negative);
    ``spectral-graph``, k-means on the leading eigenvectors of the regularised graph; ``walks-64``, k-means on unit rows of the
    factorisation that random-walk embeddings such as node2vec tend to. The last two know no feature, and are left out where the
    graph is directed.

    Time ``O((hops E + N) F)`` and that of each k-means, of Lanczos and of the powers of the graph; memory a few dense arrays of
    ``N x F``. No N x N array is held.

    Args:
        x: Features.
        adj: Symmetrically normalised, with self-loops.
        n_clusters: ``K``, below the number of nodes.
        seed: Of the k-means starts.
        filters: Numbers of hops.
        width: Of the factorisation.
        n_init: Starts of each k-means.

    Shapes:
        x: ``(N, F)`` dense or CSR; returns: name to ``(N,)``.

    Raises:
        InputError: More clusters than can be found among the nodes, or features that do not go with the operator.
    """
    raw = x if x.layout == torch.strided else x.to_dense()
    unit = F.normalize(raw, dim=1)
    found = _kmeans_baselines(raw, unit, adj, n_clusters, seed, filters, n_init)
    filtered = F.normalize(propagate_features(adj, unit, 2), dim=1)
    for name, rows in (("spectral-raw", unit), ("spectral-filtered-2", filtered)):
        if bool((rows < 0).any()):
            rows = torch.cat([rows, rows.new_ones(len(rows), 1)], 1) / 2**0.5
        found[name] = spectral_clusters(rows, n_clusters, seed=seed, n_init=n_init)
    if adj.is_symmetric:
        coordinates = torch.from_numpy(graph_coordinates(adj, n_clusters))
        found["spectral-graph"] = _by_kmeans(coordinates, n_clusters, seed, n_init)
        walks = torch.from_numpy(factorised_walks(adj, min(width, adj.num_nodes - 1)))
        found[f"walks-{width}"] = _by_kmeans(F.normalize(walks, dim=1), n_clusters, seed, n_init)
    return found


def _kmeans_baselines(
    raw: Tensor, unit: Tensor, adj: Adjacency, n_clusters: int, seed: int, filters: Sequence[int], n_init: int
) -> dict[str, Labels]:
    found = {"kmeans-raw": _by_kmeans(raw, n_clusters, seed, n_init)}
    for hops in filters:
        found[f"kmeans-filtered-{hops}"] = _by_kmeans(propagate_features(adj, unit, hops), n_clusters, seed, n_init)
    return found


def _by_kmeans(points: Tensor, n_clusters: int, seed: int, n_init: int) -> Labels:
    return kmeans(np.ascontiguousarray(points.cpu().numpy()), n_clusters, seed=seed, n_init=n_init).labels
