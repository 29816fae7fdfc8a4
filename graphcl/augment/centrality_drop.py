"""Probabilities to drop edges and mask features that spare what is central."""

from __future__ import annotations

import torch
from torch import Tensor

from graphcl.errors import InputError

_LEAST = 1e-8  # of a centrality in the logarithm, next to the largest


@torch.no_grad()
def edge_weights(centrality: Tensor, edge_index: Tensor) -> Tensor:
    """How readily each edge goes: 0 for one into the most central node that any edge reaches, 1 on average.

    ``(max_e s_e - s_e) / (max_e s_e - mean_e s_e)`` with ``s_e`` the logarithm of the centrality of its target; 1 for all where
    all are equally central. Time ``O(E)``. Zhu et al., 2021 (GCA), https://arxiv.org/abs/2010.14945. Differs: equal
    centralities are no division of 0 by 0.

    Args:
        centrality: Of the nodes, ``>= 0``; entries below 1e-8 of the largest count as that.
        edge_index: Row 0 sources, row 1 targets.

    Shapes:
        centrality: ``(N,)``; edge_index: ``(2, E)``; returns: ``(E,)`` float32.

    Raises:
        InputError: Centralities that are negative or not finite, or too few of them.
    """
    _check(centrality)
    target = edge_index[1].long()
    if target.numel() and int(target.max()) >= len(centrality):
        raise InputError(f"the edges reach node {int(target.max())} but there are {len(centrality)} centralities")
    return _spread(centrality.index_select(0, target), None)


@torch.no_grad()
def feature_weights(centrality: Tensor, x: Tensor, *, binary: bool = True) -> Tensor:
    """How readily each feature column is masked: 0 for the one that stands on the most central nodes, 1 on average.

    As `edge_weights`, with ``s_f = log sum_i b_if c_i``, where ``b`` says whether ``x_if`` is not 0, or is ``|x_if|``. Time
    ``O(nnz(x))``. Zhu et al., 2021 (GCA), https://arxiv.org/abs/2010.14945. Differs: a column that nobody has counts as the
    least of the others and is left out of the mean, where the official code takes the logarithm of 0.

    Args:
        centrality: Of the nodes, ``>= 0``.
        x: Features, dense or CSR.
        binary: Whether having a feature counts, or how much of it.

    Shapes:
        centrality: ``(N,)``; x: ``(N, F)``; returns: ``(F,)`` float32.

    Raises:
        InputError: Centralities that are negative or not finite, or another number of them than rows.
    """
    _check(centrality)
    if x.ndim != 2 or len(x) != len(centrality):
        raise InputError(f"x must be (N, F) with a row for each of the {len(centrality)} centralities; got {tuple(x.shape)}")
    if x.layout == torch.strided:
        votes = centrality @ ((x != 0) if binary else x.abs()).to(centrality.dtype)
    else:
        values = ((x.values() != 0) if binary else x.values().abs()).to(centrality.dtype)
        rows = torch.repeat_interleave(x.crow_indices().diff())
        votes = centrality.new_zeros(x.shape[1])
        votes.index_add_(0, x.col_indices(), values * centrality.index_select(0, rows))
    return _spread(votes, votes > 0)


def drop_probabilities(weights: Tensor, rate: float, *, cap: float = 0.7) -> Tensor:
    """``min(rate * weights, cap)``: ``rate`` on average where no weight is capped, and less where some are.

    Args:
        weights: As `edge_weights` and `feature_weights` give them.
        rate: In ``0 .. 1``.
        cap: The largest probability, in ``0 .. 1``.

    Shapes:
        weights: ``(E,)``; returns: the same.

    Raises:
        InputError: A rate or cap out of range.
    """
    for name, value in (("rate", rate), ("cap", cap)):
        if not 0 <= value <= 1:
            raise InputError(f"{name} is a probability and lies in 0 .. 1; got {value}")
    return (rate * weights).clamp_(max=cap)


def _spread(importance: Tensor, used: Tensor | None) -> Tensor:
    if importance.numel() == 0 or not bool((importance > 0).any()):
        return torch.ones_like(importance, dtype=torch.float32)
    importance = importance.double()
    counted = importance if used is None else importance.masked_select(used)
    score = importance.clamp(min=max(float(counted.min()), _LEAST * float(importance.max()))).log()
    mean = (score if used is None else score.masked_select(used)).mean()
    span = score.max() - mean
    if float(span) <= 1e-9:  # equal but for rounding
        return torch.ones_like(score, dtype=torch.float32)
    return ((score.max() - score) / span).float()


def _check(centrality: Tensor) -> None:
    if centrality.ndim != 1 or not centrality.is_floating_point():
        raise InputError(f"centrality must be (N,) floating, one a node; got {tuple(centrality.shape)} of {centrality.dtype}")
    if not bool((centrality.isfinite() & (centrality >= 0)).all()):
        raise InputError("centralities must be finite and >= 0: they stand in a logarithm")
