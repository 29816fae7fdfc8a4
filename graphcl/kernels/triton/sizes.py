"""How large the tiles of a sweep are: one table, by width and type of the rows, and no tuning at run time.

Equal inputs meet equal tiles in equal order, so results are the same bit for bit from run to run.
"""

from __future__ import annotations

from dataclasses import dataclass

LEAST = 16  # the smallest side of a product on matrix units
PROGRAMS = 256  # where one side has fewer tiles than this, the other is cut, so that all of a GPU is busy
LEAST_TILES = 4  # each program meets at least so many


@dataclass(frozen=True)
class Sizes:
    """The tiles of one kernel.

    Args:
        own: Rows of the side a program owns.
        other: Rows of the side it streams.
        step: Features of a partial product; all of them where rows are so narrow that they stay in registers.
        out: Features of the gradient that one program owns.
        warps: Warps of a program.
        stages: Tiles under way from memory at a time.
    """

    own: int
    other: int
    step: int
    out: int
    warps: int
    stages: int


def forward_sizes(dim: int, element_size: int) -> Sizes:
    """Tiles of sums over pairs.

    Args:
        dim: Features of a row, ``>= 1``.
        element_size: Bytes of one feature, 2 or 4.
    """
    width = _power_of_two(dim)
    if element_size == 2:
        return Sizes(128, 64, width, width, 4 if width <= 64 else 8, 3) if width <= 128 else Sizes(128, 64, 64, 0, 8, 3)
    return Sizes(128, 64, min(width, 32), 0, 8, 2)


def gradient_sizes(dim: int, element_size: int) -> Sizes:
    """Tiles of gradients: the wider the rows, the fewer of them one program can own in its registers.

    Args:
        dim: Features of a row, ``>= 1``.
        element_size: Bytes of one feature, 2 or 4.
    """
    width = _power_of_two(dim)
    if element_size == 2:
        if width <= 128:
            return Sizes(128, 64, width, width, 4 if width <= 64 else 8, 2)
        return Sizes(64, 64, 64, 256, 8, 2) if width == 256 else Sizes(64, 32, 64, 512, 8, 2)
    return Sizes(64, 32, min(width, 32), min(width, 256), 8, 2)


def splits(own: int, other: int, sizes: Sizes) -> tuple[int, int]:
    """Into how many parts the streamed side is cut, and how long each is.

    Args:
        own: Rows of the side that programs own.
        other: Rows of the side they stream.
        sizes: Of the tiles.
    """
    tiles = -(-other // sizes.other)
    parts = max(1, min(PROGRAMS // max(1, -(-own // sizes.own)), tiles // LEAST_TILES))
    length = max(1, -(-tiles // parts)) * sizes.other
    return max(1, -(-other // length)), length


def _power_of_two(dim: int) -> int:
    return max(LEAST, 1 << (dim - 1).bit_length())
