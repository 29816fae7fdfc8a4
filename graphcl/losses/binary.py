"""Scores told apart one by one: logistic losses of positive and negative scores that need not come in pairs."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from graphcl.errors import InputError


class BCE(nn.Module):
    """Binary cross-entropy of scores: positives should be large, negatives small.

    ``mean_pos softplus(-s) + mean_neg softplus(s)``, each mean taken on its own, so that many negatives do not drown the few
    positives. There is no temperature; at ``s = 0`` the value is ``2 log 2``. Time and memory ``O(scores)``.
    Velickovic et al., 2019 (Deep Graph Infomax), https://arxiv.org/abs/1809.10341. Differs: any scores will do, not only a
    bilinear discriminator's, and the sum of the two means is not halved unless asked for.

    Args:
        half: Whether the sum is halved, as a mean over equally many positives and negatives would be.

    Shapes:
        positive, negative: any shape each, not necessarily the same; weights: as their scores; returns: scalar, ``>= 0``.

    Raises:
        InputError: No scores on one side, scores that are not finite or not floating point, weights of another shape,
            negative, or all zero.
    """

    def __init__(self, *, half: bool = False) -> None:
        super().__init__()
        self.halved = half  # `half` is a method of every module

    def forward(
        self,
        positive: Tensor,
        negative: Tensor,
        *,
        positive_weight: Tensor | None = None,
        negative_weight: Tensor | None = None,
    ) -> Tensor:
        """The loss of scores before any sigmoid.

        Args:
            positive: Scores that should be large.
            negative: Scores that should be small.
            positive_weight: Makes the first mean a weighted one; all equal when ``None``.
            negative_weight: The same for the second.
        """
        loss = _sum_of_means(positive, negative, positive_weight, negative_weight)
        return loss / 2 if self.halved else loss

    def extra_repr(self) -> str:
        """Whether the sum is halved, for ``print``."""
        return f"half={self.halved}"


class JSD(nn.Module):
    """Jensen-Shannon estimate of mutual information, with its sign turned so that smaller is better.

    ``mean_pos softplus(-s) + mean_neg softplus(s) - 2 log 2``: `BCE` shifted so that scores that tell nothing are worth 0 and
    perfect ones ``-2 log 2``; the gradients are the same. Time and memory ``O(scores)``.
    Nowozin, Cseke and Tomioka, 2016, https://arxiv.org/abs/1606.00709, and Hjelm et al., 2019,
    https://arxiv.org/abs/1808.06670. Differs: an average over the scores that are there, never over a matrix filled up with
    zeros.

    Shapes:
        positive, negative: any shape each, not necessarily the same; weights: as their scores; returns: scalar,
        ``>= -2 log 2``.

    Raises:
        InputError: As `BCE`.
    """

    def forward(
        self,
        positive: Tensor,
        negative: Tensor,
        *,
        positive_weight: Tensor | None = None,
        negative_weight: Tensor | None = None,
    ) -> Tensor:
        """The loss of scores before any sigmoid; arguments as `BCE`'s."""
        return _sum_of_means(positive, negative, positive_weight, negative_weight) - 2 * math.log(2)


def softplus(x: Tensor) -> Tensor:
    """``log(1 + e^x)`` at full precision everywhere; `torch.nn.functional.softplus` turns linear at 20.

    Shapes:
        x: any; returns: the same.
    """
    return -F.logsigmoid(-x)


def checked(name: str, values: Tensor) -> Tensor:
    """The values, with half precision widened to float32, or an `InputError` that names them.

    Whether they are finite is asked on the CPU only: elsewhere the answer would stall the device.

    Shapes:
        values: any; returns: the same.
    """
    if not values.is_floating_point():
        raise InputError(f"{name} must be floating point; got {values.dtype}. Convert it: {name}.float().")
    if values.numel() == 0:
        raise InputError(f"{name} is empty, shape {tuple(values.shape)}: its mean is not defined; leave such a batch out")
    if not values.is_cuda and not bool(torch.isfinite(values).all()):
        where = tuple((~torch.isfinite(values)).nonzero()[0].tolist())
        raise InputError(f"{name} has a value that is not finite at {where}: the encoder diverged or its input was bad")
    return values.float() if values.dtype in (torch.float16, torch.bfloat16) else values


def _sum_of_means(positive: Tensor, negative: Tensor, positive_weight: Tensor | None, negative_weight: Tensor | None) -> Tensor:
    pull = _mean("positive", softplus(-checked("positive", positive)), positive_weight)
    return pull + _mean("negative", softplus(checked("negative", negative)), negative_weight)


def _mean(name: str, terms: Tensor, weight: Tensor | None) -> Tensor:
    if weight is None:
        return terms.mean()
    if weight.shape != terms.shape:
        raise InputError(f"{name}_weight must have the shape of the scores, {tuple(terms.shape)}; got {tuple(weight.shape)}")
    weight = checked(f"{name}_weight", weight)
    if not weight.is_cuda and (bool((weight < 0).any()) or not bool((weight > 0).any())):
        raise InputError(f"{name}_weight must be >= 0 and somewhere > 0; got values from {weight.min():g} to {weight.max():g}")
    return (weight * terms).sum() / weight.sum()
