"""Dropped edges: a step sees the graph without some of its interactions."""

from __future__ import annotations

from graphcl.errors import InputError
from graphcl.recsys.graph.bipartite import Bipartite


def drop_edges(graph: Bipartite, rate: float) -> Bipartite:
    """The graph without each edge with probability ``rate``, the others divided by ``1 - rate``, degrees as they were.

    The expected operator is the graph's own. Drawn out of torch's own generator; time and memory ``O(E)``.

    Args:
        graph: Whole.
        rate: In ``[0, 1)``; 0 gives the graph itself and draws nothing.

    Raises:
        InputError: A rate out of range.
    """
    if not 0 <= rate < 1:
        raise InputError(f"the share of dropped edges must be in [0, 1); got {rate:g}")
    if rate == 0:
        return graph
    values = graph.matrix.values
    return graph.reweight(values * values.new_empty(values.shape).bernoulli_(1 - rate) / (1 - rate))
