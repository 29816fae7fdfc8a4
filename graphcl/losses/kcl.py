"""KCL: alignment and repulsion are means of one kernel, without a logarithm."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from graphcl.errors import InputError
from graphcl.kernels import Columns, GaussianKernel, PairKernel, Rule, pair_sum
from graphcl.losses.anchors import anchor_mean
from graphcl.losses.views import computing_views, full_precision, unit_rows


class KCL(nn.Module):
    """Kernel contrastive learning: views are near by a kernel, and the rows of each view are far apart by the same one.

    ``-2 mean_i k(z1_i, z2_i) + gamma (mean_{i < j} k(z1_i, z1_j) + mean_{i < j} k(z2_i, z2_j))``. The mean over all batches of
    one size is the loss of all rows together. Weights are those of anchors: the pull of row ``i``, and its
    mean kernel with the other rows, count ``w_i`` times; as a candidate of others every row counts alike. Time ``O(N N D)``,
    memory ``O(N D)``.
    Koromilas, Bouritsas, Giannakopoulos, Nicolaou and Panagakis, 2024, https://arxiv.org/abs/2405.18045. Differs from the code:
    the logarithmic kernel is the same in both terms.

    Args:
        gamma: Weight of the repulsion, ``>= 0``.
        kernel: Of the squared distance of unit rows; a Gaussian with ``t = 2`` when ``None``.

    Shapes:
        z1, z2: ``(N, D)``, row ``i`` pairs with row ``i``; weight: ``(N,)``; returns: scalar.

    Raises:
        InputError: A negative weight, a kernel of dot products; shapes that differ, fewer than two rows, values that are not
            finite; weights that are negative or all zero.
    """

    def __init__(self, gamma: float = 16.0, *, kernel: PairKernel | None = None) -> None:
        super().__init__()
        if not math.isfinite(gamma) or gamma < 0:
            raise InputError(f"gamma must be >= 0, since it weighs the repulsion; got {gamma}")
        self.gamma = gamma
        self.kernel: PairKernel = kernel if kernel is not None else GaussianKernel()
        if not self.kernel.of_distance:
            raise InputError(f"the kernel must be one of distances; got {self.kernel!r}. Take GaussianKernel or IMQKernel.")

    def forward(self, z1: Tensor, z2: Tensor, *, weight: Tensor | None = None) -> Tensor:
        """The loss of two views.

        Args:
            z1: First view.
            z2: Second view.
            weight: Of the anchors in a weighted mean, ``>= 0``; all equal when ``None``.
        """
        z1, z2 = computing_views(z1, z2)
        with full_precision(z1):
            u1, u2 = unit_rows(z1), unit_rows(z2)
            pull = anchor_mean(self.kernel.value((u1 - u2).square().sum(1)), weight)
            return self.gamma * (self._energy(u1, weight) + self._energy(u2, weight)) - 2 * pull

    def extra_repr(self) -> str:
        """Weight and kernel, for ``print``."""
        return f"gamma={self.gamma:g}, kernel={self.kernel!r}"

    def _energy(self, u: Tensor, weight: Tensor | None) -> Tensor:
        others = Rule(exclude=torch.arange(len(u), device=u.device))
        return anchor_mean(pair_sum(u, Columns(u), kernel=self.kernel, rule=others), weight) / (len(u) - 1)
