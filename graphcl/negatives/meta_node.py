"""Clusters stand in for their members: linear time in N."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from graphcl.errors import InputError
from graphcl.kernels import Columns, Rule, pair_lse, segment_sum
from graphcl.negatives.cluster_covariance import ClusterCovariance

Order = Literal["mean", "isotropic", "full", "low-rank"]
_CHUNK = 2**22  # numbers held at once where clusters have covariances


class MetaNode:
    """Each cluster of candidates acts as one meta-node: its mean direction, weighted by its size.

    ``log sum_c n_c exp(scale * <a_i, m_c>)`` with ``m_c`` the un-normalised mean of the members. By Jensen's
    inequality this never exceeds the exact value, and it is exact when all members of a cluster agree.
    ``order="isotropic"`` adds half the variance of the exponent, ``scale^2 |a_i|^2 v_c / (2 D)`` with ``v_c`` the mean squared
    distance of the members from ``m_c``, ``1 - |m_c|^2`` for members of unit length: a smaller error of either sign,
    unless the temperature is so small that the anchor's own cluster is nearly everything. ``order="full"`` takes the variance
    of the exponent from the covariance ``S_c`` of the cluster, ``scale^2 a_i' S_c a_i / 2``, and misses the exact value by at
    most ``(2 scale |a_i| R_c)^3 / (36 sqrt 3)`` with ``R_c`` the radius of the cluster; ``order="low-rank"`` keeps the ``rank``
    widest directions of it, constants of the step, and the mean variance of the others. The
    candidate that an anchor leaves out is taken out of its own cluster exactly: ``n_c - 1`` members with the mean of
    the others, a cluster of one disappears. With soft assignments, sizes and means are weighted sums, and the one left out is
    taken out of all clusters by its weights. Time ``O(N K D)``, memory ``O(N D + K D)``, soft ``O(N (D + K) + K D)``; full
    ``O(N K D^2)`` and ``O(N D + K D^2)``, low-rank ``O(N K D rank + M D^2 + K D^3)`` and ``O(N D + K D rank)``.

    After the meta-nodes of PamC (Kulatilleke, Portmann and Chandra, 2022, https://arxiv.org/abs/2209.14067). Differs from
    the official code, which compares cluster sums by cosine, without sizes, and zeroes a cluster against itself.

    Args:
        assignment: Cluster of each candidate, or its weights in all clusters, which sum to 1; a constant of the step.
        num_clusters: Number of clusters ``K``; clusters without a member are skipped.
        order: ``"mean"``, or for the second order ``"isotropic"``, ``"low-rank"`` or ``"full"``; the last two take clusters,
            not weights.
        rank: Directions kept by ``"low-rank"``; with all ``D`` it is ``"full"``.

    Shapes:
        assignment: ``(M,)`` int64 in ``0 .. K - 1``, or ``(M, K)`` floating.
    """

    def __init__(self, assignment: Tensor, num_clusters: int, *, order: Order = "mean", rank: int = 4) -> None:
        if order not in get_args(Order):
            raise InputError(f"order must be one of {', '.join(map(repr, get_args(Order)))}; got '{order}'")
        if rank < 1:
            raise InputError(f"rank must be >= 1, the directions kept of each cluster; got {rank}. None is 'isotropic'.")
        if assignment.is_floating_point() and order in ("full", "low-rank"):
            raise InputError(f"order '{order}' takes one cluster for each candidate; use .argmax(1), or order='isotropic'")
        if assignment.is_floating_point() and (assignment.ndim != 2 or assignment.shape[1] != num_clusters):
            raise InputError(
                f"a soft assignment must be (M, {num_clusters}), a weight for each cluster; got {tuple(assignment.shape)}. "
                "Is it one cluster for each candidate? Use .long()."
            )
        self.assignment = assignment
        self.num_clusters = num_clusters
        self.order: Order = order
        self.rank = rank

    def log_z(self, anchors: Tensor, candidates: Tensor, *, scale: float | Tensor, rule: Rule) -> Tensor:
        """Log of the proxy sum; gradients go to anchors and, through the means, to the candidates.

        Shapes:
            anchors: ``(N, D)``; candidates: ``(M, D)``; returns: ``(N,)``.

        Raises:
            InputError: The assignment does not name one cluster per candidate, or the rule names a candidate that is not there,
                or it tells more than one candidate to leave out.
        """
        if len(self.assignment) != len(candidates) or self.assignment.ndim != 1 + self.assignment.is_floating_point():
            raise InputError(
                f"the meta-node assignment names {tuple(self.assignment.shape)} candidates but there are {len(candidates)}: "
                "was it made for another batch?"
            )
        if not (rule.same is rule.different is rule.clusters is rule.seen is None):
            raise InputError("meta-nodes can leave out one candidate an anchor, by exclude, and nothing else; use Exact")
        if rule.exclude is not None and len(candidates) == 1:  # nobody is left: below, the gradient would be NaN
            return pair_lse(anchors, Columns(candidates), scale=scale, rule=rule)
        if rule.exclude is not None and (int(rule.exclude.min()) < 0 or int(rule.exclude.max()) >= len(candidates)):
            raise InputError(f"each anchor must leave out one of the {len(candidates)} candidates, by its position")
        members = torch.cat([candidates, candidates.square().sum(1, keepdim=True)], 1)
        if self.assignment.is_floating_point():
            weights = self.assignment.to(candidates)
            sums, counts = weights.T @ members, weights.sum(0)
        else:
            sums = segment_sum(members, self.assignment, self.num_clusters)
            counts = torch.bincount(self.assignment, minlength=self.num_clusters).to(candidates.dtype)
        if self.order in ("full", "low-rank"):
            return self._with_covariances(anchors, candidates, self._centres(sums, counts), counts, scale, rule)
        wide = self._anchors(anchors, scale)
        meta = Columns(self._centres(sums, counts), bias=counts.log())
        if rule.exclude is None:
            return pair_lse(wide, meta, scale=scale)
        one = members.index_select(0, rule.exclude)
        if self.assignment.is_floating_point():
            return self._soft(wide, sums, counts, one, weights.index_select(0, rule.exclude), scale)
        own = self.assignment.index_select(0, rule.exclude)
        others = pair_lse(wide, meta, scale=scale, rule=Rule(exclude=own))
        left = counts.index_select(0, own) - 1
        rest = self._centres(sums.index_select(0, own) - one, left)
        return torch.logaddexp(others, scale * (wide * rest).sum(1) + left.log())

    def _anchors(self, anchors: Tensor, scale: float | Tensor) -> Tensor:
        """The anchors, and a coordinate that turns a variance into half the variance of the exponent."""
        if self.order == "mean":
            return anchors
        factor = torch.as_tensor(scale, dtype=anchors.dtype, device=anchors.device)
        return torch.cat([anchors, (factor * anchors.square().sum(1) / (2 * anchors.shape[1]))[:, None]], 1)

    def _centres(self, sums: Tensor, counts: Tensor) -> Tensor:
        """Means, and the total variance, from sums of members and of their squared lengths; an empty cluster stays at 0."""
        means = sums / torch.where(counts > 0, counts, 1)[:, None]
        if self.order != "isotropic":
            return means[:, :-1]
        return torch.cat([means[:, :-1], means[:, -1:] - means[:, :-1].square().sum(1, keepdim=True)], 1)

    def _soft(self, wide: Tensor, sums: Tensor, counts: Tensor, one: Tensor, weight: Tensor, scale: float | Tensor) -> Tensor:
        """Every cluster of every anchor without the share of the one left out: N x K numbers, as many as the weights."""
        left = counts - weight
        there = left > 8 * torch.finfo(counts.dtype).eps * counts  # less is what rounding leaves of nothing
        left = torch.where(there, left, 1)
        dim = one.shape[1] - 1
        anchors, z, total = wide[:, :dim], one[:, :dim], sums[:, :dim]
        logits = (anchors @ total.T - weight * (anchors * z).sum(1, keepdim=True)) / left
        if self.order == "isotropic":
            length = total.square().sum(1) - 2 * weight * (z @ total.T) + weight.square() * one[:, dim:]
            logits = logits + wide[:, dim:] * ((sums[:, dim] - weight * one[:, dim:]) / left - length / left.square())
        factor = torch.as_tensor(scale, dtype=wide.dtype, device=wide.device).reshape(-1, 1)
        return (factor * logits + left.log()).masked_fill(~there, -torch.inf).logsumexp(1)

    def _with_covariances(
        self, anchors: Tensor, candidates: Tensor, means: Tensor, counts: Tensor, scale: float | Tensor, rule: Rule
    ) -> Tensor:
        """A few anchors at a time meet all clusters; the backward pass meets them again, so nothing N x K is held."""
        scatter = ClusterCovariance(candidates, self.assignment, means, counts, self.rank if self.order == "low-rank" else None)
        factor = torch.as_tensor(scale, dtype=anchors.dtype, device=anchors.device).expand(len(anchors))
        exclude = rule.exclude

        def some(a: Tensor, s: Tensor, left_out: Tensor | None) -> Tensor:
            variance = scatter.variance(a)
            logits = s[:, None] * (a @ means.T) + s[:, None].square() / 2 * variance + counts.log()
            if left_out is None:
                return logits.logsumexp(1)
            own = self.assignment.index_select(0, left_out)[:, None]
            mean, rest = scatter.without(a, variance.gather(1, own).squeeze(1), left_out)
            left = counts.index_select(0, own.squeeze(1)) - 1
            others = logits.masked_fill(own == torch.arange(len(counts), device=own.device), -torch.inf)
            return torch.cat([others, (s * mean + s.square() / 2 * rest + left.log())[:, None]], 1).logsumexp(1)

        step = max(1, _CHUNK // (max(len(counts), 1) * scatter.width))
        rows = range(0, len(anchors), step)
        chunks = [
            (anchors[r : r + step], factor[r : r + step], None if exclude is None else exclude[r : r + step]) for r in rows
        ]
        parts: list[Tensor] = [checkpoint(some, *chunk, use_reentrant=False, preserve_rng_state=False) for chunk in chunks]
        return torch.cat(parts)

    def __repr__(self) -> str:
        order = {"mean": "", "low-rank": f", order='low-rank', rank={self.rank}"}.get(self.order, f", order={self.order!r}")
        return f"MetaNode(num_clusters={self.num_clusters}{order})"
