"""Adaptive masks: how much a neighbour counts is how well it agrees, by features that learn."""

from __future__ import annotations

import torch
from torch import Tensor

from graphcl.kernels.csr import CSR, dots_at, multiply
from graphcl.losses import unit_rows
from graphcl.recsys.graph.bipartite import Bipartite


def cosine_weights(graph: Bipartite, users: Tensor, items: Tensor) -> Tensor:
    """``(cos(f_u, f_i) + 1) / 2`` of each interaction, from 0 to 1; the cosine with a row of zeros is 0.

    The cosine is symmetric, so each interaction is met once for both directions. Time ``O(E D)``, memory ``O(E + (U + I) D)``:
    no row is gathered. Gradients go to the features.

    Shapes:
        users: ``(U, D)``; items: ``(I, D)``; returns: ``(E,)``, in the order of the rows.
    """
    cosines = dots_at(graph.matrix.pattern, unit_rows(users), unit_rows(items))
    return ((1 + cosines) / 2).clamp(min=0)  # opposite rows are a rounding below 0


def weighted_means(graph: Bipartite, weights: Tensor, users: Tensor, items: Tensor) -> tuple[Tensor, Tensor]:
    """``sum_i w_ui x_i / sum_i w_ui`` of the items of each user, and of the users of each item with the same weights.

    A matrix with rows that sum to 1, and another that way around, without either: the products with the weights as they are
    are divided by the sums, which come along as one more column. Who has no neighbour of any weight gets a row of zeros. Time
    ``O(E D)``, memory ``O(E + (U + I) D)``. Gradients go to weights and rows.

    Shapes:
        weights: ``(E,)``, in the order of the rows, ``>= 0``; users: ``(U, D)``; items: ``(I, D)``; returns: ``(U, D)``
            and ``(I, D)``.
    """
    matrix = CSR(graph.matrix.pattern, weights, symmetric=False)
    return _quotients(multiply(matrix, _with_ones(items))), _quotients(multiply(matrix, _with_ones(users), transposed=True))


def _with_ones(rows: Tensor) -> Tensor:
    return torch.cat([rows, rows.new_ones(len(rows), 1)], 1)


def _quotients(sums: Tensor) -> Tensor:
    """All columns but the last, divided by the last; 0 where that is 0.

    Shapes:
        sums: ``(N, D + 1)``; returns: ``(N, D)``.
    """
    total = sums[:, -1:]
    empty = total == 0
    return (sums[:, :-1] / total.masked_fill(empty, 1.0)).masked_fill(empty, 0.0)
