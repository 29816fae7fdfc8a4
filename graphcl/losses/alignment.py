"""Alignment: how near the two views of one instance are."""

from __future__ import annotations

import math

from torch import Tensor, nn

from graphcl.errors import InputError
from graphcl.losses.anchors import anchor_mean
from graphcl.losses.views import computing_views, full_precision, unit_rows


class Alignment(nn.Module):
    """Mean distance between the normalised views, to a power.

    ``mean_i ||z1_i - z2_i||^alpha``. Time and memory ``O(N D)``. Collapses on its own; add `Uniformity` of each view.
    Wang and Isola, 2020, https://arxiv.org/abs/2005.10242. Differs: rows are normalised here; equal views get no gradient, for
    any power.

    Args:
        alpha: The power, ``> 0``.

    Shapes:
        z1, z2: ``(N, D)``, row ``i`` pairs with row ``i``; weight: ``(N,)``; returns: scalar, ``>= 0``.

    Raises:
        InputError: ``alpha <= 0``; shapes that differ, fewer than two rows, values that are not finite; weights that
            are negative or all zero.
    """

    def __init__(self, alpha: float = 2.0) -> None:
        super().__init__()
        if not math.isfinite(alpha) or alpha <= 0:
            raise InputError(f"alpha must be > 0, the power of a distance; got {alpha}")
        self.alpha = alpha

    def forward(self, z1: Tensor, z2: Tensor, *, weight: Tensor | None = None) -> Tensor:
        """The loss of two views.

        Args:
            z1: First view.
            z2: Second view.
            weight: Of the instances in a weighted mean, ``>= 0``; all equal when ``None``.
        """
        z1, z2 = computing_views(z1, z2)
        with full_precision(z1):
            square = (unit_rows(z1) - unit_rows(z2)).square().sum(1)
            equal = square == 0  # a power below 2 has no slope there
            return anchor_mean(square.masked_fill(equal, 1.0).pow(self.alpha / 2).masked_fill(equal, 0.0), weight)

    def extra_repr(self) -> str:
        """The power, for ``print``."""
        return f"alpha={self.alpha:g}"
