"""The numeric ground: the pair sweep, segment sums, sparse propagation."""

from graphcl.kernels.adjacency import Adjacency
from graphcl.kernels.adjacency_cache import cached_adjacency
from graphcl.kernels.edge_dot import edge_dot
from graphcl.kernels.features import feature_product, propagate_features, row_norms_of_propagated
from graphcl.kernels.pair import Columns, Rule, pair_lse, pair_lse_reference
from graphcl.kernels.propagate import propagate
from graphcl.kernels.segment import segment_sum
from graphcl.kernels.weak_cache import WeakTensorCache

__all__ = [
    "Adjacency",
    "Columns",
    "Rule",
    "WeakTensorCache",
    "cached_adjacency",
    "edge_dot",
    "feature_product",
    "pair_lse",
    "pair_lse_reference",
    "propagate",
    "propagate_features",
    "row_norms_of_propagated",
    "segment_sum",
]
