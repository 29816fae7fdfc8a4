"""Who is met: a set of candidates, with log-weights and names."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from graphcl.kernels.blocks import Blocks


@dataclass(frozen=True)
class Columns:
    """A set of candidates.

    Args:
        z: Embeddings.
        bias: Added to every logit of the column; log-weights, ``-inf`` takes a column out.
        ids: Integer names of the columns that ``Rule.exclude`` speaks of; the position when ``None``.
        blocks: The only pairs that are met, as rows by segments of columns; all pairs when ``None``.

    Shapes:
        z: ``(M, D)``; bias: ``(M,)``; ids: ``(M,)`` int64.
    """

    z: Tensor
    bias: Tensor | None = None
    ids: Tensor | None = None
    blocks: Blocks | None = None
