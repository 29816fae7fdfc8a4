"""Near clusters member by member, far clusters by their means: an error that is chosen, and certified."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from graphcl.errors import InputError
from graphcl.kernels import Columns, Rule, pair_lse, segment_sum
from graphcl.kernels.blocks import Blocks
from graphcl.kernels.pair_blocks import pair_lse_blocks, row_scale
from graphcl.kernels.pair_self import mirrored
from graphcl.kernels.pair_tiles import check_pairs, working_type
from graphcl.negatives.bennett import cluster_spread
from graphcl.negatives.left_out import left_out
from graphcl.negatives.near_far import NearFar, near_far

# Times over that of one pair in the sweep, forward and backward, as measured on a CPU. Pairs in blocks cost 1.
_ENTRY = 60.0  # of a near cluster of an anchor, besides its members: rows are gathered and scattered
_FAR = 4.0  # of a cluster and an anchor: decided, and met as a mean
_ANCHOR, _CLUSTER = 400.0, 15_000.0  # of each: sorting ids, and the spread
_FORWARD = 2.0  # by what the last three grow without a backward pass, which is most of the sweep's time
_LARGEST = 80.0  # tolerance whose exponential is a number in single precision


@dataclass(frozen=True, eq=False)
class Certificate:
    """What the last estimate may have missed, and what it cost.

    Args:
        tolerance: What was asked for.
        errors: For each anchor, the most by which its exact value can exceed its estimate, rounding of the arithmetic aside.
        near: Share of all pairs in near clusters; where exact was taken, of those found before it was.
        cost: Estimated time over that of the exact sweep; at least that much, where exact was taken.
        exact: Whether all pairs were met, since that is cheaper.

    Shapes:
        errors: ``(N,)``.
    """

    tolerance: float
    errors: Tensor
    near: float
    cost: float
    exact: bool

    @property
    def largest(self) -> float:
        """The largest of the errors."""
        return float(self.errors.max()) if len(self.errors) else 0.0

    @property
    def mean(self) -> float:
        """The mean of the errors."""
        return float(self.errors.mean()) if len(self.errors) else 0.0

    def __str__(self) -> str:
        if self.tolerance == 0:
            return "exact: tolerance 0 was asked for"
        if self.exact:
            return (
                f"exact is cheaper here and was taken: tolerance {self.tolerance:g} would cost {self.cost:.2f} of the exact "
                "sweep or more; tighter or fewer clusters, a higher temperature or more tolerance would change that"
            )
        return (
            f"log-partitions are too low by at most {self.largest:.2g} (mean bound {self.mean:.2g}, tolerance "
            f"{self.tolerance:g}); {self.near:.1%} of the pairs met one by one, about {self.cost:.2f} of the cost of the exact "
            "sweep"
        )


class Hybrid:
    """Clusters stand in for their members where that is certain to change the log-partition by little; others are met exactly.

    ``log(sum over near clusters of sum_j exp(scale <a_i, z_j>) + sum over far clusters of n_c exp(scale <a_i, m_c>))``, with
    ``m_c`` the mean of the members. ``0 <= log Z - log Z_hat <= tolerance`` for every anchor: the far sum is a lower bound by
    Jensen's inequality, and `log_excess` says by how much at most. Clusters from which the anchor leaves out a candidate are
    near, by ``rule.exclude``, ``rule.different`` and ``rule.seen``. Gradients are those of the formula, through means and near
    members; who is near is a constant of the step.

    Time ``O(P D + N K D)`` for ``P`` near pairs, and ``O(M D^2 + K D^3)`` for the spread of the clusters; memory
    ``O((N + M) D)`` and the list of near clusters. Near pairs are counted first, and where meeting all would take less time
    that is done: wide clusters at small temperatures have no tight bound. ``certificate`` tells of the last call.

    The near and far field of the fast multipole method (Greengard and Rokhlin, 1987,
    https://doi.org/10.1016/0021-9991(87)90140-9) for the meta-nodes of PamC (Kulatilleke, Portmann and Chandra, 2022,
    https://arxiv.org/abs/2209.14067). Differs from both in that the error is one of a logarithm, and clusters are given.

    Args:
        assignment: Cluster of each candidate, by position; a constant of the step. Under ``PairLoss(intra=True)`` the
            candidates are ``2 N``, the rows of the other view and then those of the own, in either direction: give
            ``torch.cat([c, c])`` for clusters ``c`` of the nodes, or ``torch.cat([c, c + K])`` for clusters of each view.
        num_clusters: Number of clusters ``K``; clusters without a member are skipped.
        tolerance: Most that a log-partition may be too low by; 0 for exact values, ``math.inf`` for no near cluster but those
            that must be, whose certificate says how wrong the means are.
        fallback: Whether all pairs are met where that is cheaper.

    Shapes:
        assignment: ``(M,)`` int64 in ``0 .. K - 1``.

    Raises:
        InputError: Assignments that are no clusters, a tolerance below 0, another number of candidates than the assignment
            has, a rule with ``same`` or ``clusters``.
    """

    def __init__(self, assignment: Tensor, num_clusters: int, *, tolerance: float = 0.01, fallback: bool = True) -> None:
        if not tolerance >= 0:
            raise InputError(f"tolerance must be >= 0, the error of a log-partition that may remain; got {tolerance}")
        if assignment.ndim != 1 or assignment.is_floating_point() or assignment.is_complex() or len(assignment) == 0:
            raise InputError(
                f"assignment must be one cluster for each candidate, integers (M,); got {tuple(assignment.shape)} of "
                f"{assignment.dtype}. Soft assignments have no bound: take .argmax(1), or use MetaNode."
            )
        low, high = int(assignment.min()), int(assignment.max())
        if low < 0 or high >= num_clusters:
            raise InputError(f"clusters must lie in 0 .. {num_clusters - 1}; got {low} .. {high}")
        self.num_clusters = num_clusters
        self.tolerance = tolerance
        self.fallback = fallback
        self.certificate: Certificate | None = None
        # Candidates are met in the order of their clusters.
        self._order = torch.argsort(assignment, stable=True)
        self._place = torch.empty_like(self._order)
        self._place[self._order] = torch.arange(len(assignment), device=assignment.device)
        _, cluster, self._sizes = torch.unique(assignment, return_inverse=True, return_counts=True)
        self._cluster = cluster.index_select(0, self._order)

    def log_z(self, anchors: Tensor, candidates: Tensor, *, scale: float | Tensor, rule: Rule) -> Tensor:
        """Log-partition, never above the exact one; gradients go to anchors, candidates and scale.

        Shapes:
            anchors: ``(N, D)``; candidates: ``(M, D)``; returns: ``(N,)``.
        """
        check_pairs(anchors, Columns(candidates), rule)
        if len(self._order) != len(candidates):
            raise InputError(
                f"the assignment names {len(self._order)} candidates but there are {len(candidates)}: was it made for another "
                "batch? With intra=True the candidates are those of both views."
            )
        if rule.same is not None or rule.clusters is not None:
            raise InputError("a hybrid knows the rule parts exclude, different and seen; for same and clusters use Exact")
        self._to(anchors.device)
        dtype = working_type(anchors.dtype)
        factor = row_scale(scale, len(anchors), dtype, anchors.device)
        pairs = len(anchors) * len(candidates)
        learning = torch.is_grad_enabled() and (anchors.requires_grad or candidates.requires_grad or factor.requires_grad)
        weight = 1.0 if learning else _FORWARD
        fixed = weight * (len(anchors) * (_FAR * len(self._sizes) + _ANCHOR) + _CLUSTER * len(self._sizes))
        exact = pairs / 2 if mirrored(anchors, Columns(candidates), factor, rule) else float(pairs)
        limit = exact - fixed if self.fallback else math.inf
        if self.tolerance == 0 or limit <= 0 or pairs == 0:
            return self._exact(anchors, candidates, scale, rule, near=0.0, cost=fixed / max(1.0, exact))
        a, z = anchors.to(dtype), candidates.to(dtype).index_select(0, self._order)
        sizes, inside = self._sizes, self._sorted(rule)
        means = segment_sum(z, self._cluster, len(sizes)) / sizes[:, None]
        with torch.no_grad():
            chosen = self._choose(a, z, means, factor.expand(len(a)), inside, limit)
        if chosen is None:  # the candidates that are left out lie in too many clusters
            return self._exact(anchors, candidates, scale, rule, near=0.0, cost=1.0)
        near = int(sizes.index_select(0, chosen.cluster).sum()) / pairs
        cost = (chosen.cost + fixed) / exact
        if chosen.cost > limit:
            return self._exact(anchors, candidates, scale, rule, near, cost)
        seen = Rule(seen=(chosen.crow, chosen.cluster))
        log_z = pair_lse(a, Columns(means, bias=sizes.to(dtype).log()), scale=factor, rule=seen)
        if len(chosen.cluster):
            blocked = Columns(z, blocks=self._blocks(chosen))
            log_z = _log_add(log_z, pair_lse_blocks(a, blocked, scale=factor, rule=inside))
        errors = F.softplus((chosen.slack - log_z.detach()).nan_to_num(nan=-torch.inf))
        self.certificate = Certificate(self.tolerance, errors, near, cost, exact=False)
        return log_z

    def _exact(
        self, anchors: Tensor, candidates: Tensor, scale: float | Tensor, rule: Rule, near: float, cost: float
    ) -> Tensor:
        log_z = pair_lse(anchors, Columns(candidates), scale=scale, rule=rule)
        self.certificate = Certificate(self.tolerance, torch.zeros_like(log_z.detach()), near, cost, exact=True)
        return log_z

    def _choose(self, a: Tensor, z: Tensor, means: Tensor, scale: Tensor, rule: Rule, limit: float) -> NearFar | None:
        """``None`` where what the rule leaves out costs more than the limit already."""
        if not (bool(a.isfinite().all()) and bool(means.isfinite().all())):
            raise InputError("anchors or candidates have values that are not finite: the encoder diverged or its input was bad")
        costs, left = self._sizes + _ENTRY, None
        if rule.exclude is not None or rule.different is not None or rule.seen is not None:
            left = left_out(a, z, self._cluster, costs, rule, limit)
            if left is None:
                return None
        spread = cluster_spread(z, self._sizes, means)
        budget = math.expm1(min(self.tolerance, _LARGEST))
        return near_far(a, scale, means, self._sizes, costs, spread, left, budget=budget, limit=limit)

    def _sorted(self, rule: Rule) -> Rule:
        """The rule for candidates in the order of their clusters."""
        exclude, different, seen = rule.exclude, rule.different, rule.seen
        if exclude is not None:
            there = (exclude >= 0) & (exclude < len(self._place))
            exclude = torch.where(there, self._place.index_select(0, torch.where(there, exclude, 0).long()), -1)
        if different is not None:
            different = different[0].long(), different[1].long().index_select(0, self._order)
        if seen is not None:
            seen = seen[0], self._place.index_select(0, seen[1].long())
        return replace(rule, exclude=exclude, different=different, seen=seen)

    def _blocks(self, chosen: NearFar) -> Blocks:
        """The near clusters, by cluster instead of by anchor."""
        row = torch.arange(len(chosen.crow) - 1, device=chosen.crow.device).repeat_interleave(chosen.crow.diff())
        order = torch.sort(chosen.cluster.int(), stable=True).indices
        counts = torch.bincount(chosen.cluster, minlength=len(self._sizes))
        return Blocks(_pointers(counts), row.index_select(0, order), _pointers(self._sizes))

    def _to(self, device: torch.device) -> None:
        self._order, self._place = self._order.to(device), self._place.to(device)
        self._sizes, self._cluster = self._sizes.to(device), self._cluster.to(device)

    def __repr__(self) -> str:
        return f"Hybrid(num_clusters={self.num_clusters}, tolerance={self.tolerance:g})"


def _pointers(counts: Tensor) -> Tensor:
    return torch.cat([counts.new_zeros(1), counts.cumsum(0)])


def _log_add(one: Tensor, other: Tensor) -> Tensor:
    """``log(e^one + e^other)`` without the undefined gradient where both are nothing."""
    nothing = (one == -torch.inf) & (other == -torch.inf)
    return torch.logaddexp(one, other.masked_fill(nothing, 0.0)).masked_fill(nothing, -torch.inf)
