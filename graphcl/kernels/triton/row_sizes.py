"""How large the tiles of sums over gathered rows are: one table, by width and mean length, and no tuning at run time."""

from __future__ import annotations

from dataclasses import dataclass

WIDEST = 128  # features of a tile
TILE = 1024  # numbers of a tile: 32 registers of each lane of a warp
LONGEST = 128  # entries of a stretch of wide rows; partial results are then a hundredth of what is read
BLOCK = 4096  # numbers of a stretch of narrow rows


@dataclass(frozen=True)
class RowSizes:
    """The tiles of one launch.

    Args:
        entries: Entries met at a time.
        width: Features of a program.
        warps: Warps of a program.
    """

    entries: int
    width: int
    warps: int


def row_sizes(dim: int, mean: float) -> RowSizes:
    """Tiles of reductions.

    Args:
        dim: Features of a row, ``>= 1``.
        mean: Entries of a stretch, on average: lanes beyond them would be idle.
    """
    width = min(_power_of_two(dim), WIDEST)
    entries = min(max(2, _power_of_two(int(mean) + 1)), max(4, TILE // width))
    return RowSizes(entries, width, 1)


def dot_sizes(dim: int) -> RowSizes:
    """Tiles of dot products.

    Args:
        dim: Features of a row, ``>= 1``.
    """
    width = min(_power_of_two(dim), WIDEST)
    return RowSizes(max(16, 4 * TILE // width), width, 4)


def longest_stretch(dim: int) -> int:
    """Entries of a row that one program reduces: rows with more are cut.

    Args:
        dim: Features of a row, ``>= 1``.
    """
    return max(LONGEST, BLOCK // _power_of_two(dim))


def _power_of_two(number: int) -> int:
    return 1 << (number - 1).bit_length()
