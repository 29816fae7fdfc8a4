"""What every task asks of a graph before it trains on it."""

from __future__ import annotations

import copy

import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.utils import remove_self_loops

from graphcl.errors import InputError
from graphcl.kernels import cached_adjacency
from graphcl.models.encoders import positional_features


def check_graph(data: Data) -> None:
    """Refuses what is not one homogeneous graph with sound ids and finite features.

    Raises:
        InputError: What is wrong, where, and the likely remedy.
    """
    if not isinstance(data, Data) or "edge_index" not in data:
        raise InputError(
            f"expected a torch_geometric Data with an edge_index; got {type(data).__name__}. "
            "graphcl.datasets makes one from tables, networkx graphs and scipy matrices: from_tables, from_networkx, from_scipy"
        )
    nodes = data.num_nodes
    if not nodes:
        raise InputError("the graph has no nodes")
    edges = data.edge_index
    if edges.ndim != 2 or edges.shape[0] != 2 or edges.dtype != torch.long:
        raise InputError(f"edge_index must be (2, E) int64; got {tuple(edges.shape)} {edges.dtype}")
    if edges.numel() and (int(edges.min()) < 0 or int(edges.max()) >= nodes):
        raise InputError(
            f"edge_index names nodes {int(edges.min())} .. {int(edges.max())} but there are {nodes}: ids start at 0"
        )
    if data.x is not None:
        _check_features(data.x, nodes)


def prepare(data: Data, width: int = 32) -> tuple[Data, str]:
    """What systems train on: features on every node, no self-loops, weights of the features' type.

    Returns a shallow copy where anything had to change, else the graph itself; and ``"given"`` or ``"positional"`` for
    where the features come from.

    Args:
        data: A checked graph.
        width: Number of positional features, where there are none.
    """
    graph, features = data, "given"
    if bool((data.edge_index[0] == data.edge_index[1]).any()):  # a node is no neighbour of its own
        graph = copy.copy(graph)
        weight = graph.edge_weight if "edge_weight" in graph else None
        graph.edge_index, kept = remove_self_loops(graph.edge_index, weight)
        if kept is not None:
            graph.edge_weight = kept
    if data.x is None:
        graph, features = copy.copy(graph), "positional"
        adj = cached_adjacency(graph.edge_index, graph.num_nodes, normalize="sym", self_loops=True)
        graph.x = positional_features(adj, width).to(graph.edge_index.device)
    if "edge_weight" in graph and graph.edge_weight.dtype != graph.x.dtype:
        graph = copy.copy(graph)
        graph.edge_weight = graph.edge_weight.to(graph.x.dtype)
    return graph, features


def place(graph: Data, device: torch.device) -> Data:
    """The graph on a device; a copy where it lies elsewhere."""
    return graph if graph.x.device == device else graph.clone().to(device)


def scored_nodes(data: Data) -> Tensor | None:
    """Mask of the nodes that have a class; ``None`` when all have."""
    return ~data.unlabelled if "unlabelled" in data else None


def _check_features(x: Tensor, nodes: int) -> None:
    if x.ndim != 2 or len(x) != nodes or x.shape[1] == 0:
        raise InputError(f"x must hold one row of features for each of the {nodes} nodes; got shape {tuple(x.shape)}")
    if not x.is_floating_point():
        raise InputError(f"x must be of a floating type; got {x.dtype}: use x.float()")
    values = x if x.layout == torch.strided else x.values()
    if not bool(torch.isfinite(values).all()):
        if x.layout == torch.strided:
            row, column = (int(i) for i in (~torch.isfinite(x)).nonzero()[0])
            raise InputError(f"x is not finite in row {row}, column {column}: fill or drop missing values first")
        raise InputError("x holds values that are not finite: fill or drop missing values first")
