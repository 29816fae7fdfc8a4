"""A penalty on views that are too easy to tell apart."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor

from graphcl.errors import unknown_name
from graphcl.losses.views import check_pairs, full_precision

MarginForm = Literal["rows", "sets"]
_CELLS = 2**20  # similarities held at once


def margin_penalty(first: Tensor, second: Tensor, *, form: MarginForm = "rows") -> Tensor:
    """Positives come down to the hardest negative, negatives come up to the larger of the two.

    Over the ``2 B`` rows of both views, with ``p_r`` the inner product of a row with its other view and ``n_rk`` those with the
    ``2 B - 2`` other rows, ``mean_r [p_r - lo_r]_+ + mean_rk [hi_r - n_rk]_+``. For ``"rows"``, ``lo_r`` and ``hi_r`` are the
    smaller and the larger of ``p_r`` and ``max_k n_rk``; for ``"sets"``, those of ``min_r p_r`` and ``max_rk n_rk``, the same
    for all rows. No threshold lies on the wrong side of what it is compared with, so both means are linear, and only the
    hardest negatives need all pairs. ``>= 0``, and 0 where all negatives are equal and no positive exceeds them. Time ``O(B B
    D)``, memory ``O(B D)``.

    Qin et al., 2023 (MCLRec), https://arxiv.org/abs/2304.07763: ``"rows"`` is what its code does, ``"sets"`` what it prints.

    Shapes:
        first, second: ``(B, D)``; returns: scalar.

    Raises:
        InputError: An unknown form; shapes that differ, fewer than two rows, values that are not finite.
    """
    if form not in get_args(MarginForm):
        raise unknown_name("form of the margin penalty", form, get_args(MarginForm))
    check_pairs(first, second)
    dtype = torch.promote_types(first.dtype, torch.float32)
    with full_precision(first):
        rows, partners = (torch.cat(views).to(dtype) for views in ((first, second), (second, first)))
        positive = (rows * partners).sum(1)
        hardest = (rows * rows.index_select(0, _hardest(rows.detach()))).sum(1)
        others = (rows * (rows.sum(0) - rows - partners)).sum(1) / (len(rows) - 2)
        if form == "rows":
            return (2 * (positive - hardest).relu() + hardest - others).mean()
        return (positive - others).mean() + (positive.min() - hardest.max()).abs()


def _hardest(rows: Tensor) -> Tensor:
    """The most similar row that is neither the row itself nor its partner, half of the rows away.

    Shapes:
        rows: ``(2 B, D)``; returns: ``(2 B,)``.
    """
    total = len(rows)
    found = []
    for at in torch.split(torch.arange(total, device=rows.device), max(1, _CELLS // total)):
        logits = rows.index_select(0, at) @ rows.T
        mates = torch.stack([at, (at + total // 2) % total], 1)
        found.append(logits.scatter_(1, mates, -torch.inf).argmax(1))
    return torch.cat(found)
