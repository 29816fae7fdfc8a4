"""PamC's block loss: neighbours attract, clusters repel each other."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn

from graphcl.errors import InputError
from graphcl.kernels import Adjacency, Columns, Rule, edge_dot, pair_lse, segment_logsumexp, segment_sum
from graphcl.losses.anchors import anchor_mean
from graphcl.losses.temperature import check_temperature
from graphcl.losses.views import computing_views, full_precision, unit_rows
from graphcl.negatives import MetaNode

Proxy = Literal["pamc", "cluster", "node"]
FLOOR = 1e-10  # the authors' code adds it inside both logarithms


class PamCLoss(nn.Module):
    """Positives over the edges of a graph, inside the logarithm, and a repulsion that meets clusters in place of nodes.

    ``-mean_i log sum_j M_ij exp(s_ij / t)`` over the listed pairs, with ``s`` the cosine, plus one of three repulsions.

    * ``"pamc"``, as published: ``mean_a log sum_b exp(cos(c_a, c_b) / t)`` with ``c_a`` the sum of the embeddings of cluster
      ``a`` at their own lengths. Neither sizes nor spreads count, so it estimates no sum over nodes; and it changes with the
      length of embeddings.
    * ``"cluster"``: ``sum_a (n_a / N) log sum_b n_b exp(<m_a, m_b> / t)`` with ``m_a`` the mean of the unit embeddings.
    * ``"node"``: ``mean_i log sum_b n_b exp(<u_i, m_b> / t)``, the estimate of `MetaNode`.

    By Jensen's inequality ``cluster <= node <= mean_i log sum_j exp(s_ij / t)``, the exact repulsion, and all three are equal
    where each cluster is one direction, as singletons are. With ``self_terms`` nodes and clusters count themselves as the
    authors' code has it: every ``s_ii``, and under ``"pamc"`` every cosine of a cluster with itself, is set to 0, which adds
    ``M_ii`` and 1 to the sums; ``1e-10`` is added inside the logarithms of positives and of ``"pamc"``; ``"cluster"`` and
    ``"node"`` count each node among its own negatives. Without, a node's own pair and a cluster's own pair are left out; then
    ``"cluster"`` and ``"node"`` take each node out of its own cluster exactly and bound the sum over ``j != i``.

    Clusters without a node are left out. Assignments are constants; the gradient flows through sums and means. Time
    ``O(E D + N D + K K D)``, with ``"node"`` ``O(E D + N K D)``; memory ``O(E + N D)``, soft assignments ``O(N K)`` more.
    Kulatilleke, Portmann and Chandra, 2022, https://arxiv.org/abs/2209.14067. Differs: the temperature divides, where the
    published one multiplies (0.5 there is 2 here); an empty cluster between others does not make the loss undefined.
    `NeighborContrast` with `MetaNode` has the positives outside the logarithm.

    Args:
        temperature: Divides the cosine, ``>= 1e-4``.
        proxy: What stands for the negatives.
        self_terms: Whether nodes and clusters count themselves.

    Shapes:
        z: ``(N, D)``; positives: ``(N, N)`` sparse; assignment: ``(N,)`` integers, or ``(N, K)`` weights that sum to 1;
            returns: scalar.

    Raises:
        InputError: Arguments out of range; fewer than two rows, values that are not finite, another number of nodes, weights
            that are none; without ``self_terms``: no positive at all, one cluster under ``"pamc"``, soft assignments under
            ``"cluster"``.
    """

    def __init__(self, temperature: float = 2.0, *, proxy: Proxy = "pamc", self_terms: bool = True) -> None:
        super().__init__()
        if proxy not in ("pamc", "cluster", "node"):
            raise InputError(f"proxy must be 'pamc', 'cluster' or 'node', what stands for the negatives; got '{proxy}'")
        self.scale = 1.0 / check_temperature(temperature)
        self.proxy = proxy
        self.self_terms = self_terms

    def forward(self, z: Tensor, positives: Adjacency, assignment: Tensor) -> Tensor:
        """The sum of the `terms`.

        Args:
            z: Embeddings of all nodes.
            positives: Weights of the listed pairs, ``>= 0`` and constants: published, powers ``1 .. R`` of the row-normalised
                adjacency with self-loops, added up; or the adjacency itself, ``R = 1``.
            assignment: Cluster of each node, or its weights in all; ``"pamc"`` takes the largest of these, as published.
        """
        return torch.stack(list(self.terms(z, positives, assignment).values())).sum()

    def terms(self, z: Tensor, positives: Adjacency, assignment: Tensor) -> dict[str, Tensor]:
        """``attraction`` and ``repulsion``: they add up to the loss."""
        z, _ = computing_views(z, z)
        if positives.num_nodes != len(z):
            raise InputError(f"positives speak of {positives.num_nodes} nodes, the embeddings of {len(z)}")
        assignment = _checked(assignment, len(z))
        if self.proxy == "pamc" and assignment.is_floating_point():
            assignment = assignment.argmax(1)
        if not assignment.is_floating_point():
            assignment = torch.unique(assignment, return_inverse=True)[1]
        with full_precision(z):
            u = unit_rows(z)
            if self.proxy == "pamc":
                repulsion = self._between_sums(z, assignment)
            elif self.proxy == "cluster":
                repulsion = self._between_means(u, assignment)
            else:
                repulsion = self._from_nodes(u, assignment)
            return {"attraction": self._attraction(u, positives), "repulsion": repulsion}

    def extra_repr(self) -> str:
        """Temperature, proxy and self-terms, for ``print``."""
        return f"temperature={1 / self.scale:g}, proxy={self.proxy!r}, self_terms={self.self_terms}"

    def _attraction(self, u: Tensor, positives: Adjacency) -> Tensor:
        pattern, weight = positives.pattern, positives.values.detach().to(u.dtype)
        if not weight.is_cuda and not bool((weight >= 0).all()):
            raise InputError(f"weights of positives must be >= 0, since they stand inside a logarithm; got {weight.min():g}")
        itself = pattern.row == pattern.col
        logits = (self.scale * edge_dot(u, u, pattern)).masked_fill(itself, 0.0) + weight.log()
        if self.self_terms:
            sums = segment_logsumexp(logits, pattern.row.long(), len(u))
            return -torch.logaddexp(sums, sums.new_tensor(math.log(FLOOR))).mean()
        sums = segment_logsumexp(logits.masked_fill(itself, -torch.inf), pattern.row.long(), len(u))
        has = sums > -torch.inf
        if not bool(has.any()):
            raise InputError("no node has a positive other than itself; add edges, or keep self_terms")
        return -anchor_mean(sums, has=has)

    def _between_sums(self, z: Tensor, assignment: Tensor) -> Tensor:
        c = unit_rows(segment_sum(z, assignment, int(assignment.max()) + 1))
        if not self.self_terms and len(c) == 1:
            raise InputError(
                "all nodes are in one cluster, which has no other to differ from; keep self_terms, or use proxy='node'"
            )
        others = pair_lse(c, Columns(c), scale=self.scale, rule=Rule(exclude=torch.arange(len(c), device=c.device)))
        if not self.self_terms:
            return others.mean()
        return torch.logaddexp(others, others.new_tensor(math.log1p(FLOOR))).mean()

    def _between_means(self, u: Tensor, assignment: Tensor) -> Tensor:
        if assignment.is_floating_point():
            if not self.self_terms:
                raise InputError("soft clusters of means cannot leave out a node; use proxy='node', self_terms, or .argmax(1)")
            weight = assignment.detach().to(u)
            sums, count = weight.T @ u, weight.sum(0)
        else:
            sums = segment_sum(u, assignment, int(assignment.max()) + 1)
            count = torch.bincount(assignment).to(u.dtype)
        means = sums / torch.where(count > 0, count, 1)[:, None]
        meta, share = Columns(means, bias=count.log()), count / len(u)
        if self.self_terms:
            return (share * pair_lse(means, meta, scale=self.scale)).sum()
        others = pair_lse(means, meta, scale=self.scale, rule=Rule(exclude=torch.arange(len(means), device=u.device)))
        # Mean over a cluster's nodes of the product with the mean of the other ones.
        length = segment_sum(u.square().sum(1, keepdim=True), assignment, len(means))[:, 0]
        own = (sums.square().sum(1) - length) / (count * (count - 1)).clamp(min=1)
        return (share * torch.logaddexp(others, self.scale * own + (count - 1).log())).sum()

    def _from_nodes(self, u: Tensor, assignment: Tensor) -> Tensor:
        soft = assignment.is_floating_point()
        negatives = MetaNode(assignment.detach(), assignment.shape[1] if soft else int(assignment.max()) + 1)
        rule = Rule() if self.self_terms else Rule(exclude=torch.arange(len(u), device=u.device))
        return negatives.log_z(u, u, scale=self.scale, rule=rule).mean()


def _checked(assignment: Tensor, num_nodes: int) -> Tensor:
    soft = assignment.is_floating_point()
    if assignment.ndim != 1 + soft or len(assignment) != num_nodes or assignment.numel() == 0:
        raise InputError(
            f"assignment must be ({num_nodes},) integers, or ({num_nodes}, K) weights; got {tuple(assignment.shape)} "
            f"{assignment.dtype}. One cluster for each node is .long()."
        )
    if soft and not assignment.is_cuda:
        sums = assignment.detach().float().sum(1)
        if not bool((assignment >= 0).all()) or not bool(((sums - 1).abs() < 1e-2).all()):
            raise InputError(
                "weights of an assignment must be >= 0 and sum to 1 in each row; "
                f"got sums from {sums.min():g} to {sums.max():g}. Logits? Use .softmax(1)."
            )
    return assignment
