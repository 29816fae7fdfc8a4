"""Clusters that sharpen themselves: Student-t assignments pulled towards their own squared, balanced version."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from graphcl.errors import InputError


def student_t(z: Tensor, centres: Tensor, *, dof: float = 1.0) -> Tensor:
    """Soft assignment ``q_ic`` proportional to ``(1 + ||z_i - mu_c||^2 / dof)^(-(dof + 1) / 2)``; rows sum to 1.

    van der Maaten and Hinton, 2008; used for clustering by Xie, Girshick and Farhadi, 2016, https://arxiv.org/abs/1511.06335.

    Args:
        z: Embeddings.
        centres: Cluster centres.
        dof: Degrees of freedom, ``> 0``; small values have heavy tails.

    Shapes:
        z: ``(N, D)``; centres: ``(K, D)``; returns: ``(N, K)``.

    Raises:
        InputError: Widths differ, or ``dof <= 0``.
    """
    if z.ndim != 2 or centres.ndim != 2 or z.shape[1] != centres.shape[1]:
        raise InputError(f"z (N, D) and centres (K, D) must share D; got {tuple(z.shape)} and {tuple(centres.shape)}")
    if dof <= 0:
        raise InputError(f"dof must be > 0; got {dof}")
    # By expansion rather than `cdist`, whose backward divides by distances that may be zero.
    square = z.square().sum(1, keepdim=True) - 2 * z @ centres.T + centres.square().sum(1)
    q = (1 + square.clamp(min=0) / dof) ** (-(dof + 1) / 2)
    return q / q.sum(1, keepdim=True)


def target_distribution(q: Tensor) -> Tensor:
    """``p_ic`` proportional to ``q_ic^2 / sum_i q_ic``, a constant: no gradient flows through it.

    Squaring sharpens; dividing by the cluster's mass keeps large clusters from swallowing small ones. A cluster
    without any mass keeps none.

    Shapes:
        q: ``(N, K)``, rows sum to 1; returns: ``(N, K)``, rows sum to 1.
    """
    q = q.detach()
    weight = q.square() / q.sum(0).clamp(min=torch.finfo(q.dtype).tiny)
    return weight / weight.sum(1, keepdim=True)


def self_training(q: Tensor, p: Tensor | None = None) -> Tensor:
    """``KL(p || q)``, summed over clusters and averaged over nodes.

    Args:
        q: Soft assignment.
        p: Target; made from ``q`` itself when ``None``.

    Shapes:
        q, p: ``(N, K)``; returns: scalar, ``>= 0``.
    """
    target = target_distribution(q) if p is None else p
    return F.kl_div(q.clamp(min=torch.finfo(q.dtype).tiny).log(), target, reduction="batchmean")
