"""What k-means makes of the features alone: the anchors that a clustering system has to beat."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from graphcl.evaluation.clustering import Labels
from graphcl.evaluation.kmeans import kmeans
from graphcl.kernels import Adjacency, propagate_features


def kmeans_baselines(
    x: Tensor, adj: Adjacency, n_clusters: int, *, seed: int, hops: int = 2, n_init: int = 10
) -> dict[str, Labels]:
    """Clusters by k-means on the features as they are, and on the features filtered by the graph.

    The filter is the low-pass ``A^hops x`` on unit rows: what a system that propagates its features starts from.

    Args:
        x: Features.
        adj: Symmetrically normalised, with self-loops.
        n_clusters: ``K``.
        seed: Of the k-means starts.
        hops: Of the filter.
        n_init: Starts of each k-means.

    Shapes:
        x: ``(N, F)`` dense or CSR; returns: name to ``(N,)``.
    """
    raw = x if x.layout == torch.strided else x.to_dense()
    filtered = propagate_features(adj, F.normalize(raw, dim=1), hops)
    return {
        name: kmeans(np.ascontiguousarray(points.cpu().numpy()), n_clusters, seed=seed, n_init=n_init).labels
        for name, points in (("kmeans-raw", raw), (f"kmeans-filtered-{hops}", filtered))
    }
