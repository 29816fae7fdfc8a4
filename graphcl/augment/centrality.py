"""How central each node of a graph is, by four measures; all of them sparse."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, get_args

import torch
from torch import Tensor

from graphcl.errors import InputError, unknown_name
from graphcl.kernels import Adjacency, propagate

Centrality = Literal["degree", "pagerank", "eigenvector", "lazy-walk"]
_STEPS = 24  # vectors of a Krylov space before it is begun anew
_RESTARTS = 100


def node_centrality(adj: Adjacency, measure: Centrality) -> Tensor:
    """The centrality of each node by the name of the measure: `degree`, `pagerank`, `eigenvector` or `lazy_walk`.

    Args:
        adj: Plain weights, no self-loops: ``normalize=None, self_loops=False``.
        measure: Its name.

    Shapes:
        adj: ``(N, N)``; returns: ``(N,)`` float64, ``>= 0``.

    Raises:
        InputError: Unknown, with the nearest name.
    """
    if measure not in get_args(Centrality):
        raise unknown_name("centrality", str(measure), get_args(Centrality))
    return _MEASURES[measure](adj)


def degree(adj: Adjacency) -> Tensor:
    """The sum of the weights that reach each node: its degree, in a directed graph the in-degree. Time ``O(E)``.

    Shapes:
        adj: ``(N, N)``; returns: ``(N,)`` float64.
    """
    return adj.degree.double()


@torch.no_grad()
def pagerank(adj: Adjacency, *, damping: float = 0.85, tolerance: float = 1e-10, max_iterations: int = 200) -> Tensor:
    """Where a walker is found who follows an edge with probability ``damping``, and else jumps anywhere.

    ``x = (1 - damping) / N + damping A D^-1 x``, with ``D`` the weights that leave a node; who can go nowhere jumps anywhere.
    Time ``O(E)`` an iteration, of which about ``log(tolerance) / log(damping)`` are needed, 142 by default.
    Page et al., 1999, http://ilpubs.stanford.edu:8090/422/.

    Args:
        adj: Plain weights.
        damping: In ``[0, 1)``.
        tolerance: Sum of changes below which the iteration ends.
        max_iterations: It ends then in any case.

    Shapes:
        adj: ``(N, N)``; returns: ``(N,)`` float64, sums to 1.

    Raises:
        InputError: A damping out of range.
    """
    if not 0 <= damping < 1:
        raise InputError(f"damping must lie in [0, 1), the probability to follow an edge; got {damping}")
    n = max(adj.num_nodes, 1)
    adj, share, stuck = _walk(adj)
    x = torch.full_like(share, 1 / n)
    for _ in range(max_iterations):
        before = x
        x = (1 - damping) / n + damping * (propagate(adj, x * share) + (x * stuck).sum() / n)
        if float((x - before).abs().sum()) < tolerance:
            break
    return x


@torch.no_grad()
def lazy_walk(adj: Adjacency, *, stay: float = 0.15, iterations: int = 200) -> Tensor:
    """Where a walker is found after ``iterations`` steps, who at each stays with probability ``stay`` and never jumps.

    ``x <- stay x + (1 - stay) A D^-1 x`` from equal parts; who can go nowhere stays. On a connected undirected graph it comes
    to a multiple of the degree, elsewhere the parts keep what they began with. Time ``O(E)`` an iteration. It is what the code
    of Zhu et al., 2021 (GCA), https://arxiv.org/abs/2010.14945, computes under the name of PageRank.

    Args:
        adj: Plain weights.
        stay: In ``[0, 1]``.
        iterations: Number of steps, ``>= 0``.

    Shapes:
        adj: ``(N, N)``; returns: ``(N,)`` float64, sums to 1.

    Raises:
        InputError: A probability out of range, a negative number of steps.
    """
    if not 0 <= stay <= 1:
        raise InputError(f"stay is a probability and lies in 0 .. 1; got {stay}")
    if iterations < 0:
        raise InputError(f"iterations must be >= 0; got {iterations}")
    adj, share, stuck = _walk(adj)
    x = torch.full_like(share, 1 / max(adj.num_nodes, 1))
    for _ in range(iterations):
        x = stay * x + (1 - stay) * (propagate(adj, x * share) + x * stuck)
    return x


@torch.no_grad()
def eigenvector(adj: Adjacency, *, tolerance: float = 1e-8) -> Tensor:
    """The leading eigenvector of ``A``, of length 1 and without negative entries: central is who is reached by the central.

    By Arnoldi's iteration from a vector of ones, begun anew until the residual is small, so that the answer knows no order of
    the nodes; where several parts of the graph share the leading eigenvalue, the projection of ones. Parts with a smaller one
    have 0. Time ``O(E + 24 N)`` a product, memory ``O(24 N)``. Bonacich, 1987, https://doi.org/10.1086/228631.

    Args:
        adj: Plain weights.
        tolerance: Of the residual, relative to the eigenvalue.

    Shapes:
        adj: ``(N, N)``; returns: ``(N,)`` float64, in ``0 .. 1``.
    """
    adj = adj.to(dtype=torch.float64)
    v = torch.ones(adj.num_nodes, dtype=torch.float64, device=adj.device)
    if adj.num_nodes == 0:
        return v
    v /= v.norm()
    for _ in range(_RESTARTS):
        v, residual = _leading(adj, v)
        if residual <= tolerance:
            break
    return (v if float(v.sum()) >= 0 else -v).clamp_(min=0)


def _walk(adj: Adjacency) -> tuple[Adjacency, Tensor, Tensor]:
    """The graph in double precision, 1 over what leaves each node, and which nodes nothing leaves."""
    adj = adj.to(dtype=torch.float64)
    leaving = adj.values.new_zeros(adj.num_nodes).index_add_(0, adj.pattern.col, adj.values)
    stuck = leaving == 0
    return adj, leaving.masked_fill(stuck, 1.0).reciprocal().masked_fill(stuck, 0.0), stuck.double()


def _leading(adj: Adjacency, start: Tensor) -> tuple[Tensor, float]:
    """The leading eigenvector within the Krylov space of a vector of length 1, and its residual over the eigenvalue."""
    size = min(_STEPS, len(start))
    basis, small = [start], torch.zeros(size + 1, size, dtype=torch.float64)
    for step in range(size):
        image = propagate(adj, basis[-1])
        length = float(image.norm())
        held = torch.stack(basis)
        for _ in range(2):  # once more takes out what rounding has left
            parts = held @ image
            image = image - parts @ held
            small[: step + 1, step] += parts.cpu()
        small[step + 1, step] = image.norm()
        if float(small[step + 1, step]) <= 1e-12 * length:  # the space is closed: its eigenvectors are exact
            size = step + 1
            small[size, step] = 0.0
            break
        basis.append(image / small[step + 1, step].to(image.device))
    values, vectors = torch.linalg.eig(small[:size, :size])
    at = int(values.real.argmax())
    parts = vectors[:, at].real
    parts = parts / parts.norm()
    residual = float(small[size, size - 1] * parts[-1].abs()) / max(float(values.real[at]), torch.finfo(torch.float64).tiny)
    v = parts.to(start.device) @ torch.stack(basis[:size])
    return v / v.norm(), residual


_MEASURES: dict[str, Callable[[Adjacency], Tensor]] = {
    "degree": degree,
    "pagerank": pagerank,
    "eigenvector": eigenvector,
    "lazy-walk": lazy_walk,
}
