"""The normalised block between users and items, built once and multiplied on every step."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from graphcl.errors import InputError
from graphcl.kernels.csr import CSR, multiply
from graphcl.kernels.pattern import Pattern
from graphcl.recsys.ranking.rows import HasRows, Ints, ItemIds, check_rows, fingerprint


class Bipartite:
    """``D_U^-1/2 R D_I^-1/2`` of training rows ``R``, immutable; a user or an item without interactions has an empty row.

    The symmetric ``(U + I) x (U + I)`` operator of the literature is never built: one layer is a product with the block and
    one with its transpose, half the memory, the same numbers. Views with dropped edges share the positions. It has the rows
    it was made of, and can stand wherever `HasRows` is asked for. Memory: 8 bytes an interaction, and 12 more for the
    transpose, which is found when it is first needed.

    Args:
        train: Training rows.
        dtype: float32 or float64.

    Attributes:
        fingerprint: Of the rows, as `graphcl.recsys.ranking.fingerprint` says.
        user_degree: Items of each user.
        item_degree: Users of each item.
        matrix: The block, values in the order of the rows.

    Shapes:
        user_degree: ``(U,)``; item_degree: ``(I,)``; matrix: ``(U, I)``.

    Raises:
        InputError: Rows that are no rows, or none at all.
    """

    def __init__(self, train: HasRows, *, dtype: torch.dtype = torch.float32) -> None:
        check_rows(train, "train")
        if len(train.indices) == 0:
            raise InputError("there is nothing to learn from: train has no interactions")
        self.indptr: Ints = train.indptr
        self.indices: ItemIds = train.indices
        self.num_users, self.num_items = train.num_users, train.num_items
        self.fingerprint = fingerprint(train)
        # Shared where possible; torch wants arrays that it could write to.
        indptr, indices = (
            torch.from_numpy(np.require(part, requirements=["C", "W"])) for part in (train.indptr, train.indices)
        )
        pattern = Pattern(indptr, indices, train.num_items)
        self._place(pattern, torch.ones(pattern.nnz, dtype=dtype))

    @property
    def num_interactions(self) -> int:
        """``E``."""
        return len(self.indices)

    @property
    def device(self) -> torch.device:
        """Where the block is."""
        return self.matrix.pattern.device

    def spread(self, users: Tensor, items: Tensor) -> tuple[Tensor, Tensor]:
        """One layer: what items say to users, and users to items. Time ``O(E D)``, memory that of the results.

        Shapes:
            users: ``(U, D)``; items: ``(I, D)``; returns: the same.
        """
        return multiply(self.matrix, items), multiply(self.matrix, users, transposed=True)

    def reweight(self, values: Tensor) -> Bipartite:
        """The operator with these values on the same positions, used as they are; gradients reach them.

        Shapes:
            values: ``(E,)``, in the order of the rows.

        Raises:
            InputError: Another number of values.
        """
        if values.shape != (self.num_interactions,):
            raise InputError(f"values must be ({self.num_interactions},), one an interaction; got {tuple(values.shape)}")
        other = self._copy()
        other.matrix = CSR(self.matrix.pattern, values, symmetric=False)
        return other

    def kept(self, mask: Tensor) -> Bipartite:
        """The graph without some of its interactions, normalised by the degrees that are left.

        ``fingerprint``, ``indptr`` and ``indices`` stay those of the whole graph: a view is no other training set.

        Shapes:
            mask: ``(E,)`` bool, in the order of the rows.

        Raises:
            InputError: No mask of the interactions.
        """
        if mask.shape != (self.num_interactions,) or mask.dtype != torch.bool:
            raise InputError(
                f"mask must be ({self.num_interactions},) bool, one an interaction; got {tuple(mask.shape)} {mask.dtype}"
            )
        other = self._copy()
        other._place(self.matrix.pattern, mask.to(self.matrix.values.dtype))
        return other

    def to(self, device: torch.device | str, dtype: torch.dtype | None = None) -> Bipartite:
        """The same graph on another device, or with values of another type; itself where nothing changes."""
        pattern, values = self.matrix.pattern.to(device), self.matrix.values.to(device, dtype)
        if pattern is self.matrix.pattern and values is self.matrix.values:
            return self
        other = self._copy()
        other.matrix = CSR(pattern, values, symmetric=False)
        other.user_degree, other.item_degree = self.user_degree.to(values), self.item_degree.to(values)
        return other

    def __repr__(self) -> str:
        return f"Bipartite({self.num_users} users, {self.num_items} items, {self.num_interactions} interactions)"

    def _copy(self) -> Bipartite:
        other = object.__new__(Bipartite)
        other.__dict__.update(self.__dict__)
        return other

    def _place(self, pattern: Pattern, weight: Tensor) -> None:
        user, item = pattern.row, pattern.col
        self.user_degree = weight.new_zeros(self.num_users).index_add_(0, user, weight)
        self.item_degree = weight.new_zeros(self.num_items).index_add_(0, item, weight)
        # Whoever has degree 0 has weights of 0 alone, which any finite number may scale.
        left, right = (degree.clamp(min=1).rsqrt() for degree in (self.user_degree, self.item_degree))
        values = weight * left.index_select(0, user) * right.index_select(0, item)
        self.matrix = CSR(pattern, values, symmetric=False)
