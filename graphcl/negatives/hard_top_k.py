"""Only the hardest negatives of each anchor."""

from __future__ import annotations

import torch
from torch import Tensor

from graphcl.errors import InputError
from graphcl.kernels import Rule, edge_dot
from graphcl.kernels.pair_tiles import PairTiles, working_type
from graphcl.kernels.pattern import Pattern
from graphcl.negatives.count import log_count


class HardTopK:
    """``log sum exp(l_ij)`` over the ``k`` most similar negatives ``j`` of each anchor; among equals, the first ones.

    Never above the exact value, within ``log(N_i / k)`` of it, and equal to it where ``k`` is all: a selection on purpose. An
    anchor with fewer negatives has all of them. Which ones are kept is a constant to the gradient, and only they get one.
    Time ``O(N M D + N k D)``, memory ``O((N + M) D + N k)`` and one workspace: the best of each block of candidates are
    merged into the best so far.

    Wang and Liu, 2021, https://arxiv.org/abs/2012.09740 (the hard contrastive loss). Differs in that
    a share is one of the anchor's own negatives, those that the rule leaves it.

    Args:
        k: Negatives kept, ``>= 1``.
        fraction: Share of an anchor's negatives that is kept instead, rounded up, in ``(0, 1]``.

    Raises:
        InputError: Both or neither given, one out of range; a rule that weights pairs.
    """

    def __init__(self, k: int | None = None, *, fraction: float | None = None) -> None:
        if (k is None) == (fraction is None):
            raise InputError(f"give either k, how many negatives are kept, or fraction, which share; got {k} and {fraction}")
        if k is not None and k < 1:
            raise InputError(f"k must be >= 1, the negatives kept of each anchor; got {k}")
        if fraction is not None and not 0 < fraction <= 1:
            raise InputError(f"fraction must be in (0, 1], the share of the negatives that is kept; got {fraction}")
        self.k, self.fraction = k, fraction

    def log_z(self, anchors: Tensor, candidates: Tensor, *, scale: float | Tensor, rule: Rule) -> Tensor:
        """Log-partition over the hardest.

        Shapes:
            anchors: ``(N, D)``; candidates: ``(M, D)``; returns: ``(N,)``.
        """
        if rule.clusters is not None:
            raise InputError("the hardest negatives count once each; a rule with clusterings weights them: use Exact or Meow")
        rule.check(len(anchors), len(candidates))
        dtype = working_type(anchors.dtype)
        anchors, candidates = anchors.to(dtype), candidates.to(dtype)
        with torch.no_grad():
            kept = self._hardest(anchors, candidates, rule)
        none = kept == len(candidates)
        pointers = torch.arange(0, kept.numel() + 1, kept.shape[1], device=kept.device)
        pairs = Pattern(pointers, kept.clamp(max=len(candidates) - 1).flatten(), len(candidates))
        factor = torch.as_tensor(scale, dtype=dtype, device=anchors.device).reshape(-1, 1)
        logits = factor * edge_dot(anchors, candidates, pairs).view_as(kept)
        return logits.masked_fill(none, -torch.inf).logsumexp(1)

    def log_count(self, anchors: Tensor, candidates: Tensor, rule: Rule) -> Tensor:
        """Log of how many negatives are kept.

        Shapes:
            anchors: ``(N, D)``; candidates: ``(M, D)``; returns: ``(N,)``.
        """
        return self._limits(anchors, candidates, rule).to(torch.float64).log()

    def _limits(self, anchors: Tensor, candidates: Tensor, rule: Rule) -> Tensor:
        count = log_count(anchors, candidates, rule).exp().round()
        if self.fraction is None:
            return count.clamp(max=self.k).long()
        return (count * self.fraction - 1e-9).ceil().clamp(min=0).long()  # 0.1 * 30 is a little more than 3

    def _hardest(self, anchors: Tensor, candidates: Tensor, rule: Rule) -> Tensor:
        """Positions of the kept candidates, ``M`` where an anchor has fewer.

        Shapes:
            returns: ``(N, k)`` int64.
        """
        limits = self._limits(anchors, candidates, rule)
        k, nobody = max(int(limits.max()), 1), len(candidates)
        best = anchors.new_full((len(anchors), k), -torch.inf)
        kept = torch.full((len(anchors), k), nobody, device=anchors.device)
        tiles = PairTiles(anchors, candidates, None, rule)
        for rows, columns in tiles:
            tile = tiles.product(rows, columns)
            tiles.leave_out(tile, rows, columns, -torch.inf)
            values, at = _top(tile, min(k, tile.shape[1]))
            at += columns.start
            if columns.start > 0 or values.shape[1] < k:
                values, at = torch.cat([best[rows], values], 1), torch.cat([kept[rows], at], 1)
                values, first = _top(values, k)
                at = at.gather(1, first)
            best[rows], kept[rows] = values, at
        kept.masked_fill_(best == -torch.inf, nobody)
        if self.fraction is not None:  # the shares of other anchors may be smaller than the largest
            by_value = best.sort(dim=1, descending=True, stable=True).indices
            kept = kept.gather(1, by_value).masked_fill_(torch.arange(k, device=kept.device) >= limits[:, None], nobody)
        return kept.sort(1).values

    def __repr__(self) -> str:
        return f"HardTopK({self.k if self.fraction is None else f'fraction={self.fraction:g}'})"


def _top(values: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The ``k`` largest of each row, where they stand, in the order of their places; the first ones among equals."""
    largest, at = values.topk(min(k + 1, values.shape[1]), dim=1)
    at = at[:, :k]
    if largest.shape[1] > k:  # topk keeps any of those that equal the last
        rows = ((largest[:, k] == largest[:, k - 1]) & (largest[:, k] > -torch.inf)).nonzero().squeeze(1)
        if len(rows):
            at[rows] = values[rows].sort(dim=1, descending=True, stable=True).indices[:, :k]
    at = at.sort(1).values
    return values.gather(1, at), at
