"""Decoupled softmax: several positives, none of which competes with another."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from graphcl.errors import InputError
from graphcl.kernels import Columns, Rule, SoftplusKernel, pair_lse, pair_sum
from graphcl.losses.anchors import anchor_mean, check_ids
from graphcl.losses.pair_loss import Symmetric
from graphcl.losses.temperature import check_temperature
from graphcl.losses.views import computing_views, full_precision, unit_rows


class DecoupledSoftmax(nn.Module):
    """Each row of the other view with the anchor's label is found on its own among the rows of other labels.

    ``-mean_{p in P_i} log( exp(s_ip / t) / (exp(s_ip / t) + sum_{j not in P_i} exp(s_ij / t)) )``. Where `SupCon` pushes down a
    positive that is already found, so that all share one probability, this lets each reach one. With one positive it is
    `InfoNCE`. Time ``O(N N D)``, two sweeps; memory ``O(N D)``.
    Gupta, Khatri, Rawat, Bhojanapalli, Jain and Dhillon, 2023, https://arxiv.org/abs/2310.10636. Differs: positives are told by
    labels; a mean over them, not a sum; the mean of both directions unless told otherwise.

    Args:
        temperature: Divides the similarity, ``> 0``.
        symmetric: Mean or sum of both directions, or one.

    Shapes:
        z1, z2: ``(N, D)``, row ``i`` of both is one instance; labels: ``(N,)`` integers; weight: ``(N,)``; returns: scalar.

    Raises:
        InputError: ``temperature <= 0``; shapes that differ, fewer than two rows, values that are not finite; one label
            only, so that there are no negatives.
    """

    def __init__(self, temperature: float = 0.05, *, symmetric: Symmetric = "mean") -> None:
        super().__init__()
        if symmetric not in ("mean", "sum", "off"):
            raise InputError(f"symmetric must be 'mean', 'sum' or 'off'; got '{symmetric}'")
        self.scale = 1.0 / check_temperature(temperature)
        self.symmetric = symmetric

    def forward(self, z1: Tensor, z2: Tensor, *, labels: Tensor | None = None, weight: Tensor | None = None) -> Tensor:
        """The loss of two views.

        Args:
            z1: Anchors.
            z2: Candidates.
            labels: Of the instances; each its own when ``None``.
            weight: Of the instances in a weighted mean, ``>= 0``; all equal when ``None``.
        """
        z1, z2 = computing_views(z1, z2)
        n = len(z1)
        labels = torch.arange(n, device=z1.device) if labels is None else check_ids("labels", labels, n)
        with full_precision(z1):
            u1, u2 = unit_rows(z1), unit_rows(z2)
            loss = self._one_way(u1, u2, labels, weight)
            if self.symmetric == "off":
                return loss
            back = self._one_way(u2, u1, labels, weight)
            return loss + back if self.symmetric == "sum" else (loss + back) / 2

    def extra_repr(self) -> str:
        """Temperature and directions, for ``print``."""
        return f"temperature={1 / self.scale:g}, symmetric={self.symmetric!r}"

    def _one_way(self, anchors: Tensor, candidates: Tensor, labels: Tensor, weight: Tensor | None) -> Tensor:
        _, classes, sizes = torch.unique(labels, return_inverse=True, return_counts=True)
        log_z = pair_lse(anchors, Columns(candidates), scale=self.scale, rule=Rule(different=(classes, classes)))
        # log(1 + exp(log_z_i - l_ij)) is a kernel of one dot product: the partition comes along as one more column.
        left = torch.cat([anchors, -log_z[:, None] / self.scale], 1)
        right = torch.cat([candidates, candidates.new_ones(len(candidates), 1)], 1)
        own = Rule(same=(classes, classes))
        sums = pair_sum(left, Columns(right), kernel=SoftplusKernel(-self.scale), rule=own)
        return anchor_mean(sums / sizes.index_select(0, classes), weight)
