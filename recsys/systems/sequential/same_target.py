"""The fixed partner of a training row: the last one of its target that tells something else."""

from __future__ import annotations

import torch
from torch import Tensor

from graphcl.kernels import segment_sum
from graphcl.recsys.sequences import PrefixRows

ROWS = 65_536  # histories compared at a time


def last_other(rows: PrefixRows) -> Tensor:
    """For each row, the last row of the same target whose history differs, and itself where none does.

    Two candidates do for a target: its last row, and the last one that differs from that. Time ``O(E + R log R)`` for ``E``
    items in all histories, memory ``O(R)``.

    Shapes:
        returns: ``(R,)`` int64.
    """
    numbers = torch.arange(rows.num_rows)
    last = numbers.new_zeros(int(rows.target.max()) + 1).scatter_reduce(0, rows.target, numbers, "amax")
    newest = last.index_select(0, rows.target)
    differs = torch.cat([_differ(rows, part, newest.index_select(0, part)) for part in torch.split(numbers, ROWS)])
    # -1 where all histories of a target are the same.
    second = torch.full_like(last, -1).scatter_reduce(0, rows.target, torch.where(differs, numbers, -1), "amax")
    other = second.index_select(0, rows.target)
    return torch.where(differs, newest, torch.where(other >= 0, other, numbers))


def _differ(rows: PrefixRows, first: Tensor, second: Tensor) -> Tensor:
    """Which pairs of rows have different histories.

    Shapes:
        first, second: ``(N,)``; returns: ``(N,)`` bool.
    """
    one, other = rows.history(first), rows.history(second)
    unequal = one.lengths != other.lengths
    # Where lengths differ nothing has to be compared: such rows are met with themselves.
    other = rows.history(torch.where(unequal, first, second))
    wrong = (one.values != other.values).long()
    return unequal | (segment_sum(wrong, one.rows, one.num_rows) > 0)
