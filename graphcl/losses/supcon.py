"""SupCon: rows of one label agree, all others differ."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from graphcl.errors import InputError
from graphcl.kernels import Columns, Rule, pair_lse, segment_sum
from graphcl.losses.anchors import anchor_mean, check_ids
from graphcl.losses.temperature import check_temperature
from graphcl.losses.views import computing_views, full_precision, unit_rows

Positives = Literal["out", "in"]
MissingPositive = Literal["error", "skip"]


class SupCon(nn.Module):
    """Cross-entropy of finding the rows of one's label among all other rows; of both views, where there are two.

    ``"out"``: ``-mean_{p in P_i} s_ip / t + log sum_{j != i} exp(s_ij / t)``; ``"in"`` has the logarithm of the mean of the
    exponentials in place of the mean, and is never larger. Time ``O(N N D)``, twice that for ``"in"``; memory ``O(N D)``.
    Khosla et al., 2020, https://arxiv.org/abs/2004.11362. Differs: the loss is not multiplied by a ratio of temperatures; the
    positives of ``"out"`` come from sums over labels, no mask is held.

    Args:
        temperature: Divides the similarity, ``> 0``.
        positives: Whether the mean over positives is taken outside or inside the logarithm.
        missing_positive: Whether an anchor alone with its label is an error or left out of the mean.

    Shapes:
        z1, z2: ``(N, D)``, row ``i`` of both is one instance; labels: ``(N,)`` integers; weight: ``(N,)``; returns: scalar.

    Raises:
        InputError: Arguments out of range; shapes that differ, fewer than two rows, values that are not finite; no positive.
    """

    def __init__(
        self, temperature: float = 0.1, *, positives: Positives = "out", missing_positive: MissingPositive = "error"
    ) -> None:
        super().__init__()
        if positives not in ("out", "in"):
            raise InputError(f"positives must be 'out' or 'in', where the mean over them is taken; got '{positives}'")
        if missing_positive not in ("error", "skip"):
            raise InputError(f"missing_positive must be 'error' or 'skip'; got '{missing_positive}'")
        self.scale = 1.0 / check_temperature(temperature)
        self.positives = positives
        self.missing_positive = missing_positive

    def forward(
        self, z1: Tensor, z2: Tensor | None = None, *, labels: Tensor | None = None, weight: Tensor | None = None
    ) -> Tensor:
        """The loss of two views, or of one set of rows.

        Args:
            z1: First view, or the only one.
            z2: Second view.
            labels: Of the instances; ``None`` gives each instance its own, which needs two views.
            weight: Of the instances in a weighted mean, ``>= 0``; all equal when ``None``.
        """
        if labels is None and z2 is None:
            raise InputError("one set of rows has no positives without labels; give labels, or a second view")
        z1, second = computing_views(z1, z1 if z2 is None else z2)
        n, z = len(z1), z1
        labels = torch.arange(n, device=z1.device) if labels is None else check_ids("labels", labels, n, differ=False)
        if z2 is not None:
            z, labels = torch.cat([z1, second]), torch.cat([labels, labels])
            weight = None if weight is None else torch.cat([weight, weight])
        _, classes, sizes = torch.unique(labels, return_inverse=True, return_counts=True)
        partners = sizes.index_select(0, classes) - 1
        has = self._with_positive(partners, labels)
        with full_precision(z):
            u = unit_rows(z)
            columns, itself = Columns(u), torch.arange(len(u), device=u.device)
            log_z = pair_lse(u, columns, scale=self.scale, rule=Rule(exclude=itself))
            count = partners.clamp(min=1).to(u.dtype)
            if self.positives == "out":
                others = segment_sum(u, classes, len(sizes)).index_select(0, classes) - u
                pull = self.scale * (u * others).sum(1) / count
            else:
                own = Rule(exclude=itself, same=(classes, classes))
                pull = pair_lse(u, columns, scale=self.scale, rule=own) - count.log()
            return anchor_mean(log_z - pull, weight, has)

    def extra_repr(self) -> str:
        """Temperature and options, for ``print``."""
        return f"temperature={1 / self.scale:g}, positives={self.positives!r}, missing_positive={self.missing_positive!r}"

    def _with_positive(self, partners: Tensor, labels: Tensor) -> Tensor | None:
        has = partners > 0
        if bool(has.all()):
            return None
        if not bool(has.any()):
            raise InputError("no anchor has a positive: all labels differ; sample rows that share one, or give a second view")
        if self.missing_positive == "error":
            row = int((~has).nonzero()[0])
            raise InputError(
                f"row {row} is the only one with label {int(labels[row])}, so it has no positive; sample at least two rows of "
                "each label, give a second view, or leave such rows out: missing_positive='skip'"
            )
        return has
