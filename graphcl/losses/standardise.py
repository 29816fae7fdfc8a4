"""What the losses over feature dimensions share: standardised columns, the energy off a diagonal."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from graphcl.errors import InputError
from graphcl.losses.views import computing_views, full_precision


def standardise(z: Tensor, *, unbiased: bool = False) -> Tensor:
    """Columns with mean 0 and standard deviation 1; a constant column becomes zeros and gets no gradient.

    No epsilon is added to the deviation, so a column agrees with itself exactly: ``mean_i z_ik^2 = 1`` in the biased form.
    Time and memory ``O(N D)``.

    Args:
        z: Embeddings.
        unbiased: Divide the variance by ``N - 1`` instead of ``N``.

    Shapes:
        z: ``(N, D)`` with ``N >= 2``; returns: the same.
    """
    # The result knows neither shift nor scale of a column, so constants take both away first: equal entries become exact
    # zeros, and squares neither overflow nor vanish.
    shifted = z - z[:1].detach()
    top = shifted.detach().abs().amax(0)
    flat = _constant(z, top)
    shifted = shifted / top.masked_fill(flat, 1.0)
    centred = shifted - shifted.mean(0)
    variance = centred.square().sum(0) / (len(z) - int(unbiased))
    return (centred * variance.masked_fill(flat, 1.0).rsqrt()).masked_fill(flat, 0.0)


def constant_dimensions(z: Tensor) -> Tensor:
    """Which columns have one value only, up to rounding: dimensions that have collapsed.

    Shapes:
        z: ``(N, D)``; returns: ``(D,)`` bool.
    """
    z = z.detach()
    return _constant(z, (z - z[:1]).abs().amax(0))


def off_diagonal_energy(matrix: Tensor) -> Tensor:
    """``sum_{k != l} matrix_kl^2``.

    Shapes:
        matrix: ``(D, D)``; returns: scalar.
    """
    return (matrix - matrix.diagonal().diag_embed()).square().sum()


def check_weight(name: str, value: float) -> float:
    """The weight itself, or an `InputError` that says what is wrong with it."""
    if not math.isfinite(value) or value < 0:
        raise InputError(f"{name} must be a finite number >= 0, since it weighs a penalty; got {value}")
    return value


def _constant(z: Tensor, spread: Tensor) -> Tensor:
    return spread <= 4 * torch.finfo(z.dtype).eps * z.detach().abs().amax(0)


__all__ = [
    "check_weight",
    "computing_views",
    "constant_dimensions",
    "full_precision",
    "off_diagonal_energy",
    "standardise",
]
