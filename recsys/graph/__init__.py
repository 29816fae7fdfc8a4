"""The graph between users and items, and what is found out about it once."""

from graphcl.recsys.graph.bipartite import Bipartite
from graphcl.recsys.graph.edge_views import without_edges, without_nodes
from graphcl.recsys.graph.item_graph import ItemGraph, nearest_items
from graphcl.recsys.graph.linear import polynomial
from graphcl.recsys.graph.low_rank import LowRank, exact_svd, truncated_svd

__all__ = [
    "Bipartite",
    "ItemGraph",
    "LowRank",
    "exact_svd",
    "nearest_items",
    "polynomial",
    "truncated_svd",
    "without_edges",
    "without_nodes",
]
