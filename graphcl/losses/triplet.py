"""Triplets by sorting: every anchor's hinge over all its positives and negatives, never written out."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn

from graphcl.errors import InputError
from graphcl.losses.binary import checked

Distance = Literal["euclidean", "squared"]
Mining = Literal["all", "hard", "semi_hard"]
Over = Literal["all", "active"]


class Triplet(nn.Module):
    """A positive should be nearer than a negative, by a margin.

    Mean of ``[d(i, p) - d(i, n) + m]_+`` over triplets of an anchor, a positive and a negative. Each row of distances is sorted
    once; how many negatives a positive is beaten by, and the reverse, are then two searches, and these counts are the weights
    of the distances, in the value and in the gradient. Time ``O(N M (D + log M))``, memory ``O(N M)``; the ``N M^2``
    triplets are never formed. Anchors that lack a positive or a negative make no triplet and are left out.

    Weinberger and Saul, 2009, https://jmlr.org/papers/v10/weinberger09a.html; semi-hard mining by Schroff, Kalenichenko and
    Philbin, 2015, https://arxiv.org/abs/1503.03832; hardest pairs by Hermans, Beyer and Leibe, 2017,
    https://arxiv.org/abs/1703.07737. Differs: exact over all triplets where these sample; every semi-hard triplet counts, not
    one per pair; the root of a zero distance gets gradient zero.

    Args:
        margin: ``m``, ``> 0``.
        distance: ``"euclidean"`` or its square.
        mining: Every triplet; each anchor's farthest positive with its nearest negative; or those whose negative is farther
            than the positive, yet within the margin.
        over: The mean is over all triplets there are (each anchor's one, under ``"hard"``), or over those that count: with a
            hinge above zero, and within the band under ``"semi_hard"``. None of them makes the loss 0.
        reduce_first: Another loss, one hinge per anchor: ``[mean_p d - mean_n d + m]_+``. Goes with ``mining="all"``.

    Shapes:
        anchors: ``(N, D)``; candidates: ``(M, D)``; labels: ``(N,)``; candidate_labels: ``(M,)``; returns: scalar, ``>= 0``.

    Raises:
        InputError: Wrong shapes, values that are not finite, or no triplet at all.
    """

    def __init__(
        self,
        *,
        margin: float = 1.0,
        distance: Distance = "euclidean",
        mining: Mining = "all",
        over: Over = "all",
        reduce_first: bool = False,
    ) -> None:
        super().__init__()
        if not (math.isfinite(margin) and margin > 0):
            raise InputError(f"margin must be > 0, or coinciding points would satisfy the loss; got {margin}")
        if distance not in ("euclidean", "squared"):
            raise InputError(f"distance must be 'euclidean' or 'squared'; got '{distance}'")
        if mining not in ("all", "hard", "semi_hard"):
            raise InputError(f"mining must be 'all', 'hard' or 'semi_hard'; got '{mining}'")
        if over not in ("all", "active"):
            raise InputError(f"over must be 'all' or 'active'; got '{over}'")
        if reduce_first and mining != "all":
            raise InputError(f"reduce_first averages all distances of an anchor, so mining must be 'all'; got '{mining}'")
        self.margin, self.distance, self.mining = margin, distance, mining
        self.over, self.reduce_first = over, reduce_first

    def forward(
        self, anchors: Tensor, candidates: Tensor, labels: Tensor | None = None, candidate_labels: Tensor | None = None
    ) -> Tensor:
        """The loss of anchors among candidates.

        Called with one tensor twice, ``loss(z, z, labels)``, no row is its own positive.

        Args:
            anchors: Whose neighbourhood is arranged.
            candidates: Positives and negatives.
            labels: Equal labels are positives, different ones negatives; row ``i`` pairs with row ``i`` when ``None``.
            candidate_labels: The candidates' labels; the anchors' when ``None``.
        """
        positive, negative = _masks(anchors, candidates, labels, candidate_labels)
        both = positive.any(1) & negative.any(1)
        if not bool(both.any()):
            raise InputError(
                "no anchor has both a positive and a negative, so there is no triplet: "
                "draw batches with at least two classes, and two rows of one of them"
            )
        positive, negative = positive[both], negative[both]
        with torch.autocast(anchors.device.type, enabled=False):
            d = _squared(checked("anchors", anchors)[both], checked("candidates", candidates))
            d = _safe_root(d) if self.distance == "euclidean" else d
            if self.reduce_first:
                hinges = (_row_mean(d, positive) - _row_mean(d, negative) + self.margin).clamp(min=0)
            elif self.mining == "hard":
                farthest = d.masked_fill(~positive, -torch.inf).amax(1)
                nearest = d.masked_fill(~negative, torch.inf).amin(1)
                hinges = (farthest - nearest + self.margin).clamp(min=0)
            else:
                return self._sorted(d, positive, negative)
        return hinges.sum() / ((hinges > 0).sum().clamp(min=1) if self.over == "active" else len(hinges))

    def extra_repr(self) -> str:
        """Margin, distance and what is averaged, for ``print``."""
        kind = "reduce_first" if self.reduce_first else f"mining={self.mining}"
        return f"margin={self.margin:g}, distance={self.distance}, {kind}, over={self.over}"

    def _sorted(self, d: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
        """The mean of all or of semi-hard hinges, as a weighted sum of distances whose weights are counts."""
        fixed, partners = d.detach(), positive.sum(1, keepdim=True)
        reach = fixed + self.margin
        near = fixed.masked_fill(~negative, torch.inf).sort(1).values
        own = fixed.masked_fill(~positive, torch.inf).sort(1).values
        beaten = torch.searchsorted(near, reach)  # negatives with d_n < d_p + m, for each p
        beats = partners - torch.searchsorted(own + self.margin, fixed, right=True)  # positives with d_p + m > d_n
        if self.mining == "semi_hard":
            beaten = beaten - torch.searchsorted(near, fixed, right=True)  # less those with d_n <= d_p
            beats = beats - (partners - torch.searchsorted(own, fixed))  # less those with d_p >= d_n
        beaten, beats = beaten * positive, beats * negative
        # In each row both counts have one sum, so a shift changes nothing but the digits that cancel.
        shifted = d - fixed.mean(1, keepdim=True)
        active = beaten.sum()
        count = active.clamp(min=1) if self.over == "active" else (positive.sum(1) * negative.sum(1)).sum()
        return (((beaten - beats) * shifted).sum() + self.margin * active.to(d.dtype)) / count


def _masks(
    anchors: Tensor, candidates: Tensor, labels: Tensor | None, candidate_labels: Tensor | None
) -> tuple[Tensor, Tensor]:
    if anchors.ndim != 2 or candidates.ndim != 2 or anchors.shape[1] != candidates.shape[1]:
        raise InputError(
            f"anchors (N, D) and candidates (M, D) must share D; got {tuple(anchors.shape)} and {tuple(candidates.shape)}"
        )
    if anchors.dtype != candidates.dtype:
        raise InputError(f"anchors and candidates must have one dtype; got {anchors.dtype} and {candidates.dtype}")
    if labels is None:
        if anchors is candidates or candidate_labels is not None or len(anchors) != len(candidates):
            raise InputError(
                "without labels, row i of two views of equal length pairs with row i; "
                f"got {len(anchors)} anchors and {len(candidates)} candidates. Give labels, of both where they differ."
            )
        labels = torch.arange(len(anchors), device=anchors.device)
    theirs = labels if candidate_labels is None else candidate_labels
    if labels.shape != anchors.shape[:1] or theirs.shape != candidates.shape[:1]:
        raise InputError(
            f"there must be one label per row; got labels {tuple(labels.shape)} and {tuple(theirs.shape)} "
            f"for {len(anchors)} anchors and {len(candidates)} candidates"
        )
    same = labels.unsqueeze(1) == theirs
    positive, negative = same, ~same
    if anchors is candidates:
        positive = positive & ~torch.eye(len(anchors), dtype=torch.bool, device=anchors.device)
    return positive, negative


def _squared(a: Tensor, b: Tensor) -> Tensor:
    """Squared distances by expansion, around the common mean; what is below its rounding error is zero, without gradient.

    Shapes:
        a: ``(N, D)``; b: ``(M, D)``; returns: ``(N, M)``.
    """
    centre = torch.cat([a.detach(), b.detach()]).mean(0)
    a, b = a - centre, b - centre
    sizes = a.square().sum(1, keepdim=True) + b.square().sum(1)
    square = sizes - 2 * a @ b.T
    noise = 4 * torch.finfo(a.dtype).eps * sizes.detach()
    return square.masked_fill(square.detach() <= noise, 0.0)


def _safe_root(square: Tensor) -> Tensor:
    zero = square == 0
    return square.masked_fill(zero, 1.0).sqrt().masked_fill(zero, 0.0)


def _row_mean(d: Tensor, mask: Tensor) -> Tensor:
    return (d * mask).sum(1) / mask.sum(1)
