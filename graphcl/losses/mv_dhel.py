"""MV-DHEL: all views of an instance agree in one term, and each view spreads out on its own."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from graphcl.kernels import Columns, Rule, pair_lse
from graphcl.losses.anchors import anchor_mean
from graphcl.losses.mv_infonce import agreement, stacked_views
from graphcl.losses.temperature import check_temperature
from graphcl.losses.views import full_precision, unit_rows


class MVDHEL(nn.Module):
    """`DHEL` for any number of views: rows of different instances are compared within a view only.

    ``-log sum_{l != l'} exp(s_il,il' / t) + sum_l log sum_{j != i} exp(s_il,jl / t)``. The first sum counts each pair of views
    in both orders, so two views give `DHEL` less ``log 2``. Time ``O(V N N D)``, memory ``O(N V (D + V))``: more views cost in
    proportion, where `MVInfoNCE` pays for their square.
    Koromilas, Georgiou, Bouritsas, Giannakopoulos, Nicolaou and Panagakis, 2025, https://arxiv.org/abs/2507.06979. Differs from
    the code, which counts each pair of views once, by that constant.

    Args:
        temperature: Divides the similarity, ``> 0``.

    Shapes:
        views: ``(V, N, D)``, or ``V`` times ``(N, D)``, row ``i`` of all is one instance; weight: ``(N,)``; returns: scalar.

    Raises:
        InputError: ``temperature <= 0``; fewer than two views, shapes that differ, fewer than two rows, values that are not
            finite.
    """

    def __init__(self, temperature: float = 0.2) -> None:
        super().__init__()
        self.scale = 1.0 / check_temperature(temperature)

    def forward(self, views: Tensor | Sequence[Tensor], *more: Tensor, weight: Tensor | None = None) -> Tensor:
        """The loss of two or more views.

        Args:
            views: All views, or the first of them.
            *more: The others: ``loss(z1, z2, z3)`` is ``loss([z1, z2, z3])``.
            weight: Of the instances in a weighted mean, ``>= 0``; all equal when ``None``.
        """
        z = stacked_views(views, *more)
        with full_precision(z):
            u = unit_rows(z.flatten(0, 1)).view(z.shape)
            others = Rule(exclude=torch.arange(z.shape[1], device=z.device))
            energies = [pair_lse(view, Columns(view), scale=self.scale, rule=others) for view in u]
            return anchor_mean(torch.stack(energies).sum(0) - agreement(u, self.scale), weight)

    def extra_repr(self) -> str:
        """Temperature, for ``print``."""
        return f"temperature={1 / self.scale:g}"
