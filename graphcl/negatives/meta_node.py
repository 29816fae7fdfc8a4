"""Clusters stand in for their members: linear time in N."""

from __future__ import annotations

import torch
from torch import Tensor

from graphcl.errors import InputError
from graphcl.kernels import Columns, Rule, pair_lse, segment_sum


class MetaNode:
    """Each cluster of candidates acts as one meta-node: its mean direction, weighted by its size.

    ``log sum_c n_c exp(scale * <a_i, m_c>)`` with ``m_c`` the un-normalised mean of the members. By Jensen's
    inequality this never exceeds the exact value, and it is exact when all members of a cluster agree. The
    candidate that an anchor leaves out is taken out of its own cluster exactly: ``n_c - 1`` members with the mean of
    the others, a cluster of one disappears. Time ``O(N K D)``, memory ``O(N D + K D)``.

    After the meta-nodes of PamC (Kulatilleke, Portmann and Chandra, 2022, https://arxiv.org/abs/2209.14067). Differs from
    the official code, which compares cluster sums by cosine, without sizes, and zeroes a cluster against itself.

    Args:
        assignment: Cluster of each candidate, a constant of the step.
        num_clusters: Number of clusters ``K``; clusters without a member are skipped.

    Shapes:
        assignment: ``(M,)`` int64 in ``0 .. K - 1``.
    """

    def __init__(self, assignment: Tensor, num_clusters: int) -> None:
        self.assignment = assignment
        self.num_clusters = num_clusters

    def log_z(self, anchors: Tensor, candidates: Tensor, *, scale: float | Tensor, rule: Rule) -> Tensor:
        """Log of the proxy sum; gradients go to anchors and, through the means, to the candidates.

        Shapes:
            anchors: ``(N, D)``; candidates: ``(M, D)``; returns: ``(N,)``.

        Raises:
            InputError: The assignment does not name one cluster per candidate, or the rule names a candidate that is not there.
        """
        if self.assignment.shape != (len(candidates),):
            raise InputError(
                f"the meta-node assignment names {tuple(self.assignment.shape)} candidates but there are {len(candidates)}: "
                "was it made for another batch?"
            )
        sums = segment_sum(candidates, self.assignment, self.num_clusters)
        counts = torch.bincount(self.assignment, minlength=self.num_clusters).to(candidates.dtype)
        meta = Columns(sums / counts.clamp(min=1)[:, None], bias=counts.log())
        if rule.exclude is None:
            return pair_lse(anchors, meta, scale=scale)
        if len(candidates) == 1:  # nobody but the one left out: below, two empty terms would meet and their gradient be NaN
            return pair_lse(anchors, Columns(candidates), scale=scale, rule=rule)
        if int(rule.exclude.min()) < 0 or int(rule.exclude.max()) >= len(candidates):
            raise InputError(f"each anchor must leave out one of the {len(candidates)} candidates, by its position")
        own = self.assignment.index_select(0, rule.exclude)
        others = pair_lse(anchors, meta, scale=scale, rule=Rule(exclude=own))
        left = counts.index_select(0, own) - 1
        rest = sums.index_select(0, own) - candidates.index_select(0, rule.exclude)
        mean = rest / left.clamp(min=1)[:, None]
        return torch.logaddexp(others, scale * (anchors * mean).sum(1) + left.log())

    def __repr__(self) -> str:
        return f"MetaNode(num_clusters={self.num_clusters})"
