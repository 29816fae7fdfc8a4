"""Long rows cut into stretches of bounded length, to be reduced again: balanced work whatever the degrees are.

Programs that walk one row each would wait for the longest: in a power-law graph of ten million entries that is one program with
a hundred thousand. Cutting all entries into equal shares (merge-path) is balanced too, but then every program searches the
pointers for its rows and ends in the middle of one, so that nearly every row is touched by a second pass. Here only rows above
``longest`` are: in a graph of mean degree 10 that is a few in a thousand.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from graphcl.kernels.weak_cache import WeakTensorCache


@dataclass(frozen=True)
class Level:
    """One launch: which entries each program reduces, and where its result goes.

    Args:
        begin: Where each stretch of entries begins; it ends where the next begins. ``None`` where stretches are the rows that
            the plan was asked for.
        target: The row of the result that a stretch is alone in, else ``-1 - k`` for place ``k`` among the partial results,
            which are the entries of the next level; ``None`` where stretch ``i`` is row ``i``.
        num_partial: How many of these there are.

    Shapes:
        begin: ``(P + 1,)``; target: ``(P,)`` int64.
    """

    begin: Tensor | None
    target: Tensor | None
    num_partial: int


_PLANS: WeakTensorCache[tuple[Level, ...]] = WeakTensorCache()


def row_plan(crow: Tensor, longest: int) -> tuple[Level, ...]:
    """The launches that reduce each row, kept as long as the pointers live: one, and one more for each power of ``longest``.

    Time and memory ``O(N + E / longest)``.

    Args:
        crow: Row pointers, ascending.
        longest: Entries of a stretch, ``>= 2``.

    Shapes:
        crow: ``(N + 1,)``.
    """
    return _PLANS.get((crow,), longest, lambda: _find(crow, longest))


def _find(crow: Tensor, longest: int) -> tuple[Level, ...]:
    levels: list[Level] = []
    pointers, rows = crow, None
    while True:
        parts = (pointers.diff().long() + longest - 1).div(longest, rounding_mode="floor").clamp_(min=1)
        most = int(parts.max()) if len(parts) else 1
        if most == 1:
            levels.append(Level(pointers if levels else None, rows, 0))
            return tuple(levels)
        names = torch.arange(len(parts), device=crow.device) if rows is None else rows
        last = parts.cumsum(0)
        count = int(last[-1])
        row = torch.arange(len(parts), device=crow.device).repeat_interleave(parts, output_size=count)
        inside = torch.arange(count, device=crow.device) - (last - parts).index_select(0, row)
        begin = pointers.new_empty(count + 1)
        begin[:-1] = pointers[:-1].index_select(0, row) + inside * longest
        begin[-1:] = pointers[-1:]
        several = parts > 1
        of_many = several.index_select(0, row)
        place = of_many.cumsum(0)
        target = torch.where(of_many, -place, names.index_select(0, row))
        left = parts[several]
        levels.append(Level(begin, target, int(left.sum())))
        pointers = torch.cat([left.new_zeros(1), left.cumsum(0)])
        rows = names[several]
