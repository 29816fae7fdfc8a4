"""Which pairs count, as the kernels take it: small integers, sorted lists, and plans of blocks."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from graphcl.kernels.blocks import Blocks
from graphcl.kernels.rule import Ids, Rule
from graphcl.kernels.triton.plan import column_plan, row_plan
from graphcl.kernels.triton.sizes import Sizes, splits

_NO_PLAN = (
    "tile_first", "tile_last", "own_list", "other_list", "span_pointers", "spans",
    "span_first", "span_last", "member_pointers", "members",
)  # fmt: skip


class Selection:
    """The rule and the blocks of one sweep, seen from rows or from columns.

    Args:
        num_rows: ``N``.
        num_columns: ``M``.
        ids: Names of the columns, ``None`` for their positions.
        rule: Which pairs count, checked.
        blocks: Which pairs are met, checked; all when ``None``.
        device: Where the sweep runs.

    Shapes:
        ids: ``(M,)``.
    """

    def __init__(
        self, num_rows: int, num_columns: int, ids: Tensor | None, rule: Rule, blocks: Blocks | None, device: torch.device
    ) -> None:
        self.num_rows, self.num_columns, self.blocks = num_rows, num_columns, blocks
        apart = [] if rule.different is None else [rule.different]
        if rule.exclude is not None:
            names = torch.arange(num_columns, device=device) if ids is None else ids
            apart.append((rule.exclude, names))
        same = [] if rule.same is None else [rule.same]
        left, right = ((), ()) if rule.clusters is None else (part.unbind(1) for part in rule.clusters)
        clusters = list(zip(left, right, strict=True))
        packed = [_small(pair) for pair in (*apart, *same, *clusters)]
        self.ids = tuple(torch.stack(side, 1) for side in zip(*packed, strict=True)) if packed else (None, None)
        self.parts = {"APART": len(apart), "SAME": len(same), "CLUSTERS": len(clusters)}
        self.seen = None if rule.seen is None else _sorted_lists(rule.seen, num_rows, num_columns)

    def arguments(self, columns: bool, sizes: Sizes) -> tuple[dict[str, Any], tuple[int, int]]:
        """Arguments of the kernels, and how many tiles there are and parts of what each streams.

        Args:
            columns: Whether programs own columns, else rows.
            sizes: Of their tiles.
        """
        own, other = (self.num_columns, self.num_rows) if columns else (self.num_rows, self.num_columns)
        plan: dict[str, Any] = dict.fromkeys(_NO_PLAN)
        length, grid = 0, (-(-own // sizes.own), 1)
        if self.blocks is None:
            parts, length = splits(own, other, sizes)
            grid = (grid[0], parts)
        else:
            plan = column_plan(self.blocks, sizes.own) if columns else row_plan(self.blocks, own, sizes.own)
            grid = (len(plan["tile_first"]), 1)
        own_ids, other_ids = self.ids[::-1] if columns else self.ids
        seen, pointers = None, None
        if self.seen is not None:
            keys = self.seen[columns]
            seen = (keys % max(other, 1)).int()
            # Where the list of each own row begins in each part.
            begin = torch.arange(grid[1] + 1, device=keys.device) * (length or other)
            begin[-1] = other
            pointers = torch.searchsorted(keys, begin[:, None] + torch.arange(own, device=keys.device) * other)
        return {
            **plan,
            **self.parts,
            "num_own": own,
            "num_other": other,
            "length": length,
            "own_ids": own_ids,
            "other_ids": other_ids,
            "seen": seen,
            "seen_pointers": pointers,
            "SEEN": seen is not None,
            "LISTED": self.blocks is not None,
            "OWN_LIST": plan["own_list"] is not None,
            "OTHER_LIST": plan["other_list"] is not None,
            "MEMBERS": plan["members"] is not None,
        }, grid


def _small(pair: Ids) -> Ids:
    """The same ids in 32 bits, equal where they were: half as much to load and to compare.

    Shapes:
        pair: ``(N,)`` and ``(M,)``; returns: the same.
    """
    left, right = pair
    both = torch.cat([left.long(), right.long()])
    if len(both):
        least, most = (int(bound) for bound in both.aminmax())
        both = both - least if most - least < 2**31 else torch.unique(both, return_inverse=True)[1]
    both = both.int()
    return both[: len(left)], both[len(left) :]


def _sorted_lists(seen: Ids, num_rows: int, num_columns: int) -> tuple[Tensor, Tensor]:
    """Listed pairs as ``row * M + column`` in ascending order, and as ``column * N + row`` in ascending order.

    Shapes:
        seen: ``((N + 1,), (E,))``; returns: ``(E,)`` and ``(E,)`` int64.
    """
    crow, col = (part.long() for part in seen)
    row = torch.arange(num_rows, device=col.device).repeat_interleave(crow.diff(), output_size=len(col))
    return (row * num_columns + col).sort().values, (col * num_rows + row).sort().values
