"""Launches of the two kernels over one side of a sweep."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from graphcl.kernels.triton import sizes
from graphcl.kernels.triton.selection import Selection
from graphcl.kernels.triton.sweep import differentiate_pairs, sum_pairs


@dataclass(frozen=True)
class Pairs:
    """What is summed over all pairs: ``function(scale * <a_i, z_j> + row_add_i + column_add_j)``.

    Args:
        a: Rows, contiguous.
        z: Columns, contiguous, of the same type.
        scale: One number, or one for each row; to base 2 for ``"lse"``, like what is added.
        selection: Which pairs count.
        kind: The function, as `tile.kernel_value` names it, or ``"lse"`` for the logarithm of a sum of exponentials.
        p: Its first number.
        q: Its second number.
        row_add: Added for each row.
        column_add: Added for each column.

    Shapes:
        a: ``(N, D)``; z: ``(M, D)``; scale: ``(1,)`` or ``(N,)``; row_add: ``(N,)``; column_add: ``(M,)``; these in fp32.
    """

    a: Tensor
    z: Tensor
    scale: Tensor
    selection: Selection
    kind: str = "lse"
    p: float = 0.0
    q: float = 0.0
    row_add: Tensor | None = None
    column_add: Tensor | None = None

    def sums(self, *, columns: bool = False) -> Tensor:
        """The sum of each row, or of each column.

        Shapes:
            returns: ``(N,)``, for columns ``(M,)``; fp32.
        """
        tiles = sizes.forward_sizes(self.a.shape[1], self.a.element_size())
        arguments, own, grid = self._arguments(columns, tiles)
        nothing = -torch.inf if self.kind == "lse" else 0.0
        out = torch.full((grid[1], own), nothing, dtype=torch.float32, device=self.a.device)
        if grid[0] > 0:
            with torch.cuda.device_of(self.a):  # type: ignore[no-untyped-call]
                sum_pairs[grid](**arguments, out=out)
        if grid[1] == 1:
            return out[0]
        return out.logsumexp(0) if self.kind == "lse" else out.sum(0)

    def gradients(
        self,
        *,
        columns: bool = False,
        row_weights: tuple[Tensor, Tensor | None] | None = None,
        column_weights: tuple[Tensor, Tensor | None] | None = None,
        bounded: bool = False,
        sums: bool = False,
        dots: bool = False,
        dtype: torch.dtype,
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """The gradient of the rows, or of the columns, and of what is added to them and of their scales.

        Args:
            columns: Whether it is that of the columns.
            row_weights: Gradient of the sums of rows, and for ``"lse"`` these sums, to base 2 and finite.
            column_weights: The same for the sums of columns.
            bounded: Whether exponentials need no shift: then there are gradients over sums of exponentials only, of both.
            sums: Whether the gradient of what is added is asked for.
            dots: Whether the gradient of a natural scale is asked for.
            dtype: Of the gradient of rows or columns.

        Shapes:
            row_weights: ``(N,)`` each; column_weights: ``(M,)`` each;
                returns: ``(N, D)``, ``(N,)`` and ``(N,)``, for columns ``M`` of each.
        """
        dim = self.a.shape[1]
        tiles = sizes.gradient_sizes(dim, self.a.element_size())
        arguments, own, grid = self._arguments(columns, tiles)
        from_own, from_other = (column_weights, row_weights) if columns else (row_weights, column_weights)
        distance = self.row_add is not None
        chunks = -(-dim // tiles.out)
        make = torch.zeros if self.selection.blocks is not None else torch.empty  # columns of no block are met by no program
        kind = dtype if grid[1] == 1 else torch.float32
        out = make(grid[1], own, dim, dtype=kind, device=self.a.device)
        out_sums = make(grid[1], own, dtype=torch.float32, device=self.a.device) if sums else None
        out_dots = make(chunks * grid[1], own, dtype=torch.float32, device=self.a.device) if dots else None
        if grid[0] > 0:
            with torch.cuda.device_of(self.a):  # type: ignore[no-untyped-call]
                differentiate_pairs[(*grid, chunks)](
                    **arguments,
                    own_grad=None if from_own is None else from_own[0],
                    own_shift=None if from_own is None else from_own[1],
                    other_grad=None if from_other is None else from_other[0],
                    other_shift=None if from_other is None else from_other[1],
                    out=out,
                    out_sums=out_sums,
                    out_dots=out_dots,
                    OUT=tiles.out,
                    FROM_OWN=from_own is not None,
                    FROM_OTHER=from_other is not None,
                    BOUNDED=bounded,
                    DISTANCE=distance,
                    SUMS=sums or distance,
                    DOTS=dots,
                )
        gradient = out[0] if grid[1] == 1 else out.sum(0).to(dtype)
        return gradient, None if out_sums is None else out_sums.sum(0), None if out_dots is None else out_dots.sum(0)

    def _arguments(self, columns: bool, tiles: sizes.Sizes) -> tuple[dict[str, Any], int, tuple[int, int]]:
        """Arguments that both kernels take, the rows of the own side, and the grid."""
        selected, grid = self.selection.arguments(columns, tiles)
        x, y = (self.z, self.a) if columns else (self.a, self.z)
        own_add, other_add = (self.column_add, self.row_add) if columns else (self.row_add, self.column_add)
        per_row = "other" if columns else "own"
        return (
            {
                **selected,
                "x": x,
                "y": y,
                "scale": self.scale,
                "own_add": own_add,
                "other_add": other_add,
                "p": self.p,
                "q": self.q,
                "KIND": self.kind,
                "D": x.shape[1],
                "OWN": tiles.own,
                "OTHER": tiles.other,
                "STEP": tiles.step,
                "PRECISION": precision(),
                "SCALE": "one" if len(self.scale) == 1 and len(self.a) != 1 else per_row,
                "OWN_ADD": own_add is not None,
                "OTHER_ADD": other_add is not None,
                "enable_fp_fusion": True,  # the default is about to change
                "num_warps": tiles.warps,
                "num_stages": tiles.stages,
            },
            len(x),
            grid,
        )


def precision() -> str:
    """How fp32 products are made: by TF32 where torch is told so, else by three of these, nearly as exact as fp32."""
    return "tf32x3" if torch.get_float32_matmul_precision() == "highest" else "tf32"
