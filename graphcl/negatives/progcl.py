"""Negatives weighted by how likely they are true ones, given how similar they are."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from graphcl.errors import InputError
from graphcl.kernels import Columns, Rule, pair_lse
from graphcl.kernels.pair_tiles import working_type

_PAIRS = 2**22  # of a chunk of rows
_EDGE = 1e-4  # similarities stay so far from the ends, where the densities may be infinite


class BetaPosterior(nn.Module):
    """``log sum_j w_ij exp(l_ij)`` with weights ``w_ij = B_ij / mean_j B_ij``, ``B = P(true | x) x``, ``x = (s + 1) / 2``.

    Similar negatives are the informative ones, but the most similar are often of the anchor's own class. A mixture of two beta
    distributions is fitted to similarities ``s``, and ``P(true | x)`` is the posterior of the component with the lower mean.
    Until ``fit`` is called all weights are 1. The weights are constants to the gradient; each pair has those of its own
    similarity, made anew every step. For unit rows. Time ``O(N M D)``, memory ``O((N + M) D)`` and a few times ``2^22``
    numbers, since chunks of rows are computed again in the backward pass. State of 7 numbers.

    Xia et al., 2022 (ProGCL), https://arxiv.org/abs/2110.02027, the weighting variant. Differs from the official code: weights
    are neither computed once and kept for the rest of the training, nor those of another direction or view; the components are
    told apart by their means; no N x N array is held.

    Args:
        false_share: Share of false negatives that the fit begins with, in ``(0, 1)``.
        iterations: Of the fit, ``>= 1``.

    Raises:
        InputError: A share or number of iterations out of range; a rule with clusterings or lists of seen candidates.
    """

    shapes: Tensor
    shares: Tensor
    fitted: Tensor

    def __init__(self, *, false_share: float = 0.15, iterations: int = 10) -> None:
        super().__init__()
        if not 0 < false_share < 1:
            raise InputError(f"false_share must lie in (0, 1), the share of false negatives at first; got {false_share}")
        if iterations < 1:
            raise InputError(f"iterations must be >= 1; got {iterations}")
        self.false_share, self.iterations = false_share, iterations
        self.register_buffer("shapes", torch.tensor([[1.0, 2.0], [2.0, 1.0]], dtype=torch.float64))
        self.register_buffer("shares", torch.tensor([1 - false_share, false_share], dtype=torch.float64))
        self.register_buffer("fitted", torch.tensor(False))

    @torch.no_grad()
    def fit(self, similarity: Tensor) -> None:
        """Fits the mixture to a sample, from the same start each time.

        Expectation and weighted moments, ``iterations`` times: no likelihood is maximised, so it need not rise each time. The
        component of the similar ones never gets a density without bound at 1. Time ``O(S)`` an iteration.

        Args:
            similarity: Cosines of negatives, in ``-1 .. 1``.

        Shapes:
            similarity: ``(S,)``.

        Raises:
            InputError: An empty sample, or one with values that are not finite.
        """
        if similarity.numel() == 0 or not bool(similarity.isfinite().all()):
            raise InputError(f"the mixture is fitted to finite similarities, one at least; got {similarity.numel()} numbers")
        x = _unit_interval(similarity.double().flatten())
        shapes = x.new_tensor([[1.0, 2.0], [2.0, 1.0]])
        shares = x.new_tensor([1 - self.false_share, self.false_share])
        for _ in range(self.iterations):
            weight = _log_joint(x, shapes, shares).softmax(0)
            total = weight.sum(1).clamp(min=1e-8)
            mean = ((weight * x).sum(1) / total).clamp(_EDGE, 1 - _EDGE)
            variance = ((weight * (x - mean[:, None]).square()).sum(1) / total).clamp(min=1e-8)
            strength = (mean * (1 - mean) / variance - 1).clamp(min=1e-2)
            shapes = torch.stack([mean * strength, (1 - mean) * strength], 1)
            shares = (total / total.sum()).clamp(min=1e-8)
        order = (shapes[:, 0] / shapes.sum(1)).argsort()
        shapes, shares = shapes.index_select(0, order), shares.index_select(0, order)
        shapes[1, 1].clamp_(min=1.0)
        self.shapes.copy_(shapes)
        self.shares.copy_(shares)
        self.fitted.fill_(True)

    def log_posterior(self, similarity: Tensor) -> Tensor:
        """``log P(true | x)`` of negatives by their similarity, in the precision of the similarities.

        Shapes:
            similarity: any; returns: the same.
        """
        joint = _log_joint(_unit_interval(similarity), self.shapes.to(similarity), self.shares.to(similarity))
        return joint[0] - torch.logaddexp(joint[0], joint[1])

    def log_z(self, anchors: Tensor, candidates: Tensor, *, scale: float | Tensor, rule: Rule) -> Tensor:
        """Log of the weighted sum.

        Shapes:
            anchors: ``(N, D)``; candidates: ``(M, D)``; returns: ``(N,)``.
        """
        if rule.clusters is not None or rule.seen is not None:
            raise InputError("negatives by posterior take exclude, same and different; leave clusters and seen out of the rule")
        if not bool(self.fitted):
            return pair_lse(anchors, Columns(candidates), scale=scale, rule=rule)
        rule.check(len(anchors), len(candidates))
        dtype = working_type(anchors.dtype)
        anchors, candidates = anchors.to(dtype), candidates.to(dtype)
        factor = torch.as_tensor(scale, dtype=dtype, device=anchors.device).expand(len(anchors))
        height = max(1, _PAIRS // max(len(candidates), 1))
        parts: list[Tensor] = []
        for index, (rows, factors) in enumerate(zip(torch.split(anchors, height), torch.split(factor, height), strict=True)):
            at = slice(index * height, index * height + len(rows))
            chunk = (rows, candidates, factors, rule, at)
            parts.append(checkpoint(self._rows, *chunk, use_reentrant=False, preserve_rng_state=False))
        return torch.cat(parts) if parts else anchors.new_zeros(0)

    def extra_repr(self) -> str:
        """The mixture, for ``print``."""
        if not bool(self.fitted):
            return f"false_share={self.false_share:g}, not fitted"
        (a, b), (c, d) = self.shapes.tolist()
        return f"true: Beta({a:.3g}, {b:.3g}), false: Beta({c:.3g}, {d:.3g}) with share {float(self.shares[1]):.3g}"

    def _rows(self, anchors: Tensor, candidates: Tensor, factor: Tensor, rule: Rule, at: slice) -> Tensor:
        similarity = anchors @ candidates.T
        with torch.no_grad():
            out = _left_out(rule, at, similarity)
            count = (~out).sum(1)
            none = count == 0
            seen = similarity.detach()
            weight = self.log_posterior(seen).add_(_unit_interval(seen).log_()).masked_fill_(out, -torch.inf)
            weight.masked_fill_(none[:, None], 0.0)  # or their rows would be NaN
            shift = count.clamp(min=1).log().to(weight) - weight.logsumexp(1)
        total = (factor[:, None] * similarity + weight).logsumexp(1) + shift
        return torch.where(none, -torch.inf, total)


def _left_out(rule: Rule, at: slice, similarity: Tensor) -> Tensor:
    """Which pairs of these rows do not count, ``(rows, M)``."""
    out = torch.zeros_like(similarity, dtype=torch.bool)
    if rule.exclude is not None:
        out |= rule.exclude[at, None] == torch.arange(out.size(1), device=out.device)
    if rule.different is not None:
        out |= rule.different[0][at, None] == rule.different[1]
    if rule.same is not None:
        out |= rule.same[0][at, None] != rule.same[1]
    return out


def _unit_interval(similarity: Tensor) -> Tensor:
    return ((similarity + 1) / 2).clamp(_EDGE, 1 - _EDGE)


def _log_joint(x: Tensor, shapes: Tensor, shares: Tensor) -> Tensor:
    """``log share_c + log Beta(x; a_c, b_c)``, both components stacked in front."""
    log_x, log_rest = x.log(), torch.log1p(-x)
    parts = []
    for (a, b), share in zip(shapes.tolist(), shares.tolist(), strict=True):
        constant = math.log(share) + math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b)
        parts.append((a - 1) * log_x + (b - 1) * log_rest + constant)
    return torch.stack(parts)
