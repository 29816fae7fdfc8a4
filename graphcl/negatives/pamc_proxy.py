"""The cluster term of PamC as its authors wrote it, for comparison with `MetaNode`."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from graphcl.errors import InputError
from graphcl.kernels import Columns, Rule, pair_lse, segment_sum


class PamCProxy:
    """Clusters against clusters: every anchor is given a number of its cluster, or of all clusters.

    ``"official"``: ``mean_a log(1 + sum_{b != a} exp(scale * cos(c_a, c_b)))`` over the clusters ``a`` that have members, with
    ``c_a`` the sum of its rows; all anchors have this number. It is no estimate of the exact sum, as sizes and spread of
    the clusters do not count and nobody is pushed away from its own cluster; at one cluster it is 0.
    ``"weighted"``: ``log sum_b n_b exp(scale * <m_a, m_b>)`` with the means ``m``, for the anchors of cluster ``a``; the mean
    over anchors is a lower bound of that of the exact value with the anchor itself among its negatives. What
    ``rule.exclude`` leaves out of the negatives is met all the same, inside its cluster. Time ``O(N D + K K D)``, memory
    ``O(N + K D)``.

    Kulatilleke, Portmann and Chandra, 2022, https://arxiv.org/abs/2209.14067. Differs from the official code in that empty
    clusters are skipped, where it has no number, and in that no 1e-10 is added inside the logarithm; it sums rows that are not
    normalised, as a loss with ``similarity="dot"`` hands them over.

    Args:
        assignment: Cluster of each candidate and anchor: row ``i`` of both is the same node.
        num_clusters: Number of clusters ``K``.
        level: ``"official"`` or ``"weighted"``.

    Shapes:
        assignment: ``(N,)`` int64 in ``0 .. K - 1``.

    Raises:
        InputError: Another level, an assignment of other nodes, a rule with more than ``exclude``.
    """

    def __init__(self, assignment: Tensor, num_clusters: int, *, level: Literal["official", "weighted"] = "official") -> None:
        if level not in ("official", "weighted"):
            raise InputError(f"level must be 'official' or 'weighted'; got '{level}'")
        if assignment.ndim != 1 or assignment.is_floating_point():
            raise InputError(
                f"assignment must be the cluster of each node, integers (N,); got {tuple(assignment.shape)} "
                f"{assignment.dtype}. For soft assignments: .argmax(1)."
            )
        self.assignment = assignment
        self.num_clusters = num_clusters
        self.level = level

    def log_z(self, anchors: Tensor, candidates: Tensor, *, scale: float | Tensor, rule: Rule) -> Tensor:
        """One number an anchor; gradients go to the candidates alone, which make the clusters.

        Shapes:
            anchors: ``(N, D)``; candidates: ``(N, D)``; returns: ``(N,)``.
        """
        if not len(self.assignment) == len(anchors) == len(candidates):
            raise InputError(
                f"the assignment names the clusters of {len(self.assignment)} nodes but there are {len(anchors)} anchors and "
                f"{len(candidates)} candidates: was it made for another batch?"
            )
        if not (rule.same is rule.different is rule.clusters is rule.seen is None):
            raise InputError("clusters against clusters leave nobody out: the rule may hold exclude, nothing else; use Exact")
        if isinstance(scale, Tensor) and scale.numel() != 1:
            raise InputError("clusters against clusters have one scale, not one for each anchor")
        sums = segment_sum(candidates, self.assignment, self.num_clusters)
        sizes = torch.bincount(self.assignment, minlength=self.num_clusters)
        used = sizes.nonzero().squeeze(1)
        sums, sizes = sums.index_select(0, used), sizes.index_select(0, used).to(candidates.dtype)
        if self.level == "official":
            itself = Rule(exclude=torch.arange(len(used), device=used.device))
            directions = F.normalize(sums, dim=1)
            others = pair_lse(directions, Columns(directions), scale=scale, rule=itself)
            return torch.logaddexp(others, torch.zeros_like(others)).mean().expand(len(anchors))
        means = sums / sizes[:, None]
        log_w = pair_lse(means, Columns(means, bias=sizes.log()), scale=scale)
        return log_w.index_select(0, torch.searchsorted(used, self.assignment))

    def __repr__(self) -> str:
        return f"PamCProxy(num_clusters={self.num_clusters}, level={self.level!r})"
