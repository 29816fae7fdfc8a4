"""How many clusters a graph has, asked before anything is trained."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from sklearn.utils.extmath import randomized_svd
from threadpoolctl import threadpool_limits
from torch import Tensor
from torch_geometric.data import Data

from graphcl.errors import InputError
from graphcl.evaluation.choose_k import ChoiceOfK, Criterion, best_k
from graphcl.kernels import cached_adjacency, propagate_features
from graphcl.models.encoders.propagated_mlp import unit_rows
from graphcl.tasks.prepare import check_graph, prepare

MOST = 20  # clusters that are thought of where nothing else is said
WIDTH = 32  # leading directions of wide features; more of them tell k-means little


def choose_k(
    data: Data,
    ks: Sequence[int] | None = None,
    *,
    embedding: npt.NDArray[np.float32] | None = None,
    by: Criterion = "combined",
    hops: int = 2,
    seeds: int = 5,
    seed: int = 0,
) -> ChoiceOfK:
    """The number of clusters, from features that were filtered by the graph or from an embedding; see `best_k`.

    Features are filtered as PamC does it, ``A^hops x`` on unit rows, put on unit rows again, and reduced to their 32 leading
    directions. Nothing is trained: seconds for thousands of nodes. For the embedding of one training run, give it:
    ``choose_k(data, embedding=clusterer.embedding_)``. Labels are not looked at.

    Args:
        data: A graph; without features, positional ones are made.
        ks: Numbers to try; 2 to 20, or as many as the nodes allow, when ``None``.
        embedding: Points instead of the filtered features.
        by: ``"combined"``, ``"modularity"``, ``"silhouette"`` or ``"stability"``.
        hops: Of the filter.
        seeds: Starts of k-means for each number.
        seed: Of everything random.

    Shapes:
        embedding: ``(N, D)``.

    Raises:
        InputError: Bad data, numbers out of range, or an embedding of other nodes.
    """
    check_graph(data)
    if data.num_nodes < 3:
        raise InputError(f"a number of clusters can be chosen for 3 nodes or more; got {data.num_nodes}")
    graph, _ = prepare(data)
    weight = graph.edge_weight if "edge_weight" in graph else None
    if embedding is None:
        points = _filtered(graph, weight, hops, seed)
    else:
        points = np.ascontiguousarray(embedding, dtype=np.float32)
        if points.ndim != 2 or len(points) != data.num_nodes:
            raise InputError(f"an embedding has one row for each of the {data.num_nodes} nodes; got shape {points.shape}")
    tried = range(2, min(MOST, data.num_nodes - 1) + 1) if ks is None else ks
    return best_k(points, graph.edge_index, tried, edge_weight=weight, by=by, seeds=seeds, seed=seed)


@torch.no_grad()
def _filtered(graph: Data, weight: Tensor | None, hops: int, seed: int) -> npt.NDArray[np.float32]:
    x = graph.x.float()
    adj = cached_adjacency(graph.edge_index, graph.num_nodes, edge_weight=weight, normalize="sym", self_loops=True)
    rows = unit_rows(x if x.layout == torch.strided else x.to_dense())
    points: npt.NDArray[np.float32] = unit_rows(propagate_features(adj.to(dtype=rows.dtype), rows, hops)).cpu().numpy()
    if points.shape[1] > WIDTH < len(points):
        with threadpool_limits(1):
            left, values, _ = randomized_svd(points, WIDTH, n_iter=4, random_state=seed)
        points = np.ascontiguousarray(left * values, dtype=np.float32)
    return points
