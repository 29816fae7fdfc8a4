"""Linear propagation: a fixed polynomial of the graph applied to the tables, whose gradient is the same polynomial."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from graphcl.errors import InputError
from graphcl.recsys.graph.bipartite import Bipartite


def polynomial(graph: Bipartite, users: Tensor, items: Tensor, weights: Sequence[float]) -> tuple[Tensor, Tensor]:
    """``sum_l weights[l] A^l [users; items]`` with ``A`` the symmetric operator of the graph.

    The operator is symmetric, so the gradient is the same sum of what comes back: nothing is kept for it. Time
    ``O(L E D)``, memory that of two layers, whatever ``L``.

    Args:
        graph: Fixed; gradients do not reach its values.
        users: Of layer 0.
        items: Of layer 0.
        weights: Of the layers 0 to ``L``.

    Shapes:
        users: ``(U, D)``; items: ``(I, D)``; returns: the same.

    Raises:
        InputError: No weight, or values of the graph that learn.
    """
    if not len(weights):
        raise InputError("weights must hold one number for each layer, from layer 0 on; got none")
    if graph.matrix.values.requires_grad:
        raise InputError("the values of this graph learn: spread it layer by layer instead")
    found: tuple[Tensor, Tensor] = _Polynomial.apply(users, items, graph, tuple(weights))  # type: ignore[no-untyped-call]
    return found


class _Polynomial(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, users: Tensor, items: Tensor, graph: Bipartite, weights: tuple[float, ...]) -> tuple[Tensor, Tensor]:
        ctx.graph, ctx.weights = graph, weights
        return _sum(graph, users, items, weights)

    @staticmethod
    def backward(ctx: Any, users: Tensor, items: Tensor) -> tuple[Tensor, Tensor, None, None]:
        return (*_sum(ctx.graph, users, items, ctx.weights), None, None)


def _sum(graph: Bipartite, users: Tensor, items: Tensor, weights: tuple[float, ...]) -> tuple[Tensor, Tensor]:
    left, right = users * weights[0], items * weights[0]
    for weight in weights[1:]:
        users, items = graph.spread(users, items)
        if weight:
            left.add_(users, alpha=weight)
            right.add_(items, alpha=weight)
    return left, right
