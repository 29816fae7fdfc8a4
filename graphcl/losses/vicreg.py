"""VICReg: views agree, every dimension varies, no two dimensions covary."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from graphcl.errors import InputError
from graphcl.losses.anchors import anchor_mean
from graphcl.losses.standardise import check_weight, off_diagonal_energy, row_shares
from graphcl.losses.views import computing_views, full_precision


class VICReg(nn.Module):
    """Variance, invariance and covariance, each its own term.

    ``invariance * mean (z1 - z2)^2``, plus ``variance`` times ``mean_k max(0, 1 - sqrt(Var_k + eps))`` averaged over the views,
    plus ``covariance`` times ``sum_{k != l} Cov_kl^2 / D`` added over the views; both moments divide by ``N - 1``.
    Where rows have weights, all means are weighted ones, and the moments divide by ``1 - sum_i p_i^2`` of the parts ``p_i`` in
    the sum of weights.
    Time ``O(N D^2)``, memory ``O(N D + D^2)``. No negatives.
    Bardes, Ponce and LeCun, 2021, https://arxiv.org/abs/2105.04906. Differs from the paper, which adds the variance terms of
    the two views, and agrees with the authors' code, which averages them.

    Args:
        invariance: Weight of the squared difference, ``>= 0``.
        variance: Weight of the hinge on the deviation, ``>= 0``.
        covariance: Weight of the off-diagonal covariances, ``>= 0``.
        eps: Added to the variance under the root, ``> 0``; bounds the gradient of a dimension that has collapsed.

    Shapes:
        z1, z2: ``(N, D)``, row ``i`` pairs with row ``i``; weight: ``(N,)``; returns: scalar.

    Raises:
        InputError: A negative weight, ``eps <= 0``; shapes that differ, fewer than two rows, values that are not finite; fewer
            than two rows with a weight above zero.
    """

    def __init__(self, invariance: float = 25.0, variance: float = 25.0, covariance: float = 1.0, *, eps: float = 1e-4) -> None:
        super().__init__()
        self.invariance = check_weight("invariance", invariance)
        self.variance = check_weight("variance", variance)
        self.covariance = check_weight("covariance", covariance)
        if not 0 < eps < 1:
            raise InputError(f"eps must lie in (0, 1), since the root of the variance plus it is held against 1; got {eps}")
        self.eps = eps

    def forward(self, z1: Tensor, z2: Tensor, *, weight: Tensor | None = None) -> Tensor:
        """The sum of the `terms`.

        Args:
            z1: First view.
            z2: Second view.
            weight: Of the rows, in every mean over them, ``>= 0``; all equal when ``None``.
        """
        return torch.stack(list(self.terms(z1, z2, weight=weight).values())).sum()

    def terms(self, z1: Tensor, z2: Tensor, *, weight: Tensor | None = None) -> dict[str, Tensor]:
        """``invariance``, ``variance`` and ``covariance``, weighted: they add up to the loss."""
        z1, z2 = computing_views(z1, z2)
        with full_precision(z1):
            share = None if weight is None else row_shares(z1, weight)
            (spread1, cross1), (spread2, cross2) = self._moments(z1, share), self._moments(z2, share)
            return {
                "invariance": self.invariance * anchor_mean((z1 - z2).square().mean(1), weight),
                "variance": self.variance * (spread1 + spread2) / 2,
                "covariance": self.covariance * (cross1 + cross2),
            }

    def extra_repr(self) -> str:
        """The weights, for ``print``."""
        return f"invariance={self.invariance:g}, variance={self.variance:g}, covariance={self.covariance:g}, eps={self.eps:g}"

    def _moments(self, z: Tensor, share: Tensor | None) -> tuple[Tensor, Tensor]:
        centred = z - (z.mean(0) if share is None else (share * z).sum(0))
        scaled = centred / (len(z) - 1) if share is None else centred * (share / (1 - share.square().sum()))
        covariance = centred.T @ scaled
        deviation = ((centred * scaled).sum(0) + self.eps).sqrt()
        return (1 - deviation).clamp(min=0).mean(), off_diagonal_energy(covariance) / z.shape[1]
