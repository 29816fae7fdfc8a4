"""The numeric ground: the pair sweep, segment reductions, sparse propagation."""

from graphcl.kernels.adjacency import Adjacency
from graphcl.kernels.adjacency_cache import cached_adjacency
from graphcl.kernels.blocks import Blocks
from graphcl.kernels.columns import Columns
from graphcl.kernels.edge_dot import edge_dot
from graphcl.kernels.features import feature_product, propagate_features, row_norms_of_propagated
from graphcl.kernels.pair import pair_lse
from graphcl.kernels.pair_kernel import GaussianKernel, IMQKernel, LogKernel, PairKernel, RieszKernel, SoftplusKernel
from graphcl.kernels.pair_reference import pair_lse_reference, pair_sum_reference
from graphcl.kernels.pair_sum import pair_sum
from graphcl.kernels.powers import Powers, adjacency_powers
from graphcl.kernels.propagate import propagate
from graphcl.kernels.rule import Rule
from graphcl.kernels.segment import (
    gather_sum,
    segment_logsumexp,
    segment_max,
    segment_mean,
    segment_softmax,
    segment_sum,
)
from graphcl.kernels.weak_cache import WeakTensorCache

__all__ = [
    "Adjacency",
    "Blocks",
    "Columns",
    "GaussianKernel",
    "IMQKernel",
    "LogKernel",
    "PairKernel",
    "Powers",
    "RieszKernel",
    "Rule",
    "SoftplusKernel",
    "WeakTensorCache",
    "adjacency_powers",
    "cached_adjacency",
    "edge_dot",
    "feature_product",
    "gather_sum",
    "pair_lse",
    "pair_lse_reference",
    "pair_sum",
    "pair_sum_reference",
    "propagate",
    "propagate_features",
    "row_norms_of_propagated",
    "segment_logsumexp",
    "segment_max",
    "segment_mean",
    "segment_softmax",
    "segment_sum",
]
