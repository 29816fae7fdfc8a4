"""How many negatives an anchor has."""

from __future__ import annotations

import torch
from torch import Tensor

from graphcl.kernels import Columns, Rule, pair_lse


def log_count(anchors: Tensor, candidates: Tensor, rule: Rule) -> Tensor:
    """Log of how many candidates, by weight, count as negatives of each anchor; ``-inf`` for none.

    From counts of ids, ``O((N + M) log M)``. ``rule.clusters``, ``rule.seen``, or ``same`` together with ``different`` need a
    sweep of width 1.

    Args:
        anchors: As many as there are; their values do not matter.
        candidates: Likewise.
        rule: Which pairs count.

    Shapes:
        anchors: ``(N, D)``; candidates: ``(M, D)``; returns: ``(N,)``.
    """
    num_rows, num_columns = len(anchors), len(candidates)
    if rule.clusters is not None or rule.seen is not None or (rule.same is not None and rule.different is not None):
        nowhere = anchors.new_zeros(num_rows, 1)
        return pair_lse(nowhere, Columns(candidates.new_zeros(num_columns, 1)), scale=0.0, rule=rule)
    count = torch.full((num_rows,), num_columns, device=anchors.device)
    if rule.same is not None:
        count = _equal(*rule.same)
    elif rule.different is not None:
        count = count - _equal(*rule.different)
    if rule.exclude is not None:
        there = (rule.exclude >= 0) & (rule.exclude < num_columns)
        at = rule.exclude.clamp(0, num_columns - 1)
        if rule.same is not None:
            there = there & (rule.same[0] == rule.same[1].index_select(0, at))
        elif rule.different is not None:
            there = there & (rule.different[0] != rule.different[1].index_select(0, at))
        count = count - there.long()
    return count.to(torch.float64).log()


def _equal(rows: Tensor, columns: Tensor) -> Tensor:
    """How many columns carry the id of each row."""
    ordered = columns.sort().values
    return torch.searchsorted(ordered, rows, right=True) - torch.searchsorted(ordered, rows)
