"""CCL-K: contrast under a condition, which weighs pairs by whether they share it."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn

from graphcl.errors import InputError
from graphcl.kernels import Columns, Rule, pair_lse
from graphcl.losses.anchors import anchor_mean, check_ids
from graphcl.losses.links import coupled
from graphcl.losses.pair_loss import MissingPositive, Symmetric
from graphcl.losses.temperature import check_temperature
from graphcl.losses.views import computing_views, full_precision, unit_rows

Form = Literal["fair", "weak"]


class CCLK(nn.Module):
    """Conditional contrastive learning: who shares the anchor's label is its negative, or its positive.

    ``w_i = 1 / (m_i + r)``, where ``m_i`` instances have the anchor's label and ``r`` is the regulariser; ``S_i`` is the sum of
    ``exp(s_ij / t)`` over the rows, in both views, of the *other* instances of that label. ``"fair"``:
    ``-s_ii / t + log( exp(s_ii / t) + (N - 1) w_i S_i )``, so that nothing is gained by telling labels apart; with clusters as
    labels these are hard negatives. ``"weak"``: ``-log( w_i S_i / (w_i S_i + T_i) )``, ``T_i`` the same sum over all rows but
    the anchor, so that rows of one label agree. Time ``O(N N D)``, twice that for ``"weak"``; memory ``O(N D)``.
    Tsai, Li, Ma, Zhao, Zhang, Morency and Salakhutdinov, 2022, https://arxiv.org/abs/2202.05458. Follows their code, where no
    instance conditions itself. Differs: conditions are discrete, for which ``(K + r I)^-1 K`` is ``1 / (m + r)`` on each block
    of equal labels, so nothing is solved or held; nothing is clamped.

    Args:
        temperature: Divides the similarity, ``> 0``.
        form: ``"fair"``, also for hard negatives, or ``"weak"``.
        regulariser: Of the conditional weights, ``>= 0``.
        missing_positive: Whether in the weak form an anchor alone with its label is an error or left out of the mean. In the
            fair form it has no negatives: its term is 0, and counts.
        symmetric: Mean or sum of both directions, or one.

    Shapes:
        z1, z2: ``(N, D)``, row ``i`` of both is one instance; labels: ``(N,)`` integers; weight: ``(N,)``; returns: scalar.

    Raises:
        InputError: Arguments out of range; shapes that differ, fewer than two rows, values that are not finite; no label that
            two instances share.
    """

    def __init__(
        self,
        temperature: float = 0.5,
        *,
        form: Form = "fair",
        regulariser: float = 0.01,
        missing_positive: MissingPositive = "error",
        symmetric: Symmetric = "mean",
    ) -> None:
        super().__init__()
        if form not in ("fair", "weak"):
            raise InputError(f"form must be 'fair', where equal labels are negatives, or 'weak', positives; got '{form}'")
        if not math.isfinite(regulariser) or regulariser < 0:
            raise InputError(f"regulariser must be a finite number >= 0, added to the size of a label; got {regulariser}")
        if missing_positive not in ("error", "skip"):
            raise InputError(f"missing_positive must be 'error' or 'skip'; got '{missing_positive}'")
        if symmetric not in ("mean", "sum", "off"):
            raise InputError(f"symmetric must be 'mean', 'sum' or 'off'; got '{symmetric}'")
        self.scale = 1.0 / check_temperature(temperature)
        self.form = form
        self.regulariser = regulariser
        self.missing_positive = missing_positive
        self.symmetric = symmetric

    def forward(self, z1: Tensor, z2: Tensor, *, labels: Tensor, weight: Tensor | None = None) -> Tensor:
        """The loss of two views.

        Args:
            z1: First view.
            z2: Second view.
            labels: The condition of each instance: a sensitive attribute, a cluster, a tag.
            weight: Of the instances in a weighted mean, ``>= 0``; all equal when ``None``.
        """
        z1, z2 = computing_views(z1, z2)
        check_ids("labels", labels, len(z1), differ=False)
        _, classes, sizes = torch.unique(labels, return_inverse=True, return_counts=True)
        size = sizes.index_select(0, classes)
        has = self._with_partner(size, labels)
        with full_precision(z1):
            u1, u2 = unit_rows(z1), unit_rows(z2)
            log_weight = -(size.to(u1.dtype) + self.regulariser).log()
            terms = self._one_way(u1, u2, classes, log_weight, size == 1)
            if self.symmetric != "off":
                terms = terms + self._one_way(u2, u1, classes, log_weight, size == 1)
            loss = anchor_mean(terms, weight, has)
            return loss / 2 if self.symmetric == "mean" else loss

    def extra_repr(self) -> str:
        """Temperature and form, for ``print``."""
        options = f"form={self.form!r}, regulariser={self.regulariser:g}, symmetric={self.symmetric!r}"
        return f"temperature={1 / self.scale:g}, {options}"

    def _with_partner(self, size: Tensor, labels: Tensor) -> Tensor | None:
        shared = size > 1
        if not bool(shared.any()):
            raise InputError("all labels differ, so no pair meets a condition; sample at least two instances of a label")
        if self.form == "fair" or bool(shared.all()):
            return None
        if self.missing_positive == "error":
            row = int((~shared).nonzero()[0])
            raise InputError(
                f"row {row} is the only one with label {int(labels[row])}, so it has no positive; sample at least two of each "
                "label, or leave such rows out: missing_positive='skip'"
            )
        return shared

    def _one_way(self, anchors: Tensor, others: Tensor, classes: Tensor, log_weight: Tensor, alone: Tensor) -> Tensor:
        itself = torch.arange(len(anchors), device=anchors.device)
        own, other = Columns(anchors), Columns(others)
        partners = Rule(exclude=itself, same=(classes, classes))
        # Two empty sums have no gradient as logarithms, so they are joined as something else.
        sums = (pair_lse(anchors, view, scale=self.scale, rule=partners).masked_fill(alone, 0.0) for view in (own, other))
        conditional = torch.logaddexp(*sums).masked_fill(alone, -torch.inf) + log_weight
        if self.form == "fair":
            pull = self.scale * (anchors * others).sum(1)
            return coupled(pull, conditional + math.log(len(anchors) - 1))
        rest = pair_lse(anchors, own, scale=self.scale, rule=Rule(exclude=itself))
        return coupled(conditional, torch.logaddexp(rest, pair_lse(anchors, other, scale=self.scale)))
