"""SSGE: standardised views agree, and each comes close to an isotropic Gaussian."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from graphcl.errors import InputError
from graphcl.losses.standardise import check_weight, row_shares, standardise_by
from graphcl.losses.views import computing_views, full_precision


class SSGE(nn.Module):
    """Agreement, plus the Wasserstein distance from a Gaussian of each view's covariance to the standard one.

    ``-(1 / N) sum_i <z1_i, z2_i> - weight * sum_v sum_k sqrt(lambda_k(C_v))`` of standardised columns, ``C = Z^T Z / (N - 1)``.
    The squared distance is ``tr C + D - 2 sum_k sqrt(lambda_k)``; its first two parts are constants here and left out, so the
    loss is negative. Time ``O(N D^2 + D^3)``, memory ``O(N D + D^2)``. No negatives, no projector.
    Liu, He, Zheng and Zhao, 2024, https://arxiv.org/abs/2411.01157. Differs: eigenvalues below ``floor`` count as ``floor`` and
    get no gradient; a constant dimension counts as zeros.

    Args:
        weight: Of the distance, ``>= 0``; published: CiteSeer and CoauthorCS 0.05, Cora 0.1, WikiCS 0.5, PubMed 0.6,
            Computers 1, ogbn-arxiv 3.
        floor: Smallest eigenvalue told from zero, ``> 0``.

    Shapes:
        z1, z2: ``(N, D)``, row ``i`` pairs with row ``i``; weight: ``(N,)``; returns: scalar, ``>= -D (1 + 2 weight)``.

    Raises:
        InputError: A negative weight, ``floor <= 0``; shapes that differ, fewer than two rows, values that are not finite.
    """

    def __init__(self, weight: float = 0.1, *, floor: float = 1e-8) -> None:
        super().__init__()
        self.weight = check_weight("weight", weight)
        if not 0 < floor < 1:
            raise InputError(f"floor must lie in (0, 1), the scale of the eigenvalues; got {floor}")
        self.floor = floor

    def forward(self, z1: Tensor, z2: Tensor, *, weight: Tensor | None = None) -> Tensor:
        """The sum of the `terms`.

        Args:
            z1: First view.
            z2: Second view.
            weight: Of the rows, in every mean over them, ``>= 0``; all equal when ``None``.
        """
        return torch.stack(list(self.terms(z1, z2, weight=weight).values())).sum()

    def terms(self, z1: Tensor, z2: Tensor, *, weight: Tensor | None = None) -> dict[str, Tensor]:
        """``alignment`` and ``uniformity``, weighted: they add up to the loss."""
        z1, z2 = computing_views(z1, z2)
        with full_precision(z1):
            share = row_shares(z1, weight)
            s1, s2 = (standardise_by(z, share, unbiased=True) for z in (z1, z2))
            return {
                "alignment": -(share * s1 * s2).sum(),
                "uniformity": -self.weight * (self._root_trace(s1, share) + self._root_trace(s2, share)),
            }

    def extra_repr(self) -> str:
        """Weight and floor, for ``print``."""
        return f"weight={self.weight:g}, floor={self.floor:g}"

    def _root_trace(self, s: Tensor, share: Tensor) -> Tensor:
        spread = share.square().sum() if len(share) > 1 else share.sum()
        # Gradients of eigenvalues need no differences of eigenvalues, so equal ones do no harm.
        values: Tensor = torch.linalg.eigvalsh(s.T @ (share * s) / (1 - spread))
        return values.clamp(min=self.floor).sqrt().sum()
