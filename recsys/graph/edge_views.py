"""Random parts of the graph between users and items, as contrast compares them."""

from __future__ import annotations

import torch
from torch import Tensor

from graphcl.errors import InputError
from graphcl.recsys.graph.bipartite import Bipartite


def without_edges(graph: Bipartite, rate: float, *, generator: torch.Generator | None = None) -> Bipartite:
    """The graph with ``floor((1 - rate) E)`` of its interactions, all such sets equally likely, normalised anew.

    Time and memory ``O(E)``.

    Args:
        graph: The whole.
        rate: Share that goes, in ``[0, 1)``.
        generator: On the graph's device; torch's own when ``None``.

    Raises:
        InputError: A rate out of range.
    """
    _check(rate)
    # A hair above, here and below, since 0.9 * 10 and its like may miss a whole number by the last bit.
    dropped = graph.num_interactions - int((1 - rate) * graph.num_interactions + 1e-9)
    return graph.kept(_left(graph.num_interactions, dropped, graph.device, generator))


def without_nodes(graph: Bipartite, rate: float, *, generator: torch.Generator | None = None) -> Bipartite:
    """The graph without ``floor(rate U)`` users and ``floor(rate I)`` items: they stay, but their interactions go.

    Arguments, cost and errors as for `without_edges`.
    """
    _check(rate)
    user, item = (
        _left(count, int(rate * count + 1e-9), graph.device, generator) for count in (graph.num_users, graph.num_items)
    )
    pattern = graph.matrix.pattern
    return graph.kept(user.index_select(0, pattern.row) & item.index_select(0, pattern.col))


def _check(rate: float) -> None:
    if not 0 <= rate < 1:
        raise InputError(f"the share that goes must lie in [0, 1); got {rate}")


def _left(count: int, dropped: int, device: torch.device, generator: torch.Generator | None) -> Tensor:
    """Which of ``count`` things stay; all sets of ``dropped`` that go are equally likely."""
    left = torch.ones(count, dtype=torch.bool, device=device)
    return left.index_fill_(0, torch.randperm(count, device=device, generator=generator)[:dropped], False)
