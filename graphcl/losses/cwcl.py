"""CWCL: all rows are positives of an anchor, each as much as its frozen features resemble the anchor's."""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from graphcl.errors import InputError
from graphcl.kernels import Columns, Rule, pair_lse
from graphcl.kernels.pair_tiles import PairTiles
from graphcl.losses.anchors import anchor_mean
from graphcl.losses.pair_loss import Symmetric
from graphcl.losses.temperature import check_temperature
from graphcl.losses.views import computing_views, full_precision, unit_rows

WeightKernel = Literal["affine", "linear", "exponential"]


class CWCL(nn.Module):
    """Continuously weighted contrastive loss: targets are similarities of frozen features, not one row or one label.

    ``-sum_j w_ij s_ij / (t sum_j w_ij) + log sum_j exp(s_ij / t)`` with ``w_ij`` a kernel of features ``q``: ``"affine"``,
    ``(1 + cos(q_i, q_j)) / 2``; ``"linear"``, ``<q_i, q_j>`` of features ``>= 0`` (classes or topics; the identity gives
    `InfoNCE`); ``"exponential"``, ``exp((cos(q_i, q_j) - 1) / bandwidth)``. The way back is plain `InfoNCE`. The positive term
    is linear in the candidates, so ``w`` is never held. Time ``O(N N D + N F D)``, with the exponential kernel
    ``O(N N (D + F))``; memory ``O(N (F + D) + F D)``.
    Srinivasa, Cho, Yang, Saidutta, Lee, Shen and Jin, 2023, https://arxiv.org/abs/2309.14580. Differs: the mean of both
    directions unless told otherwise.

    Args:
        temperature: Divides the similarity, ``> 0``.
        kernel: Of the features.
        bandwidth: Of the exponential kernel, ``>= 1e-4``; without effect on the others.
        symmetric: Mean or sum of both directions, or only the weighted one.

    Shapes:
        z1, z2: ``(N, D)``, row ``i`` pairs with row ``i``; features: ``(N, F)``; weight: ``(N,)``; returns: scalar.

    Raises:
        InputError: Arguments out of range; shapes that differ, fewer than two rows, values that are not finite; linear features
            below zero, or a row of zeros.
    """

    def __init__(
        self,
        temperature: float = 0.07,
        *,
        kernel: WeightKernel = "affine",
        bandwidth: float = 0.1,
        symmetric: Symmetric = "mean",
    ) -> None:
        super().__init__()
        if kernel not in ("affine", "linear", "exponential"):
            raise InputError(f"kernel must be 'affine', 'linear' or 'exponential'; got '{kernel}'")
        if not math.isfinite(bandwidth) or bandwidth < 1e-4:
            raise InputError(f"bandwidth must be a finite number >= 1e-4, since it divides similarities; got {bandwidth}")
        if symmetric not in ("mean", "sum", "off"):
            raise InputError(f"symmetric must be 'mean', 'sum' or 'off'; got '{symmetric}'")
        self.scale = 1.0 / check_temperature(temperature)
        self.kernel = kernel
        self.bandwidth = bandwidth
        self.symmetric = symmetric

    def forward(self, z1: Tensor, z2: Tensor, *, features: Tensor | None = None, weight: Tensor | None = None) -> Tensor:
        """The loss of two views.

        Args:
            z1: Anchors.
            z2: Candidates.
            features: Of the instances, constants; ``z1`` when ``None``, for a first view that comes from a frozen encoder.
            weight: Of the instances in a weighted mean, ``>= 0``; all equal when ``None``.
        """
        z1, z2 = computing_views(z1, z2)
        features = self._checked(z1 if features is None else features, len(z1)).to(z1)
        with full_precision(z1):
            u1, u2 = unit_rows(z1), unit_rows(z2)
            pull = self.scale * (u1 * self._target(features, u2)).sum(1)
            if self.symmetric == "off":
                return anchor_mean(pair_lse(u1, Columns(u2), scale=self.scale) - pull, weight)
            there, back = pair_lse(u1, Columns(u2), scale=self.scale, both=True)
            loss = anchor_mean(there - pull + back - self.scale * (u1 * u2).sum(1), weight)
            return loss / 2 if self.symmetric == "mean" else loss

    def extra_repr(self) -> str:
        """Temperature and kernel, for ``print``."""
        bandwidth = f", bandwidth={self.bandwidth:g}" if self.kernel == "exponential" else ""
        return f"temperature={1 / self.scale:g}, kernel={self.kernel!r}{bandwidth}, symmetric={self.symmetric!r}"

    def _checked(self, features: Tensor, num_rows: int) -> Tensor:
        if features.ndim != 2 or len(features) != num_rows or not features.is_floating_point():
            raise InputError(
                f"features must be a floating ({num_rows}, F) matrix, a row for each instance; got {features.dtype} "
                f"{tuple(features.shape)}"
            )
        features = features.detach()
        if not features.is_cuda:
            if not bool(features.isfinite().all()):
                raise InputError("features have a value that is not finite: look at where they come from")
            if self.kernel == "linear":
                if bool((features < 0).any()):
                    raise InputError(
                        f"features of the linear kernel must be >= 0, or weights would be negative; got {features.min():g}. "
                        "Take kernel='affine'."
                    )
                empty = (features == 0).all(1)
                if bool(empty.any()):
                    raise InputError(
                        f"row {int(empty.nonzero()[0])} of the features is zero, so under the linear kernel it has no "
                        "positive; give it a feature, or take kernel='affine'"
                    )
        return features

    def _target(self, features: Tensor, candidates: Tensor) -> Tensor:
        """``sum_j w_ij z_j / sum_j w_ij``: what an anchor should be similar to.

        Shapes:
            features: ``(N, F)``; candidates: ``(N, D)``; returns: ``(N, D)``.
        """
        if self.kernel == "exponential":
            target: Tensor = _ExponentialMean.apply(unit_rows(features), candidates, self.bandwidth)  # type: ignore[no-untyped-call]
            return target
        if self.kernel == "linear":
            return features @ (features.T @ candidates) / (features @ features.sum(0))[:, None]
        q = unit_rows(features)  # sums over j of 1 + <q_i, q_j> come apart
        total = len(q) + q @ q.sum(0)
        return (candidates.sum(0) + q @ (q.T @ candidates)) / total[:, None]


