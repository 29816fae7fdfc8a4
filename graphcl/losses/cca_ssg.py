"""CCA-SSG: standardised views agree, and the dimensions of each are uncorrelated."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from graphcl.losses.standardise import check_weight, row_shares, standardise_by
from graphcl.losses.views import computing_views, full_precision


class CCASSG(nn.Module):
    """A soft canonical correlation analysis of two views of a graph.

    ``-tr(Z1^T Z2) / N + weight * (||I - Z1^T Z1 / N||^2 + ||I - Z2^T Z2 / N||^2)`` of standardised columns; where
    rows have weights, all means are weighted ones. Time ``O(N D^2)``, memory ``O(N D + D^2)``. No negatives, no projector.
    Zhang, Wu, Yan, Wipf and Yu, 2021, https://arxiv.org/abs/2106.12484. Differs from the authors' code, which standardises with
    the unbiased deviation and then divides by ``N``: its correlation of a dimension with itself is ``(N - 1) / N``, ours is 1.
    A constant dimension counts as zeros and gets no gradient.

    Args:
        weight: Of the decorrelation, ``>= 0``; published: Cora, PubMed, Photo, CS and Physics ``1e-3``, CiteSeer and Computers
            ``5e-4``.
        unbiased: Standardise with ``N - 1`` as the authors' code does.

    Shapes:
        z1, z2: ``(N, D)``, row ``i`` pairs with row ``i``; weight: ``(N,)``; returns: scalar, ``>= -D``.

    Raises:
        InputError: A negative weight; shapes that differ, fewer than two rows, values that are not finite; fewer than two rows
            with a weight above zero.
    """

    def __init__(self, weight: float = 1e-3, *, unbiased: bool = False) -> None:
        super().__init__()
        self.weight = check_weight("weight", weight)
        self.unbiased = unbiased

    def forward(self, z1: Tensor, z2: Tensor, *, weight: Tensor | None = None) -> Tensor:
        """The sum of the `terms`.

        Args:
            z1: First view.
            z2: Second view.
            weight: Of the rows, in every mean over them, ``>= 0``; all equal when ``None``.
        """
        return torch.stack(list(self.terms(z1, z2, weight=weight).values())).sum()

    def terms(self, z1: Tensor, z2: Tensor, *, weight: Tensor | None = None) -> dict[str, Tensor]:
        """``invariance`` and ``decorrelation``, weighted: they add up to the loss."""
        z1, z2 = computing_views(z1, z2)
        with full_precision(z1):
            share = row_shares(z1, weight)
            s1, s2 = (standardise_by(z, share, unbiased=self.unbiased) for z in (z1, z2))
            identity = torch.eye(z1.shape[1], dtype=z1.dtype, device=z1.device)
            gaps = [(identity - s.T @ (share * s)).square().sum() for s in (s1, s2)]
            return {"invariance": -(share * s1 * s2).sum(), "decorrelation": self.weight * (gaps[0] + gaps[1])}

    def extra_repr(self) -> str:
        """Weight and kind of deviation, for ``print``."""
        return f"weight={self.weight:g}, unbiased={self.unbiased}"
