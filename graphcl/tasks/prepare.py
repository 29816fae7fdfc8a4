"""What every task asks of a graph before it trains on it."""

from __future__ import annotations

import torch
from torch import Tensor
from torch_geometric.data import Data

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


def with_features(data: Data, width: int = 32) -> tuple[Data, str]:
    """The graph itself if its nodes have features, else a copy with positional ones; and which of the two it was.

    Args:
        data: A checked graph.
        width: Number of positional features.
    """
    if data.x is not None:
        return data, "given"
    adj = cached_adjacency(data.edge_index, data.num_nodes, normalize="sym", self_loops=True)
    copy = data.clone()
    copy.x = positional_features(adj, width).to(data.edge_index.device)
    return copy, "positional"


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
