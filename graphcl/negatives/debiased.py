"""Some of the negatives are positives nobody labelled: their expected share is taken out again."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from graphcl.errors import InputError
from graphcl.kernels import Rule
from graphcl.negatives.column_bias import ColumnBias
from graphcl.negatives.count import log_count
from graphcl.negatives.exact import Exact
from graphcl.negatives.positive import positive_positions
from graphcl.negatives.protocol import Negatives


class Debiased:
    """What another estimator says, less the share of false negatives, which are taken to be as similar as the positive.

    ``log max( (Z_i - N_i p e^(l_i+)) / (1 - p), N_i e^(floor * scale) )`` with ``p`` the probability that a candidate is of
    the anchor's own class, ``N_i`` the number of its negatives and ``l_i+`` the logit of its positive, which
    ``rule.exclude`` names. At ``p = 0`` it is the estimator inside. Where the difference falls below what ``N_i`` least
    similar candidates give, it is replaced by that, and no gradient reaches anchors and candidates. Cost: that of the
    estimator inside and ``O(N D)``.

    Chuang, Robinson, Lin, Torralba and Jegelka, 2020, https://arxiv.org/abs/2007.00224; with ``HCL`` inside the hard loss of
    Robinson et al., 2021, https://arxiv.org/abs/2010.04592. Differs from the official code, which has one number of
    negatives for all anchors: here each has its own, in logarithms throughout.

    Args:
        prior: The probability ``p``, one for all or one for each anchor, in ``[0, 1)``.
        negatives: Estimator inside; exact when ``None``. A bias goes outside: ``ColumnBias(bias, Debiased())``.
        floor: Least similarity that a pair can have, -1 for cosine. ``None`` for dot products, which have none: then an
            anchor whose false negatives outweigh the sum has ``-inf``.

    Shapes:
        prior: a number or ``(N,)``.

    Raises:
        InputError: A prior out of range or of another number of anchors; a rule that names no positive.
    """

    reads_positive = True

    def __init__(self, prior: float | Tensor = 0.1, negatives: Negatives | None = None, *, floor: float | None = -1.0) -> None:
        probability = torch.as_tensor(prior)
        if probability.ndim > 1 or not bool(((probability >= 0) & (probability < 1)).all()):
            raise InputError(
                "prior must be a probability in [0, 1), one number or (N,), one for each anchor; got "
                f"{prior if probability.ndim == 0 else f'{tuple(probability.shape)} with values up to {probability.max():g}'}. "
                "With C balanced classes it is 1 / C."
            )
        if floor is not None and not math.isfinite(floor):
            raise InputError(f"floor must be a finite similarity, or None for no floor; got {floor}")
        if isinstance(negatives, ColumnBias):
            raise InputError("the logit of the positive needs the bias as well: write ColumnBias(bias, Debiased(prior))")
        self.prior = prior
        self.negatives: Negatives = negatives if negatives is not None else Exact()
        self.floor = floor

    @property
    def reads_ids(self) -> bool:
        """Whether the estimator inside remembers instances by their ids."""
        return bool(getattr(self.negatives, "reads_ids", False))

    def log_z(self, anchors: Tensor, candidates: Tensor, *, scale: float | Tensor, rule: Rule) -> Tensor:
        """Log of the corrected sum.

        Shapes:
            anchors: ``(N, D)``; candidates: ``(M, D)``; returns: ``(N,)``.
        """
        positive = positive_positions(rule, len(candidates), "use another estimator")
        biased = self.negatives.log_z(anchors, candidates, scale=scale, rule=rule)
        prior = torch.as_tensor(self.prior, dtype=biased.dtype, device=biased.device)
        if prior.ndim == 1 and prior.shape != biased.shape:
            raise InputError(
                f"the prior speaks of {len(prior)} anchors but there are {len(anchors)}: was it made for another batch?"
            )
        factor = torch.as_tensor(scale, dtype=biased.dtype, device=biased.device)
        own = candidates.index_select(0, positive).to(biased.dtype)
        logit = factor * (anchors.to(biased.dtype) * own).sum(1)
        count = getattr(self.negatives, "log_count", log_count)(anchors, candidates, rule).to(biased)
        false = count + prior.log() + logit
        least = count.new_full((), -torch.inf) if self.floor is None else count + factor * self.floor
        with torch.no_grad():  # what is clamped must not meet the logarithm of a difference: its gradient would not be finite
            gap = torch.where(biased > false, false - biased, 0.0)
            above = (biased > false) & (biased + torch.log(-torch.expm1(gap)) - torch.log1p(-prior) > least)
        gap = torch.where(above, false, -1.0) - torch.where(above, biased, 0.0)
        return torch.where(above, biased + torch.log(-torch.expm1(gap)) - torch.log1p(-prior), least)

    def __repr__(self) -> str:
        prior = "by anchor" if isinstance(self.prior, Tensor) and self.prior.ndim else f"{float(self.prior):g}"
        return f"Debiased({prior}, {self.negatives!r})"
