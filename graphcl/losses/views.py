"""What losses of two views share: checks, the precision they are computed in, unit rows."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from graphcl.errors import InputError


def unit_rows(z: Tensor) -> Tensor:
    """Rows divided by their length; a row of zeros stays zero and gets no gradient.

    Shapes:
        z: ``(N, D)``; returns: the same.
    """
    # A row of zeros has no direction to move in; `normalize` alone would divide its gradient by eps.
    return F.normalize(z, dim=1, eps=1e-8).masked_fill((z == 0).all(1, keepdim=True), 0.0)


def check_pairs(z1: Tensor, z2: Tensor) -> None:
    """Refuses views that do not pair row by row, that leave no negatives, or that are not finite."""
    if z1.ndim != 2 or z1.shape != z2.shape:
        raise InputError(
            f"z1 and z2 must both be (N, D) with equal N and D; got {tuple(z1.shape)} and {tuple(z2.shape)}. "
            "Row i of each view must be the same node: did an augmenter drop nodes?"
        )
    if len(z1) < 2:
        raise InputError(f"contrast needs at least 2 rows, or there are no negatives; got {len(z1)}")
    for name, z in (("z1", z1), ("z2", z2)):
        if not z.is_floating_point():
            raise InputError(f"{name} must be floating point, since embeddings are; got {z.dtype}")
        if not z.is_cuda and not bool(torch.isfinite(z).all()):
            row = int((~torch.isfinite(z)).any(1).nonzero()[0])
            raise InputError(f"{name} has a value that is not finite in row {row}: the encoder diverged or its input was bad")


def computing_views(z1: Tensor, z2: Tensor) -> tuple[Tensor, Tensor]:
    """Both views, checked, in single precision or better; one tensor stays one.

    Shapes:
        z1, z2: ``(N, D)``; returns: the same, ``float32`` for half precision.

    Raises:
        InputError: Shapes that differ, fewer than two rows, no columns, values that are not finite or not floating.
    """
    if z1.ndim == 2 and z1.shape == z2.shape and (len(z1) < 2 or z1.shape[1] < 1):
        raise InputError(f"statistics need at least 2 rows and 1 column; got {tuple(z1.shape)}")
    check_pairs(z1, z2)
    dtype = torch.promote_types(torch.promote_types(z1.dtype, z2.dtype), torch.float32)
    first = z1.to(dtype)
    return first, first if z2 is z1 else z2.to(dtype)


def full_precision(z: Tensor) -> torch.autocast:
    """A block in which automatic half precision is off: decompositions and small differences do not survive it."""
    return torch.autocast(z.device.type, enabled=False)
