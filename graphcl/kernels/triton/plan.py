"""Listed blocks of pairs as work for programs: which rows each owns, and which blocks it streams."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from graphcl.kernels.blocks import Blocks

Plan = dict[str, Any]


def row_plan(blocks: Blocks, num_rows: int, height: int) -> Plan:
    """Tiles of rows, and for each the blocks that any of its rows is listed in.

    A pair of a row and a block that it is not in is met and left out, so rows that share their first block are put together:
    work is least where rows that are near to each other list the same blocks. ``O(E log E)`` for ``E`` listed rows.

    Args:
        blocks: The blocks, checked.
        num_rows: ``N``.
        height: Rows of a tile.

    Shapes:
        tile_first, tile_last: ``(T,)``; own_list: ``(N,)``; span_pointers: ``(T + 1,)``; spans: ``(S,)`` blocks;
            span_first, span_last: ``(B,)`` columns; member_pointers: ``(N + 1,)``; members: ``(E,)`` blocks; all int32.
    """
    rows, device = blocks.rows, blocks.rows.device
    num_blocks = len(blocks.row_pointers) - 1
    block = torch.arange(num_blocks, device=device).repeat_interleave(blocks.row_pointers.diff(), output_size=len(rows))
    by_row = torch.argsort(rows, stable=True)  # blocks stay ascending inside each row
    members = block.index_select(0, by_row)
    listed = torch.bincount(rows, minlength=num_rows)
    pointers = _pointers(listed)
    start = pointers[:-1].clamp(max=max(len(rows) - 1, 0))
    first = members.index_select(0, start) if len(rows) else listed
    order = torch.argsort(torch.where(listed > 0, first, num_blocks), stable=True)
    tile = torch.empty_like(order).index_copy_(0, order, torch.arange(num_rows, device=device) // height)
    num_tiles = -(-num_rows // height)
    met = torch.unique(tile.index_select(0, rows) * max(num_blocks, 1) + block)  # sorted: by tile, then by block
    spans = met % max(num_blocks, 1)
    begin = torch.arange(num_tiles, device=device) * height
    return _as_int32(
        tile_first=begin,
        tile_last=(begin + height).clamp(max=num_rows),
        own_list=order,
        other_list=None,
        span_pointers=_pointers(torch.bincount(met // max(num_blocks, 1), minlength=num_tiles)),
        spans=spans,
        span_first=blocks.column_pointers[:-1],
        span_last=blocks.column_pointers[1:],
        member_pointers=pointers,
        members=members,
    )


def column_plan(blocks: Blocks, height: int) -> Plan:
    """Tiles of the columns of one block each, which all meet the rows that the block lists.

    Args:
        blocks: The blocks, checked.
        height: Columns of a tile.

    Shapes:
        tile_first, tile_last: ``(T,)``; span_pointers: ``(T + 1,)``; spans: ``(T,)`` blocks; span_first, span_last: ``(B,)``
            positions in other_list, ``(E,)`` rows; all int32.
    """
    device = blocks.rows.device
    widths = blocks.column_pointers.diff()
    tiles = -(-widths // height)
    block = torch.arange(len(widths), device=device).repeat_interleave(tiles)
    inside = torch.arange(len(block), device=device) - _pointers(tiles)[:-1].index_select(0, block)
    begin = blocks.column_pointers[:-1].index_select(0, block) + inside * height
    return _as_int32(
        tile_first=begin,
        tile_last=torch.minimum(begin + height, blocks.column_pointers[1:].index_select(0, block)),
        own_list=None,
        other_list=blocks.rows,
        span_pointers=torch.arange(len(block) + 1, device=device),
        spans=block,
        span_first=blocks.row_pointers[:-1],
        span_last=blocks.row_pointers[1:],
        member_pointers=None,
        members=None,
    )


def _pointers(counts: Tensor) -> Tensor:
    """Where each begins, and the end of the last.

    Shapes:
        counts: ``(K,)``; returns: ``(K + 1,)``.
    """
    return torch.cat([counts.new_zeros(1), counts.cumsum(0)])


def _as_int32(**parts: Tensor | None) -> Plan:
    return {name: None if part is None else part.int().contiguous() for name, part in parts.items()}
