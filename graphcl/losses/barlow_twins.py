"""Barlow Twins: the cross-correlation of two views is driven to the identity."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from graphcl.losses.standardise import check_weight, off_diagonal_energy, row_shares, standardise_by
from graphcl.losses.views import computing_views, full_precision


class BarlowTwins(nn.Module):
    """Each dimension agrees with itself across views and with no other dimension.

    ``sum_k (1 - C_kk)^2 + weight * sum_{k != l} C_kl^2`` with ``C = Z1^T Z2 / N`` of standardised columns; where rows have
    weights, all means are weighted ones. Time ``O(N D^2)``, memory ``O(N D + D^2)``. No negatives.
    Zbontar, Jing, Misra, LeCun and Deny, 2021, https://arxiv.org/abs/2103.03230; on graphs Bielak, Kajdanowicz and Chawla,
    2021, https://arxiv.org/abs/2106.02466. Differs: the deviation is the biased one without an epsilon, so that identical views
    have ``C_kk = 1``; a constant dimension has ``C_kk = 0`` and no gradient (`constant_dimensions` tells which they are).

    Args:
        weight: Of the off-diagonal entries, ``>= 0``; on graphs ``1 / D`` is common.

    Shapes:
        z1, z2: ``(N, D)``, row ``i`` pairs with row ``i``; weight: ``(N,)``; returns: scalar.

    Raises:
        InputError: A negative weight; shapes that differ, fewer than two rows, values that are not finite; fewer than two rows
            with a weight above zero.
    """

    def __init__(self, weight: float = 5e-3) -> None:
        super().__init__()
        self.weight = check_weight("weight", weight)

    def forward(self, z1: Tensor, z2: Tensor, *, weight: Tensor | None = None) -> Tensor:
        """The sum of the `terms`.

        Args:
            z1: First view.
            z2: Second view.
            weight: Of the rows, in every mean over them, ``>= 0``; all equal when ``None``.
        """
        return torch.stack(list(self.terms(z1, z2, weight=weight).values())).sum()

    def terms(self, z1: Tensor, z2: Tensor, *, weight: Tensor | None = None) -> dict[str, Tensor]:
        """``invariance`` and ``redundancy``, weighted: they add up to the loss."""
        z1, z2 = computing_views(z1, z2)
        with full_precision(z1):
            share = row_shares(z1, weight)
            correlation = standardise_by(z1, share).T @ (share * standardise_by(z2, share))
            return {
                "invariance": (1 - correlation.diagonal()).square().sum(),
                "redundancy": self.weight * off_diagonal_energy(correlation),
            }

    def extra_repr(self) -> str:
        """The weight, for ``print``."""
        return f"weight={self.weight:g}"
