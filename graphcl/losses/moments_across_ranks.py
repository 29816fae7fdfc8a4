"""The losses of second moments where each rank holds some of the rows: D x D sums travel, and no row does."""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import Tensor

from graphcl.errors import InputError
from graphcl.kernels.ranks import Ranks, all_sum
from graphcl.losses.barlow_twins import BarlowTwins
from graphcl.losses.cca_ssg import CCASSG
from graphcl.losses.standardise import off_diagonal_energy
from graphcl.losses.vicreg import VICReg
from graphcl.losses.views import full_precision

MomentLoss = CCASSG | BarlowTwins | VICReg


def moment_loss(loss: MomentLoss, z1: Tensor, z2: Tensor, ranks: Ranks) -> Tensor:
    """What the loss is of the rows of all ranks, out of means and products that are added up over them.

    Time ``O(n_r D^2)`` a rank, memory ``O(n_r D + D^2)``; ``D^2`` numbers travel, both ways. Equal on all ranks.

    Args:
        loss: With its weights.
        z1: First view of this rank's rows.
        z2: Second view of the same rows.
        ranks: All of them.

    Shapes:
        z1, z2: ``(n_r, D)``; returns: scalar.

    Raises:
        InputError: Views that do not pair; fewer than two rows on all ranks together.
    """
    if z1.ndim != 2 or z1.shape != z2.shape:
        raise InputError(f"z1 and z2 must both be (n, D) with equal n and D; got {tuple(z1.shape)} and {tuple(z2.shape)}")
    count = sum(ranks.lengths(z1))
    if count < 2:
        raise InputError(f"statistics need at least 2 rows on all ranks together; got {count}")
    dtype = torch.promote_types(torch.promote_types(z1.dtype, z2.dtype), torch.float32)
    z1, z2 = z1.to(dtype), z2.to(dtype)
    with full_precision(z1):
        if isinstance(loss, VICReg):
            return _vicreg(loss, z1, z2, count, ranks)
        unbiased = loss.unbiased if isinstance(loss, CCASSG) else False
        s1, s2 = (_standardised(z, count, ranks, unbiased) for z in (z1, z2))
        if isinstance(loss, BarlowTwins):
            correlation = all_sum(s1.T @ s2, ranks) / count
            energy: Tensor = (1 - correlation.diagonal()).square().sum() + loss.weight * off_diagonal_energy(correlation)
            return energy
        identity = torch.eye(z1.shape[1], dtype=dtype, device=z1.device)
        gaps = torch.stack([(identity - all_sum(s.T @ s, ranks) / count).square().sum() for s in (s1, s2)])
        total: Tensor = loss.weight * gaps.sum() - all_sum((s1 * s2).sum(), ranks) / count
        return total


def _vicreg(loss: VICReg, z1: Tensor, z2: Tensor, count: int, ranks: Ranks) -> Tensor:
    spread, cross = z1.new_zeros(()), z1.new_zeros(())
    for z in (z1, z2):
        centred = z - all_sum(z.sum(0), ranks) / count
        covariance = all_sum(centred.T @ centred, ranks) / (count - 1)
        deviation = (covariance.diagonal() + loss.eps).sqrt()
        spread = spread + (1 - deviation).clamp(min=0).mean()
        cross = cross + off_diagonal_energy(covariance) / z.shape[1]
    gap = all_sum((z1 - z2).square().mean(1).sum(), ranks) / count
    return loss.invariance * gap + loss.variance * spread / 2 + loss.covariance * cross


def _standardised(z: Tensor, count: int, ranks: Ranks, unbiased: bool) -> Tensor:
    """`standardise` by mean and deviation over the rows of all ranks.

    Shapes:
        z: ``(n_r, D)``; returns: the same.
    """
    first = z[:1].detach().sum(0) if ranks.first else torch.zeros_like(z[0] if len(z) else z.sum(0))
    shifted = z - all_sum(first, ranks)
    top, largest = _tops(shifted, z, ranks).unbind(0)
    flat = top <= 4 * torch.finfo(z.dtype).eps * largest
    shifted = shifted / top.masked_fill(flat, 1.0)
    centred = shifted - all_sum(shifted.sum(0), ranks) / count
    variance = all_sum(centred.square().sum(0), ranks) / (count - int(unbiased))
    rows: Tensor = (centred * variance.masked_fill(flat, 1.0).rsqrt()).masked_fill(flat, 0.0)
    return rows


@torch.no_grad()
def _tops(shifted: Tensor, z: Tensor, ranks: Ranks) -> Tensor:
    """Largest absolute value of each column of both, over all ranks.

    Shapes:
        shifted, z: ``(n_r, D)``; returns: ``(2, D)``.
    """
    zero = z.new_zeros(1, z.shape[1])
    tops = torch.stack([torch.cat([part.abs(), zero]).amax(0) for part in (shifted, z)])
    dist.all_reduce(tops, op=dist.ReduceOp.MAX, group=ranks.group)
    return tops
