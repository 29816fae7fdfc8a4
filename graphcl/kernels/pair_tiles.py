"""Blocks of the N x M array of pairs, all written into one small workspace, and the rule applied inside them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from graphcl.errors import InputError
from graphcl.kernels.columns import Columns
from graphcl.kernels.rule import Ids, Rule

TILE_BYTES = 4 * 2**20  # all of it stays in the cache: 32 MB cost a quarter more, 2 MB leave too narrow products
MIN_ROWS = 256  # smaller products waste a third of the matrix rate
MAX_NAMES = 2**24  # single precision tells so many integers apart
STAIRS = 16  # blocks along a diagonal: one part in 2 * 16 of what lies above it is met twice

_Comparison = tuple[Tensor, Tensor, Callable[..., Tensor]]


class PairTiles:
    """Blocks of ``left @ right.T`` with the rule of which pairs count.

    A block is ``rows`` high and as wide as there are columns; where 256 such rows do not fit into the budget, columns
    are cut as well. The budget covers everything of the size of a block: the block, the spare, masks and counts.

    Args:
        left: Operand of the anchors.
        right: Operand of the candidates.
        ids: Names of the columns, ``None`` for their positions.
        rule: Which pairs count.
        spare: Whether ``spare`` will be asked for.
        triangle: Whether only blocks on and above the diagonal are met: both sides are one set, and the rule is the same
            for ``(i, j)`` and ``(j, i)``. Blocks on the diagonal are met whole.
        bf16: Whether products are made of numbers rounded to bfloat16, and rounded themselves.

    Shapes:
        left: ``(N, D)``; right: ``(M, D)``; ids: ``(M,)``.
    """

    def __init__(
        self,
        left: Tensor,
        right: Tensor,
        ids: Tensor | None,
        rule: Rule,
        *,
        spare: bool = False,
        triangle: bool = False,
        bf16: bool = False,
    ) -> None:
        self.left, self.right = left, right
        self.ids, self.rule = ids, rule
        self.triangle, self.bf16 = triangle, bf16
        self._left, self._right = self.operand(left), self.operand(right)
        named = None if ids is None or rule.exclude is None else (rule.exclude, ids)
        apart = [_numbers(pair, left.dtype) for pair in (rule.different, named) if pair is not None]
        self._apart, self._same = apart, [] if rule.same is None else [_numbers(rule.same, left.dtype)]
        self._clusters = [] if rule.clusters is None else _clusterings(rule.clusters, left.dtype)
        masks = len(self._apart) + len(self._same)
        rooms = 1 + spare + (masks + len(self._clusters) > 0) + (masks > 1 or len(self._clusters) > 1)
        self.rows, self.columns = _block(len(left), len(right), left.element_size() * rooms + 2 * bf16)
        if triangle:  # the lower the blocks, the less of them lies below the diagonal
            self.rows = min(self.rows, max(MIN_ROWS, -(-len(left) // STAIRS)))
        size = self.rows * self.columns
        self._rooms = [left.new_empty(size) for _ in range(rooms)]
        self._first = 1 + spare  # room of the first comparison; the last is that of the others
        self._rounded = left.new_empty(size if bf16 else 0, dtype=torch.bfloat16)

    def __iter__(self) -> Iterator[tuple[slice, slice]]:
        for rows in _slices(0, len(self.left), self.rows):
            for columns in _slices(rows.start if self.triangle else 0, len(self.right), self.columns):
                yield rows, columns

    def product(self, rows: slice, columns: slice) -> Tensor:
        """The block itself; overwritten by the next.

        Shapes:
            returns: ``(rows, columns)``.
        """
        left, right = self._left[rows], self._right[columns]
        tile = _view(self._rooms[0], len(left), len(right))
        if not self.bf16:
            return torch.mm(left, right.T, out=tile)
        return tile.copy_(torch.mm(left, right.T, out=_view(self._rounded, *tile.shape)))

    def operand(self, z: Tensor) -> Tensor:
        """Rows as products take them: rounded, where products are."""
        return z.bfloat16() if self.bf16 else z

    def rounded(self, tile: Tensor) -> Tensor:
        """A block as products take it; overwritten by the next block."""
        return _view(self._rounded, *tile.shape).copy_(tile) if self.bf16 else tile

    def spare(self, tile: Tensor) -> Tensor:
        """Room of the shape of a block, with anything in it."""
        return _view(self._rooms[1], *tile.shape)

    def leave_out(self, tile: Tensor, rows: slice, columns: slice, fill: float) -> None:
        """Writes ``fill``, 0 or ``-inf``, over the pairs that do not count; weights apart, see ``counts``."""
        # As numbers: masks of truth values cost ten times as much to make and to apply.
        mask = self._product([(left, right, torch.ne) for left, right in self._apart] + self._equal(), rows, columns)
        if mask is not None:
            if fill == 0:
                tile.mul_(mask)
            else:
                tile.add_(mask.reciprocal_().neg_().add_(1))  # 1 becomes 0, and 0 becomes -inf
        rule = self.rule
        if rule.exclude is not None and self.ids is None:
            exclude = rule.exclude[rows]
            _strike(tile, torch.arange(len(exclude), device=tile.device), exclude, columns, fill)
        if rule.seen is not None:
            crow, col = rule.seen
            pointers = crow[rows.start : rows.stop + 1]
            listed = col[int(pointers[0]) : int(pointers[-1])]
            row = torch.arange(len(tile), device=tile.device).repeat_interleave(pointers.diff(), output_size=len(listed))
            _strike(tile, row, listed, columns, fill)

    def counts(self, rows: slice, columns: slice) -> Tensor | None:
        """How often each pair counts, where clusterings weight it; ``None`` where all count alike.

        Shapes:
            returns: ``(rows, columns)``, overwritten by the next and by ``leave_out``.
        """
        counts = None
        for left, right in self._clusters:
            counts = self._compared(counts, torch.ne, left[rows, None], right[columns], torch.Tensor.add_)
        return counts

    def _equal(self) -> list[_Comparison]:
        return [(left, right, torch.eq) for left, right in self._same]

    def _product(self, parts: list[_Comparison], rows: slice, columns: slice) -> Tensor | None:
        mask = None
        for left, right, compare in parts:
            mask = self._compared(mask, compare, left[rows, None], right[columns], torch.Tensor.mul_)
        return mask

    def _compared(
        self, total: Tensor | None, compare: Callable[..., Tensor], left: Tensor, right: Tensor, join: Callable[..., Tensor]
    ) -> Tensor:
        """The comparison as 0 and 1, joined to what is there."""
        room = self._rooms[-1 if total is not None else self._first]
        part = compare(left, right, out=_view(room, len(left), len(right)))
        return part if total is None else join(total, part)


def add_product(total: Tensor, left: Tensor, right: Tensor) -> None:
    """``total += left @ right``, added in the precision of the total.

    Shapes:
        left: ``(n, m)``; right: ``(m, D)``; total: ``(n, D)``.
    """
    if left.dtype == total.dtype:
        total.addmm_(left, right)
    else:
        total += left @ right


def check_pairs(a: Tensor, columns: Columns, rule: Rule) -> None:
    """Refuses anchors, candidates and a rule that do not belong together.

    Raises:
        InputError: Shapes, types or devices that differ; no candidate at all.
    """
    z = columns.z
    if a.ndim != 2 or z.ndim != 2 or a.shape[1] != z.shape[1]:
        raise InputError(f"anchors (N, D) and candidates (M, D) must share D; got {tuple(a.shape)} and {tuple(z.shape)}")
    if len(z) == 0:
        raise InputError("there is no candidate to contrast with: the candidate set has 0 rows")
    if not a.is_floating_point() or a.dtype != z.dtype or a.device != z.device:
        raise InputError(
            f"anchors and candidates must share one floating type and device; got {a.dtype} on {a.device} "
            f"and {z.dtype} on {z.device}"
        )
    for name, vector in (("bias", columns.bias), ("ids", columns.ids)):
        if vector is not None and vector.shape != (len(z),):
            raise InputError(
                f"{name} must be a vector of length {len(z)}; got {tuple(vector.shape)}. It has one entry for each candidate."
            )
    rule.check(len(a), len(z))
    sides: tuple[Ids | None, ...] = (rule.same, rule.different, rule.clusters, rule.seen)
    vectors = [columns.bias, columns.ids, rule.exclude, *(part for side in sides if side is not None for part in side)]
    if any(vector is not None and vector.device != a.device for vector in vectors):
        raise InputError(f"bias, ids and rule must be on the device of the anchors, {a.device}. Move them there: .to(...).")


def working_type(dtype: torch.dtype) -> torch.dtype:
    """What is computed in: single precision for half types, whose exponentials overflow or lose their digits."""
    return torch.float32 if dtype in (torch.float16, torch.bfloat16) else dtype


def _numbers(pair: Ids, dtype: torch.dtype) -> Ids:
    """Ids as floating-point numbers, which compare ten times as fast; equal where the integers are.

    Shapes:
        pair: ``(N,)`` and ``(M,)`` integers; returns: the same, floating.
    """
    left, right = pair
    if len(left) + len(right) == 0:
        return left.to(dtype), right.to(dtype)
    both = torch.cat([left.long(), right.long()])
    least = both.min()
    if int(both.max()) - int(least) < MAX_NAMES:
        both = both - least
    else:
        both = torch.unique(both, return_inverse=True)[1]
        if int(both.max()) >= MAX_NAMES and dtype == torch.float32:
            raise InputError(f"a rule may name at most {MAX_NAMES:,} different ids in single precision; use float64")
    both = both.to(dtype)
    return both[: len(left)], both[len(left) :]


def _clusterings(pair: Ids, dtype: torch.dtype) -> list[Ids]:
    """Each clustering on its own.

    Shapes:
        pair: ``(N, C)`` and ``(M, C)``.
    """
    left, right = pair
    return [_numbers((left[:, c], right[:, c]), dtype) for c in range(left.shape[1])]


def _block(num_rows: int, num_columns: int, per_pair: int) -> tuple[int, int]:
    """Height and width of a block; widths are levelled, so that no narrow rest remains."""
    least = max(1, min(num_rows, MIN_ROWS))
    width = max(1, TILE_BYTES // (least * per_pair))
    if width >= num_columns:
        return min(num_rows, max(least, TILE_BYTES // (num_columns * per_pair))), num_columns
    return min(num_rows, least), -(-num_columns // -(-num_columns // width))


def _slices(begin: int, end: int, step: int) -> Iterator[slice]:
    return (slice(start, min(start + step, end)) for start in range(begin, end, max(step, 1)))


def _view(space: Tensor, rows: int, columns: int) -> Tensor:
    return space[: rows * columns].view(rows, columns)


def _strike(tile: Tensor, row: Tensor, column: Tensor, columns: slice, fill: float) -> None:
    """Writes at listed pairs, those of other blocks and of no column left aside: no need to look at the whole block."""
    here = ((column >= columns.start) & (column < columns.stop)).nonzero().squeeze(1)
    at = (row.index_select(0, here), column.index_select(0, here).long() - columns.start)
    tile.index_put_(at, tile.new_tensor(fill))
