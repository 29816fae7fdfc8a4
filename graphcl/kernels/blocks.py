"""Which pairs are met at all: rows of anchors by segments of candidates."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from graphcl.errors import InputError


@dataclass(frozen=True)
class Blocks:
    """Block ``k`` holds the pairs of the rows it lists with a segment of neighbouring columns.

    Pairs in no block do not count, pairs in two blocks count twice. Candidates that lie anywhere are sorted first, so that
    those of a block are neighbours.

    Args:
        row_pointers: Block ``k`` lists ``rows[row_pointers[k] : row_pointers[k + 1]]``; rising from 0 to ``E``.
        rows: Anchors, ascending inside each block, none twice.
        column_pointers: Block ``k`` covers the columns ``column_pointers[k] .. column_pointers[k + 1] - 1``; rising.

    Shapes:
        row_pointers, column_pointers: ``(B + 1,)``; rows: ``(E,)``; all int64.
    """

    row_pointers: Tensor
    rows: Tensor
    column_pointers: Tensor

    def check(self, num_rows: int, num_columns: int) -> None:
        """Refuses blocks that do not speak of these rows and columns.

        Args:
            num_rows: ``N``.
            num_columns: ``M``.

        Raises:
            InputError: Not integers, pointers that do not rise, rows or columns out of range, rows not ascending in a block.
        """
        for name, index in (
            ("row_pointers", self.row_pointers),
            ("rows", self.rows),
            ("column_pointers", self.column_pointers),
        ):
            if index.dtype != torch.int64 or index.ndim != 1:
                raise InputError(f"{name} of blocks must be one-dimensional int64; got {tuple(index.shape)} of {index.dtype}")
        if len(self.row_pointers) != len(self.column_pointers) or len(self.row_pointers) == 0:
            raise InputError(
                f"row_pointers and column_pointers must both have one entry more than there are blocks; got "
                f"{len(self.row_pointers)} and {len(self.column_pointers)}"
            )
        _check_pointers("row_pointers", self.row_pointers, len(self.rows))
        _check_pointers("column_pointers", self.column_pointers, num_columns)
        if int(self.row_pointers[0]) != 0 or int(self.row_pointers[-1]) != len(self.rows):
            raise InputError(
                f"row_pointers must rise from 0 to the number of listed rows ({len(self.rows)}); got "
                f"{int(self.row_pointers[0])} to {int(self.row_pointers[-1])}"
            )
        if len(self.rows) == 0:
            return
        if int(self.rows.min()) < 0 or int(self.rows.max()) >= num_rows:
            raise InputError(f"blocks must list rows in [0, {num_rows}); got {int(self.rows.min())} to {int(self.rows.max())}")
        rises = self.rows[1:] > self.rows[:-1]
        starts = self.row_pointers[1:-1]
        rises[starts[(starts > 0) & (starts < len(self.rows))] - 1] = True  # from one block to the next they may fall
        if not bool(rises.all()):
            raise InputError("the rows of a block must be ascending, none listed twice: sort them, or use torch.unique")


def _check_pointers(name: str, pointers: Tensor, end: int) -> None:
    if bool((pointers[1:] < pointers[:-1]).any()) or int(pointers[0]) < 0 or int(pointers[-1]) > end:
        raise InputError(
            f"{name} of blocks must rise and stay in 0 .. {end}; got {int(pointers[0])} to {int(pointers[-1])}"
            f"{' with a fall in between' if bool((pointers[1:] < pointers[:-1]).any()) else ''}"
        )
