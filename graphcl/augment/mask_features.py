"""Views without some of the features."""

from __future__ import annotations

import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.transforms import BaseTransform

from graphcl.augment.draws import Probability, check_length, check_probability, draw_kept
from graphcl.errors import InputError


class MaskFeatures(BaseTransform):  # type: ignore[misc]
    """Each feature column is zeroed for all nodes at once with probability ``p``.

    Two faces of one draw: called on a graph it gives the graph with masked features; ``columns`` gives the mask alone, for an
    encoder that masks the rows of its first weight instead of touching the features, which is the same number.
    Zhu et al., 2020 (GRACE), https://arxiv.org/abs/2006.04131.

    Args:
        p: Probability to be masked, or one for each column.
        generator: Of the random numbers; torch's own when ``None``.

    Shapes:
        p: scalar or ``(F,)``; called: ``Data`` with x ``(N, F)``, dense or CSR, to the same; columns: the same to ``(F,)``.

    Raises:
        InputError: Probabilities outside ``[0, 1]``, or another number of them than columns; a graph without features.
    """

    def __init__(self, p: Probability, *, generator: torch.Generator | None = None) -> None:
        self.p = check_probability(p)
        self.generator = generator

    def forward(self, data: Data) -> Data:
        """The graph with some columns at zero."""
        kept = self.columns(data)
        if kept is not None:
            data.x = mask_columns(data.x, kept)
        return data

    def columns(self, data: Data) -> Tensor | None:
        """1 for a column that stays and 0 for one that is masked, in the features' type; ``None`` where ``p`` is 0."""
        if data.x is None or data.x.ndim != 2:
            shape = None if data.x is None else tuple(data.x.shape)
            raise InputError(f"masking columns needs features x of shape (N, F); got {shape}")
        check_length(self.p, data.x.size(1), "feature columns")
        if not isinstance(self.p, Tensor) and self.p == 0:
            return None
        return draw_kept(self.p, data.x.size(1), data.x.device, self.generator).to(data.x.dtype)

    def __repr__(self) -> str:
        return f"MaskFeatures({f'tensor of {len(self.p)}' if isinstance(self.p, Tensor) else f'{self.p:g}'})"


def mask_columns(x: Tensor, keep: Tensor) -> Tensor:
    """Features with each column multiplied by its entry of ``keep``; CSR ones keep their positions, with zeros in them.

    Shapes:
        x: ``(N, F)``, dense or CSR; keep: ``(F,)``; returns: as x.
    """
    if x.layout == torch.strided:
        return x * keep
    values = x.values() * keep.index_select(0, x.col_indices())
    return torch.sparse_csr_tensor(x.crow_indices(), x.col_indices(), values, x.shape, check_invariants=False)
