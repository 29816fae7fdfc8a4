"""What the losses over feature dimensions share: checked views, standardised columns, the energy off a diagonal."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from graphcl.errors import InputError
from graphcl.losses.pair_loss import check_pairs


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


def computing_views(z1: Tensor, z2: Tensor) -> tuple[Tensor, Tensor]:
    """Both views, checked, in single precision or better.

    Shapes:
        z1, z2: ``(N, D)``; returns: the same, ``float32`` for half precision.

    Raises:
        InputError: Shapes that differ, fewer than two rows, no columns, values that are not finite or not floating.
    """
    for name, z in (("z1", z1), ("z2", z2)):
        if not z.is_floating_point():
            raise InputError(f"{name} must be floating point, since embeddings are; got {z.dtype}")
    if z1.ndim == 2 and z1.shape == z2.shape and (len(z1) < 2 or z1.shape[1] < 1):
        raise InputError(f"statistics need at least 2 rows and 1 column; got {tuple(z1.shape)}")
    check_pairs(z1, z2)
    dtype = torch.promote_types(torch.promote_types(z1.dtype, z2.dtype), torch.float32)
    return z1.to(dtype), z2.to(dtype)


def full_precision(z: Tensor) -> torch.autocast:
    """A block in which automatic half precision is off: decompositions and small differences do not survive it."""
    return torch.autocast(z.device.type, enabled=False)


def check_weight(name: str, value: float) -> float:
    """The weight itself, or an `InputError` that says what is wrong with it."""
    if not math.isfinite(value) or value < 0:
        raise InputError(f"{name} must be a finite number >= 0, since it weighs a penalty; got {value}")
    return value


def _constant(z: Tensor, spread: Tensor) -> Tensor:
    return spread <= 4 * torch.finfo(z.dtype).eps * z.detach().abs().amax(0)
