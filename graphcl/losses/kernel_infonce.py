"""Kernel-InfoNCE: similarity is a kernel of the distance, heavier-tailed than the Gaussian, or a mixture with it."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from graphcl.errors import InputError
from graphcl.kernels import Columns, Rule, pair_lse
from graphcl.kernels.pair_power import pair_power_lse, softened_power
from graphcl.losses.anchors import anchor_mean
from graphcl.losses.links import coupled
from graphcl.losses.pair_loss import Symmetric
from graphcl.losses.temperature import check_temperature
from graphcl.losses.views import computing_views, full_precision, unit_rows


class KernelInfoNCE(nn.Module):
    """`NTXent`, or `InfoNCE`, with the logit ``-|x - y|^gamma / t`` of unit rows, mixed with that of ``gamma = 2``.

    ``mix L_gamma + (1 - mix) L_2``, both of whole rows or, with ``split``, the first of their first halves and the second of
    the rest. The Gaussian, ``gamma = 2``, at temperature ``t`` is the cosine at ``t / 2``; ``gamma = 1`` has the tails of a
    Laplacian. Time ``O(N N D)``, memory ``O(N D)``; a running maximum keeps small temperatures exact.
    Tan, Zhang, Yang and Yuan, 2023, https://arxiv.org/abs/2303.15103. Differs: logarithms are exact, the code clamps sums and
    adds 1e-6 to them; distances are Euclidean, the code has other norms too; as in the code, losses are mixed and not kernels.

    Args:
        temperature: Divides the power of the distance, ``> 0``.
        gamma: Exponent of the distance, ``> 0``.
        mix: Share of the loss of ``gamma``, in ``0 .. 1``.
        split: Whether each of the two losses has its own half of the columns.
        intra: Whether the other rows of the anchor's own view are negatives as well.
        symmetric: Mean or sum of both directions, or one.

    Shapes:
        z1, z2: ``(N, D)``, row ``i`` pairs with row ``i``; weight: ``(N,)``; returns: scalar.

    Raises:
        InputError: Arguments out of range; shapes that differ, fewer than two rows, values that are not finite; one column to
            split.
    """

    def __init__(
        self,
        temperature: float = 0.1,
        *,
        gamma: float = 2.0,
        mix: float = 1.0,
        split: bool = False,
        intra: bool = True,
        symmetric: Symmetric = "mean",
    ) -> None:
        super().__init__()
        if not math.isfinite(gamma) or gamma <= 0:
            raise InputError(f"gamma must be a finite number > 0, the exponent of the distance; got {gamma}")
        if not 0 <= mix <= 1:
            raise InputError(f"mix must lie in 0 .. 1, the share of the loss of gamma; got {mix}")
        if split and mix in (0, 1):
            raise InputError(f"with split a mix of {mix:g} would leave one half of the columns untrained; take one in between")
        if symmetric not in ("mean", "sum", "off"):
            raise InputError(f"symmetric must be 'mean', 'sum' or 'off'; got '{symmetric}'")
        self.scale = 1.0 / check_temperature(temperature)
        self.gamma = gamma
        self.mix = mix
        self.split = split
        self.intra = intra
        self.symmetric = symmetric

    def forward(self, z1: Tensor, z2: Tensor, *, weight: Tensor | None = None) -> Tensor:
        """The loss of two views.

        Args:
            z1: First view.
            z2: Second view.
            weight: Of the instances in a weighted mean, ``>= 0``; all equal when ``None``.
        """
        z1, z2 = computing_views(z1, z2)
        if self.split and z1.shape[1] < 2:
            raise InputError(f"split needs at least 2 columns; got {z1.shape[1]}. Leave split=False.")
        with full_precision(z1):
            u1, u2 = unit_rows(z1), unit_rows(z2)
            terms = self._one_way(u1, u2)
            if self.symmetric != "off":
                terms = terms + self._one_way(u2, u1)
            loss = anchor_mean(terms, weight)
            return loss / 2 if self.symmetric == "mean" else loss

    def extra_repr(self) -> str:
        """Temperature, kernel and candidates, for ``print``."""
        mixture = f", mix={self.mix:g}, split={self.split}" if self.mix != 1 else ""
        options = f"{mixture}, intra={self.intra}, symmetric={self.symmetric!r}"
        return f"temperature={1 / self.scale:g}, gamma={self.gamma:g}{options}"

    def _one_way(self, anchors: Tensor, others: Tensor) -> Tensor:
        half = anchors.shape[1] // 2
        parts = (slice(None, half), slice(half, None)) if self.split else (slice(None), slice(None))
        terms = anchors.new_zeros(len(anchors))
        for part, gamma, share in zip(parts, (self.gamma, 2.0), (self.mix, 1 - self.mix), strict=True):
            if share > 0:
                terms = terms + share * self._terms(anchors[:, part], others[:, part], gamma)
        return terms

    def _terms(self, anchors: Tensor, others: Tensor, gamma: float) -> Tensor:
        squared = (anchors - others).square().sum(1)
        pull = -self.scale * (squared if gamma == 2 else softened_power(squared, gamma))
        log_z = self._log_z(anchors, others, gamma)
        if self.intra:
            log_z = torch.logaddexp(log_z, self._log_z(anchors, anchors, gamma))
        return coupled(pull, log_z)

    def _log_z(self, anchors: Tensor, candidates: Tensor, gamma: float) -> Tensor:
        rule = Rule(exclude=torch.arange(len(anchors), device=anchors.device))
        if gamma != 2:
            return pair_power_lse(anchors, Columns(candidates), scale=self.scale, gamma=gamma, rule=rule)
        # -|x - y|^2 = 2 <x, y> - |x|^2 - |y|^2: one product, and a part of each side, which rows of zeros do not share.
        own = self.scale * anchors.square().sum(1)
        columns = Columns(candidates, bias=-self.scale * candidates.square().sum(1))
        return pair_lse(anchors, columns, scale=2 * self.scale, rule=rule) - own
