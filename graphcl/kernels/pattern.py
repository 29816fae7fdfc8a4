"""Where the entries of a sparse matrix stand: row pointers and columns, with the transposed order found once."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from graphcl.errors import InputError

_INT32_MAX = 2**31 - 1


class Transpose(NamedTuple):
    """The same entries, sorted by column.

    Shapes:
        crow: ``(M + 1,)``; col: ``(E,)``; order: ``(E,)``, entry ``k`` of the transpose is entry ``order[k]`` of the original.
    """

    crow: Tensor
    col: Tensor
    order: Tensor
    symmetric: bool


class Pattern:
    """The positions of ``E`` entries of an ``N x M`` matrix, in rows (CSR), without their values.

    Immutable and shared: every matrix on these positions uses the same pointers and the same transposed order.
    Indices are 32-bit wherever they fit, since that is what the CSR products work in: 64-bit indices are converted
    on every product, which costs a tenth to a third of it. The constructor trusts its arguments (out-of-range columns are
    memory errors in the products); use ``Pattern.from_csr`` for what comes from outside.

    Args:
        crow: Row pointers, non-decreasing, from 0 to ``E``.
        col: Columns, row after row, in ``[0, M)``.
        num_columns: ``M``.

    Shapes:
        crow: ``(N + 1,)``; col: ``(E,)``.
    """

    __slots__ = ("_row", "_transpose", "col", "crow", "num_columns")

    def __init__(self, crow: Tensor, col: Tensor, num_columns: int) -> None:
        fits = max(col.numel(), crow.numel(), num_columns) <= _INT32_MAX
        dtype = torch.int32 if fits else torch.int64
        self.crow = crow.detach().to(dtype)
        self.col = col.detach().to(dtype)
        self.num_columns = num_columns
        self._row: Tensor | None = None
        self._transpose: Transpose | None = None

    @classmethod
    def from_csr(cls, crow: Tensor, col: Tensor, num_columns: int) -> Pattern:
        """A pattern from pointers and columns that are checked first; an entry may be listed more than once.

        Shapes:
            crow: ``(N + 1,)``; col: ``(E,)``.

        Raises:
            InputError: Not integers, pointers that do not rise from 0 to ``E``, columns outside ``[0, M)``.
        """
        for name, index in (("crow", crow), ("col", col)):
            if index.dtype not in (torch.int32, torch.int64) or index.ndim != 1:
                raise InputError(
                    f"{name} must be one-dimensional int32 or int64; got {tuple(index.shape)} of {index.dtype}. "
                    "Pointers and columns are those of a CSR matrix: x.crow_indices(), x.col_indices()."
                )
        num_entries = col.numel()
        rises = crow.numel() > 0 and int(crow[0]) == 0 and int(crow[-1]) == num_entries and bool((crow[1:] >= crow[:-1]).all())
        if not rises:
            raise InputError(
                f"crow must rise from 0 to the number of columns listed ({num_entries}); got {_ends(crow)}. "
                "Given rows instead of pointers? Compress them first, e.g. with torch.sparse_coo_tensor(...).to_sparse_csr()."
            )
        if num_entries and (int(col.min()) < 0 or int(col.max()) >= num_columns):
            raise InputError(
                f"columns must be in [0, {num_columns}); got {int(col.min())} to {int(col.max())}. "
                "Are the two sides in the right order? Rows index the first, columns the second."
            )
        return cls(crow, col, num_columns)

    @property
    def num_rows(self) -> int:
        """``N``."""
        return self.crow.numel() - 1

    @property
    def nnz(self) -> int:
        """``E``, the number of stored entries."""
        return self.col.numel()

    @property
    def device(self) -> torch.device:
        """Where the indices are."""
        return self.col.device

    @property
    def row(self) -> Tensor:
        """``(E,)``, the row of each entry; expanded from the pointers at the first use."""
        if self._row is None:
            # Kept for later, when autograd may want to save it: never an inference tensor.
            with torch.inference_mode(False):
                rows = torch.arange(self.num_rows, device=self.device, dtype=self.crow.dtype)
                self._row = torch.repeat_interleave(rows, self.crow.diff(), output_size=self.nnz)
        return self._row

    @property
    def transpose(self) -> Transpose:
        """The same entries by column; found at the first use. Where the pattern is symmetric, its own tensors."""
        if self._transpose is None:
            with torch.inference_mode(False):
                self._transpose = self._find_transpose()
        return self._transpose

    @property
    def is_symmetric(self) -> bool:
        """Whether (j, i) is an entry wherever (i, j) is."""
        return self.num_rows == self.num_columns and self.transpose.symmetric

    def to(self, device: torch.device | str) -> Pattern:
        """The same pattern on another device; itself where it is there already."""
        moved = self.col.to(device)
        if moved.device == self.device:
            return self
        pattern = Pattern(self.crow.to(device), moved, self.num_columns)
        known = self._transpose
        if known is not None:
            # A symmetric pattern goes on sharing its tensors with its transpose.
            crow, col = (pattern.crow, pattern.col) if known.symmetric else (known.crow.to(device), known.col.to(device))
            pattern._transpose = Transpose(crow, col, known.order.to(device), known.symmetric)
        return pattern

    def __repr__(self) -> str:
        return f"Pattern({self.num_rows} x {self.num_columns}, nnz={self.nnz}, device={self.device})"

    def _find_transpose(self) -> Transpose:
        # A stable sort by column keeps the rows ascending inside each column, so the result is sorted CSR again.
        order = torch.argsort(self.col, stable=True)
        col = self.row.index_select(0, order)
        crow = torch.zeros(self.num_columns + 1, dtype=self.crow.dtype, device=self.device)
        counts = torch.bincount(self.col, minlength=self.num_columns)
        crow[1:] = counts.cumsum(0)
        if torch.equal(crow, self.crow) and torch.equal(col, self.col):
            return Transpose(self.crow, self.col, order, symmetric=self.num_rows == self.num_columns)
        return Transpose(crow, col, order, symmetric=False)


def _ends(crow: Tensor) -> str:
    if crow.numel() == 0:
        return "no pointers at all"
    falls = " with a fall in between" if bool((crow[1:] < crow[:-1]).any()) else ""
    return f"{crow.numel()} pointers from {int(crow[0])} to {int(crow[-1])}{falls}"
