"""The rule of all candidates, told of some of them."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from graphcl.kernels import Rule


def drawn_rule(rule: Rule, index: Tensor) -> Rule:
    """The same rule for the columns ``candidates[index]``, which may repeat.

    ``exclude`` stays as it is: give the columns ``ids=index``, and it goes on to name candidates by their position.

    Args:
        rule: Speaks of all ``M`` candidates.
        index: Positions of the drawn ones.

    Shapes:
        index: ``(S,)`` int64 in ``0 .. M - 1``.
    """
    same, different, clusters = (
        None if pair is None else (pair[0], pair[1].index_select(0, index))
        for pair in (rule.same, rule.different, rule.clusters)
    )
    seen = None if rule.seen is None else _seen(*rule.seen, index)
    return replace(rule, same=same, different=different, clusters=clusters, seen=seen)


def _seen(crow: Tensor, col: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
    """Each listed column becomes the list of the places at which it was drawn."""
    ordered, place = index.sort(stable=True)
    first = torch.searchsorted(ordered, col.long())
    times = torch.searchsorted(ordered, col.long(), right=True) - first
    ends = torch.cat([times.new_zeros(1), times.cumsum(0)])
    entry = torch.arange(len(col), device=col.device).repeat_interleave(times)
    rank = torch.arange(len(entry), device=col.device) - ends.index_select(0, entry)
    return ends.index_select(0, crow.long()), place.index_select(0, first.index_select(0, entry) + rank)
