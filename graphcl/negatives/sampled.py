"""A few candidates stand for all, each weighted by how rarely it is drawn."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from graphcl.errors import InputError
from graphcl.kernels import Columns, Rule, pair_lse
from graphcl.negatives.drawn_rule import drawn_rule


class Sampled:
    """``num`` candidates drawn with replacement, the same for all anchors, corrected by their probability.

    ``log sum_s exp(l_is - log(num * q_s))``. The sum is unbiased, so its logarithm is too low on average, by about half
    the relative variance of the sum. A draw that the rule leaves out of an anchor's negatives adds nothing to its sum,
    which keeps it unbiased; an anchor all of whose draws are left out has ``-inf``. Time ``O(N num D)``, memory
    ``O((N + num) D)``; a new draw each call.

    Bengio and Senecal, 2008, https://doi.org/10.1109/TNN.2007.912312. Differs in that one draw serves the whole batch.

    Args:
        num: Draws, ``>= 1``.
        proposal: Weights that candidates are drawn by, for instance popularities; uniform when ``None``. A candidate of
            weight 0 is never drawn and thereby not part of the sum.
        generator: Where the draws come from; torch's default when ``None``.

    Shapes:
        proposal: ``(M,)``, ``>= 0``, not all 0.

    Raises:
        InputError: No draws, weights that are no weights, or another number of candidates than the proposal has.
    """

    def __init__(self, num: int, proposal: Tensor | None = None, *, generator: torch.Generator | None = None) -> None:
        if num < 1:
            raise InputError(f"num must be >= 1, the number of draws; got {num}")
        self.num = num
        self.proposal = None if proposal is None else _probabilities(proposal)
        self.generator = generator

    def log_z(self, anchors: Tensor, candidates: Tensor, *, scale: float | Tensor, rule: Rule) -> Tensor:
        """Log of the estimated sum; gradients go to anchors and the drawn candidates.

        Shapes:
            anchors: ``(N, D)``; candidates: ``(M, D)``; returns: ``(N,)``.
        """
        rule.check(len(anchors), len(candidates))
        index = self.draw(len(candidates)).to(candidates.device)
        if self.proposal is None:
            log_q = torch.full_like(index, -math.log(len(candidates)), dtype=torch.float64)
        else:
            log_q = self.proposal.to(index.device).index_select(0, index).log()
        columns = Columns(candidates.index_select(0, index), bias=-(log_q + math.log(len(index))), ids=index)
        return pair_lse(anchors, columns, scale=scale, rule=drawn_rule(rule, index))

    def draw(self, num_candidates: int) -> Tensor:
        """Positions of the drawn candidates.

        Args:
            num_candidates: ``M``.

        Shapes:
            returns: ``(num,)`` int64.
        """
        if num_candidates < 1:
            raise InputError("there is no candidate to draw: the candidate set has 0 rows")
        device = "cpu" if self.generator is None else self.generator.device
        if self.proposal is None:
            return torch.randint(num_candidates, (self.num,), generator=self.generator, device=device)
        if len(self.proposal) != num_candidates:
            raise InputError(
                f"the proposal has weights for {len(self.proposal)} candidates but there are {num_candidates}: "
                "was it made for another batch?"
            )
        # Not torch.multinomial, which refuses more than 2^24 candidates.
        below = self.proposal.to(device).cumsum(0)
        at = torch.rand(self.num, generator=self.generator, dtype=torch.float64, device=device) * below[-1]
        last = torch.searchsorted(below, below[-1:])  # the last that can be drawn
        return torch.minimum(torch.searchsorted(below, at, right=True), last)

    def __repr__(self) -> str:
        return f"Sampled({self.num}, {'uniform' if self.proposal is None else 'by proposal'})"


def _probabilities(weights: Tensor) -> Tensor:
    good = weights.ndim == 1 and bool((torch.isfinite(weights) & (weights >= 0)).all()) and float(weights.sum()) > 0
    if not good:
        raise InputError(
            f"proposal must be a vector of finite weights >= 0 that are not all 0; got shape {tuple(weights.shape)}, "
            f"values {weights.flatten()[:4].tolist()} ... Log-probabilities? Use .exp()."
        )
    weights = weights.detach().to(torch.float64)
    return weights / weights.sum()
