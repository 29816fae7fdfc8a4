"""Estimators by name, for settings that come from a command line or a recipe."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, get_args

from torch import Tensor

from graphcl.errors import InputError, unknown_name
from graphcl.negatives.debiased import Debiased
from graphcl.negatives.exact import Exact
from graphcl.negatives.hard_top_k import HardTopK
from graphcl.negatives.hcl import HCL
from graphcl.negatives.hybrid import Hybrid
from graphcl.negatives.meta_node import MetaNode
from graphcl.negatives.protocol import Negatives
from graphcl.negatives.sampled import Sampled

NegativesName = Literal[
    "exact", "exact-bf16", "sampled", "hcl", "hard-top-k", "debiased", "meta-node", "meta-node-isotropic", "hybrid"
]
CLUSTERED = ("meta-node", "meta-node-isotropic", "hybrid")  # these take the cluster of each candidate

_PLAIN: dict[str, Callable[[], Negatives]] = {
    "exact": Exact,
    "exact-bf16": lambda: Exact(bf16=True),
    "sampled": lambda: Sampled(1024),
    "hcl": HCL,
    "hard-top-k": lambda: HardTopK(fraction=0.1),
    "debiased": Debiased,
}


def named_negatives(name: str, assignment: Tensor | None = None, num_clusters: int = 0) -> Negatives:
    """An estimator with its defaults: 1,024 draws, the hardest tenth, a prior of 0.1, a tolerance of 0.01.

    ``"exact-bf16"`` is ``"exact"`` with products rounded to bfloat16.

    Args:
        name: One of `NegativesName`.
        assignment: Cluster of each candidate, for those of `CLUSTERED`.
        num_clusters: Number of clusters.

    Shapes:
        assignment: ``(M,)`` int64.

    Raises:
        InputError: Unknown, or clusters are needed and missing.
    """
    if name not in get_args(NegativesName):
        raise unknown_name("estimator of negatives", name, get_args(NegativesName))
    if name not in CLUSTERED:
        return _PLAIN[name]()
    if assignment is None:
        raise InputError(f"negatives '{name}' stand on clusters of the candidates, and there are none")
    if name == "hybrid":
        return Hybrid(assignment, num_clusters)
    return MetaNode(assignment, num_clusters, order="mean" if name == "meta-node" else "isotropic")