class _ExponentialMean(torch.autograd.Function):
    """Means of candidates under ``exp((<q_i, q_j> - |q_i|^2) / bandwidth)``, one tile at a time; no gradient to ``q``.

    The shift is constant in a row and cancels. With it no weight of unit rows is above 1, and that of the row itself is 1:
    sums neither overflow nor vanish. A row of zeros weighs all alike.
    """

    @staticmethod
    def forward(ctx: Any, q: Tensor, candidates: Tensor, bandwidth: float) -> Tensor:
        weights = _ExponentialWeights(q, bandwidth)
        right = torch.cat([candidates, candidates.new_ones(len(candidates), 1)], 1)  # sums of weights come as one more column
        sums = torch.zeros_like(right)
        for rows, columns in weights.tiles:
            sums[rows].addmm_(weights.tile(rows, columns), right[columns])
        ctx.save_for_backward(q, sums[:, -1:].clone())
        ctx.bandwidth = bandwidth
        return sums[:, :-1] / sums[:, -1:]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[None, Tensor, None]:
        q, total = ctx.saved_tensors
        weights = _ExponentialWeights(q, ctx.bandwidth)
        grad = grad / total
        result = torch.zeros_like(grad)
        for rows, columns in weights.tiles:
            result[columns].addmm_(weights.tile(rows, columns).T, grad[rows])
        return None, result, None


class _ExponentialWeights:
    def __init__(self, q: Tensor, bandwidth: float) -> None:
        self.bandwidth = bandwidth
        self.shift = q.square().sum(1, keepdim=True)
        self.tiles = PairTiles(q, q, None, Rule())

    def tile(self, rows: slice, columns: slice) -> Tensor:
        return self.tiles.product(rows, columns).sub_(self.shift[rows]).div_(self.bandwidth).exp_()
