"""How the members of each cluster scatter, as seen from an anchor."""

from __future__ import annotations

import torch
from torch import Tensor


class ClusterCovariance:
    """Population covariances of clusters, whole or along their ``rank`` widest directions with one variance for the rest.

    With directions ``U_c`` (orthonormal) and the projected covariance ``C_c = U_c' S_c U_c`` an anchor sees
    ``a' S_c a ~ p' C_c p + v_c (|a|^2 - |p|^2)``, ``p = U_c' a``, where ``v_c`` spreads what is left of the trace over the
    ``D - rank`` other directions. One member can be taken out exactly: both parts follow from its own deviation. The directions
    are constants of the step; gradients go through the variances. Whole: time ``O(M D^2)``, memory ``O(K D^2 + M D)``;
    by rank: time ``O(M D^2 + K D^3)``, memory ``O(K D rank + M D)``.

    Args:
        members: Rows that the clusters are made of.
        assignment: Cluster of each row.
        means: Of the clusters.
        counts: Members of each cluster, 0 for an empty one.
        rank: Directions kept; the whole covariance when ``None``.

    Shapes:
        members: ``(M, D)``; assignment: ``(M,)``; means: ``(K, D)``; counts: ``(K,)`` floating.
    """

    def __init__(self, members: Tensor, assignment: Tensor, means: Tensor, counts: Tensor, rank: int | None) -> None:
        size, dim = counts.clamp(min=1), members.shape[1]
        order = assignment.argsort(stable=True)
        centred = members - means.index_select(0, assignment)
        parts = torch.split(centred.index_select(0, order), [int(n) for n in counts.tolist()])
        self.assignment, self.means, self.size, self.centred = assignment, means, size, centred
        self.others = 0 if rank is None else max(dim - rank, 0)
        self.directions: Tensor | None = None
        self.projected = centred
        if rank is not None:
            with torch.no_grad():
                self.directions = torch.stack([_widest(part, rank) for part in parts])
            parts = tuple(part @ u for part, u in zip(parts, self.directions, strict=True))
            self.projected = torch.cat(parts).index_select(0, order.argsort())
        self.covariances = torch.stack([part.T @ part for part in parts]) / size[:, None, None]
        total = means.new_zeros(len(means)).index_add(0, assignment, centred.square().sum(1)) / size
        self.rest = (total - self.covariances.diagonal(dim1=1, dim2=2).sum(1)) / max(self.others, 1)

    @property
    def width(self) -> int:
        """Numbers that an anchor and a cluster need between them: ``D``, or the rank."""
        return self.covariances.shape[1]

    def variance(self, anchors: Tensor) -> Tensor:
        """``a' S_c a`` for every anchor and cluster.

        Shapes:
            anchors: ``(N, D)``; returns: ``(N, K)``.
        """
        seen = self._project(anchors)
        inside = ((seen @ self.covariances) * seen).sum(2).T
        if not self.others:
            return inside
        return inside + self.rest * (anchors.square().sum(1, keepdim=True) - seen.square().sum(2).T)

    def without(self, anchors: Tensor, variance: Tensor, left_out: Tensor) -> tuple[Tensor, Tensor]:
        """What an anchor sees of the cluster of a member once the member is gone: its mean and variance along the anchor.

        Args:
            anchors: Anchors.
            variance: Along each anchor, of the whole cluster.
            left_out: The member of each anchor.

        Shapes:
            anchors: ``(N, D)``; variance: ``(N,)``; left_out: ``(N,)`` int64; returns: ``(N,)`` and ``(N,)``.
        """
        own = self.assignment.index_select(0, left_out)
        size = self.size.index_select(0, own)
        left = (size - 1).clamp(min=1)
        deviation = self.centred.index_select(0, left_out)
        along = (anchors * deviation).sum(1)
        square = along.square()
        if self.directions is not None:
            projected = self.projected.index_select(0, left_out)
            seen = torch.einsum("nd,ndr->nr", anchors, self.directions.index_select(0, own))
            square = (seen * projected).sum(1).square()
            if self.others:
                outside = (deviation.square().sum(1) - projected.square().sum(1)) / self.others
                square = square + outside * (anchors.square().sum(1) - seen.square().sum(1))
        mean = (anchors * self.means.index_select(0, own)).sum(1) - along / left
        return mean, size / left * (variance - square / left)

    def _project(self, anchors: Tensor) -> Tensor:
        """``(K, N, rank)``, or ``(1, N, D)`` where the whole covariance is kept."""
        return anchors[None] if self.directions is None else anchors @ self.directions


def _widest(centred: Tensor, rank: int) -> Tensor:
    """Orthonormal directions of the largest variances, ``(D, rank)`` or ``(D, D)`` if there are no more."""
    directions: Tensor = torch.linalg.eigh(centred.T @ centred).eigenvectors[:, -rank:]
    return directions
