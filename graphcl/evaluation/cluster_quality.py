"""How good clusters are where nobody knows the classes: modularity, conductance, silhouette."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from sklearn.metrics import silhouette_samples
from threadpoolctl import threadpool_limits
from torch import Tensor

from graphcl.errors import InputError
from graphcl.evaluation.clustering import Labels

SAMPLE = 2_000  # nodes whose distances are looked at
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class ClusterQuality:
    """What can be said of clusters without a label. ``NaN`` stands for what is not defined.

    Args:
        sizes: Nodes of each cluster.
        conductance: Weight of the edges that leave a cluster, over the smaller of the weights of edge ends inside and outside
            it: 0 for a component, ``NaN`` without edge ends on either side.
        silhouette: Mean silhouette of the sampled nodes of each cluster; ``NaN`` where there is none, or no other cluster.
        modularity: Newman's, of all clusters.
        mean_silhouette: Over the sample.

    Shapes:
        sizes, conductance, silhouette: ``(K,)``.
    """

    sizes: npt.NDArray[np.int64]
    conductance: Floats
    silhouette: Floats
    modularity: float
    mean_silhouette: float

    def scores(self) -> dict[str, float]:
        """Those that are defined, by name; ``conductance`` is the mean over clusters, weighted by their size."""
        known = np.isfinite(self.conductance) & (self.sizes > 0)
        found = {"modularity": self.modularity, "silhouette": self.mean_silhouette}
        if known.any():
            found["conductance"] = float(np.average(self.conductance[known], weights=self.sizes[known]))
        return {name: value for name, value in found.items() if np.isfinite(value)}


def cluster_quality(
    edge_index: Tensor,
    labels: Labels,
    points: npt.NDArray[np.floating],
    *,
    edge_weight: Tensor | None = None,
    n_clusters: int | None = None,
    sample: int = SAMPLE,
    seed: int = 0,
) -> ClusterQuality:
    """Modularity and conductance of clusters on the graph, silhouette in the space of some points.

    ``Q = sum_c (in_c / W - (vol_c / W)^2)`` with ``in_c`` the weight of edges that stay in a cluster, ``vol_c`` that of its
    edge ends and ``W`` that of all; edges of one direction count half each way, so that a directed graph is judged like its
    symmetric part. Newman, 2006, https://arxiv.org/abs/physics/0602124. The silhouette (Rousseeuw, 1987) is Euclidean, over a
    random sample: ``O(sample^2)`` time and memory; the rest is ``O(E + N)``.

    Args:
        edge_index: The graph, both directions of an edge as a rule.
        labels: Cluster of each node.
        points: Where nodes lie, an embedding for example.
        edge_weight: 1 each when ``None``.
        n_clusters: ``K``, above every label; the largest label and one when ``None``.
        sample: Nodes that the silhouette looks at, at least 2.
        seed: Of the choice of them.

    Shapes:
        edge_index: ``(2, E)``; labels: ``(N,)``; points: ``(N, D)``; edge_weight: ``(E,)``.

    Raises:
        InputError: Labels that are not one cluster for each point, or points that are not finite.
    """
    labels = np.asarray(labels)
    if points.ndim != 2 or labels.shape != points.shape[:1] or len(labels) == 0 or not np.isfinite(points).all():
        raise InputError(
            f"cluster quality needs finite points (N, D) and one label for each; got {points.shape} and {labels.shape}"
        )
    count = int(labels.max()) + 1 if n_clusters is None else n_clusters
    if labels.min() < 0 or labels.max() >= count:
        raise InputError(f"labels must lie in 0 .. {count - 1}; got {labels.min()} .. {labels.max()}")
    inside, volume = _flows(edge_index, labels, edge_weight, count)
    total = float(volume.sum())
    smaller = np.minimum(volume, total - volume)
    conductance = np.full(count, np.nan)
    np.divide(volume - inside, smaller, out=conductance, where=smaller > 1e-12 * max(total, 1e-300))
    modularity = float((inside / total - (volume / total) ** 2).sum()) if total > 0 else float("nan")
    sizes = np.bincount(labels, minlength=count).astype(np.int64)
    silhouettes, mean = _silhouettes(points, labels, count, sample, seed)
    return ClusterQuality(sizes, conductance, silhouettes, modularity, mean)


def _flows(edge_index: Tensor, labels: Labels, edge_weight: Tensor | None, count: int) -> tuple[Floats, Floats]:
    """Of each cluster, the weight of edges that stay inside and the weight of edge ends."""
    own = torch.from_numpy(labels.astype(np.int64))
    source, target = (own.index_select(0, end).numpy() for end in edge_index.cpu())
    weight = np.ones(len(source)) if edge_weight is None else edge_weight.double().cpu().numpy()
    stays = source == target
    inside = np.bincount(source[stays], weight[stays], minlength=count)
    ends = np.bincount(source, weight, minlength=count) + np.bincount(target, weight, minlength=count)
    return inside.astype(np.float64), ends / 2


def _silhouettes(points: npt.NDArray[np.floating], labels: Labels, count: int, sample: int, seed: int) -> tuple[Floats, float]:
    rows = np.arange(len(labels))
    if len(rows) > sample:
        rows = np.sort(np.random.default_rng(seed).choice(rows, sample, replace=False))
    chosen, found = labels[rows], np.full(count, np.nan)
    if not 2 <= len(np.unique(chosen)) < len(rows):
        return found, float("nan")
    with threadpool_limits(1):
        values = silhouette_samples(points[rows], chosen)
    present = np.bincount(chosen, minlength=count)
    np.divide(np.bincount(chosen, values, minlength=count), present, out=found, where=present > 0)
    return found, float(values.mean())
