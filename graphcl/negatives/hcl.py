"""Hard negatives count more, and how much more is one number."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from graphcl.errors import InputError
from graphcl.kernels import Columns, Rule, pair_lse
from graphcl.negatives.count import log_count


class HCL:
    """Every negative weighted by its own importance ``exp(beta * l)``: the similar ones, which are hard, count more.

    ``N_i sum_j e^(beta l_ij) e^(l_ij) / sum_j e^(beta l_ij)`` over the ``N_i`` negatives of anchor ``i``, in logarithms
    ``log N_i + lse((1 + beta) l_i) - lse(beta l_i)``. Never below the exact value, equal to it at ``beta = 0`` or where all
    negatives are equally similar, and ``log N_i + max_j l_ij`` as beta grows: a reweighting on purpose, no approximation.
    Two sweeps, time ``O(N M D)``, memory ``O((N + M) D)``; the count ``N_i`` needs a third, narrow one only under
    ``rule.clusters``, ``rule.seen``, or ``same`` together with ``different``.

    Robinson, Chuang, Sra and Jegelka, 2021, https://arxiv.org/abs/2010.04592. Differs from the official code, which also
    subtracts the share of false negatives: here is the reweighting alone, and ``Debiased(prior, HCL(beta))`` is the whole.

    Args:
        beta: How much harder negatives count more, ``>= 0``.
        detach_importance: Whether the importance is a constant to the gradient; the official code lets it through.

    Raises:
        InputError: ``beta`` is negative or not finite.
    """

    def __init__(self, beta: float = 1.0, *, detach_importance: bool = False) -> None:
        if not math.isfinite(beta) or beta < 0:
            raise InputError(f"beta must be >= 0; got {beta}. At 0 all negatives count alike, at 1 the hard ones count more.")
        self.beta = beta
        self.detach_importance = detach_importance

    def log_z(self, anchors: Tensor, candidates: Tensor, *, scale: float | Tensor, rule: Rule) -> Tensor:
        """Log of the reweighted sum.

        Shapes:
            anchors: ``(N, D)``; candidates: ``(M, D)``; returns: ``(N,)``.
        """
        columns = Columns(candidates)
        if self.beta == 0:
            return pair_lse(anchors, columns, scale=scale, rule=rule)
        hard = pair_lse(anchors, columns, scale=scale * (1 + self.beta), rule=rule)
        if self.detach_importance:
            with torch.no_grad():
                importance = pair_lse(anchors, columns, scale=scale * self.beta, rule=rule)
            # The sum of constants times e^l has the gradient of the sharper sum, without the factor that sharpened it.
            hard = hard / (1 + self.beta) + (hard * (self.beta / (1 + self.beta))).detach()
        else:
            importance = pair_lse(anchors, columns, scale=scale * self.beta, rule=rule)
        count = log_count(anchors, candidates, rule).to(hard)
        return torch.where(torch.isneginf(count), -torch.inf, count + hard - importance)

    def __repr__(self) -> str:
        return f"HCL(beta={self.beta:g})"
