"""What the losses over feature dimensions share: standardised columns, the energy off a diagonal."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from graphcl.errors import InputError
from graphcl.losses.anchors import anchor_mean


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


def row_shares(z: Tensor, weight: Tensor | None) -> Tensor:
    """Part of each row in a mean over rows: its weight over the sum of weights, ``1 / N`` when ``None``.

    Shapes:
        z: ``(N, D)``; weight: ``(N,)``; returns: ``(N, 1)``, sums to 1, or ``(1, 1)`` where all are equal.

    Raises:
        InputError: Weights of another shape, negative or not finite; fewer than two above zero.
    """
    if weight is None:
        return z.new_full((1, 1), 1 / len(z))
    anchor_mean(z.detach()[:, 0], weight)  # refuses weights that are none
    if not weight.is_cuda and int((weight > 0).sum()) < 2:
        raise InputError("weight must be above 0 for at least 2 rows: the moments of a single one are all 0")
    weight = weight.to(z.dtype)
    return (weight / weight.sum())[:, None]


def standardise_by(z: Tensor, share: Tensor, *, unbiased: bool = False) -> Tensor:
    """`standardise` with a part of its own for each row in mean and deviation.

    The unbiased variance divides by ``1 - sum_i share_i^2``, which is ``(N - 1) / N`` where all are equal. A column that is
    constant over the rows with a weight becomes zeros and gets no gradient. Time and memory ``O(N D)``.

    Shapes:
        z: ``(N, D)``; share: ``(N, 1)`` or ``(1, 1)``, see `row_shares`; returns: ``(N, D)``.
    """
    rows = standardise(z, unbiased=unbiased)
    if len(share) == 1:
        return rows
    # From a row that counts, so that a column which is constant over such rows has a variance of exactly 0.
    rows = rows - rows.index_select(0, share.argmax().reshape(1)).detach()
    centred = rows - (share * rows).sum(0)
    variance = (share * centred.square()).sum(0)
    if unbiased:
        variance = variance / (1 - share.square().sum())
    flat = variance.detach() == 0
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
