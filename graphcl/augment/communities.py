"""Communities of a graph, and probabilities to drop edges and mask features that spare the strong ones."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Literal, get_args

import networkx as nx
import torch
from torch import Tensor

from graphcl.errors import InputError, unknown_name

Detector = Literal["auto", "leiden", "louvain"]


@torch.no_grad()
def find_communities(edge_index: Tensor, num_nodes: int, *, method: Detector = "auto", seed: int = 0) -> Tensor:
    """The community of each node, by modularity; directions, weights, loops and repetitions of edges do not count.

    ``"leiden"`` needs the packages ``leidenalg`` and ``igraph``; ``"louvain"`` is networkx's, in plain Python, some seconds for
    100,000 edges; ``"auto"`` is Leiden where it is installed. Time about ``O(E log N)``, memory ``O(N + E)``. What is found
    depends on the seed and on the order of the nodes. A node without edges is a community of its own.

    Traag et al., 2019 (Leiden), https://arxiv.org/abs/1810.08473; Blondel et al., 2008 (Louvain),
    https://arxiv.org/abs/0803.0476.

    Args:
        edge_index: Row 0 sources, row 1 targets.
        num_nodes: ``N``.
        method: ``"auto"``, ``"leiden"`` or ``"louvain"``.
        seed: Of the search.

    Shapes:
        edge_index: ``(2, E)``; returns: ``(N,)`` int64, numbered from 0 by their first nodes.

    Raises:
        InputError: Edges of nodes that are not there, an unknown method, or one that is not installed.
    """
    if method not in get_args(Detector):
        raise unknown_name("method", str(method), get_args(Detector))
    if edge_index.ndim != 2 or edge_index.size(0) != 2:
        raise InputError(f"edge_index must be (2, E), sources and targets; got {tuple(edge_index.shape)}")
    if edge_index.numel() and (int(edge_index.min()) < 0 or int(edge_index.max()) >= num_nodes):
        raise InputError(f"edges must join nodes 0 .. {num_nodes - 1}; got {int(edge_index.min())} .. {int(edge_index.max())}")
    here = find_spec("leidenalg") is not None and find_spec("igraph") is not None
    if method == "leiden" and not here:
        raise InputError("Leiden is not installed: pip install leidenalg igraph, or take method='louvain'")
    source, target = edge_index.long().cpu()
    pairs = torch.stack([torch.minimum(source, target), torch.maximum(source, target)])[:, source != target]
    pairs = torch.unique(pairs, dim=1)
    if pairs.numel() == 0:
        return torch.arange(num_nodes, device=edge_index.device)
    found = _leiden(pairs, num_nodes, seed) if here and method != "louvain" else _louvain(pairs, num_nodes, seed)
    return _by_first_node(found).to(edge_index.device)


@torch.no_grad()
def community_edge_drop(strength: Tensor, assignment: Tensor, edge_index: Tensor, rate: float) -> Tensor:
    """Probabilities to drop edges: edges inside strong communities stay, those between strong ones go first.

    ``1 - min((1 - rate) v_e / mean(v), 1)`` where ``v`` is ``w`` scaled to ``0 .. 1`` and ``w_e`` is the strength of the
    community that holds the edge, or minus the sum of both. ``rate`` on average where nothing is cut off at 1, and more where
    something is. All ``rate`` where all edges are alike. Time ``O(E)``.

    Chen et al., 2023 (CSGCL), https://arxiv.org/abs/2305.04658. Differs: equal edges are no division of 0 by 0.

    Args:
        strength: Of each node's community, by `graphcl.negatives.community_strength`.
        assignment: Community of each node.
        edge_index: The edges.
        rate: Mean probability to go, in ``0 .. 1``.

    Shapes:
        strength, assignment: ``(N,)``; edge_index: ``(2, E)``; returns: ``(E,)`` float32.

    Raises:
        InputError: A rate out of range; strengths that are not finite or not one for each node.
    """
    _check(strength, rate)
    if assignment.shape != strength.shape:
        raise InputError(f"strength and assignment speak of {len(strength)} and {len(assignment)} nodes: give one each a node")
    source, target = edge_index.long()
    of_source, of_target = (strength.double().index_select(0, ends) for ends in (source, target))
    together = assignment.index_select(0, source) == assignment.index_select(0, target)
    kept = _unit_range(torch.where(together, of_source, -of_source - of_target))
    return (1 - ((1 - rate) * kept).clamp(max=1.0)).float()


@torch.no_grad()
def community_feature_mask(strength: Tensor, x: Tensor, rate: float) -> Tensor:
    """Probabilities to mask feature columns: those that stand on nodes of strong communities stay.

    ``min(rate v_f / mean(v), 1)`` with ``v_f = (max - u_f) / (max - min)`` and ``u_f = log sum_i |x_if| strength_i``. All
    ``rate`` where all columns are alike. Time ``O(nnz(x))``.

    Chen et al., 2023 (CSGCL), https://arxiv.org/abs/2305.04658. Differs: a sum below 0, of columns on weak communities, has
    no logarithm and counts as the least that has one; as there, a column that nobody has counts as the largest.

    Args:
        strength: Of each node's community, by `graphcl.negatives.community_strength`.
        x: Features, dense or CSR.
        rate: Mean probability to be masked, in ``0 .. 1``.

    Shapes:
        strength: ``(N,)``; x: ``(N, F)``; returns: ``(F,)`` float32.

    Raises:
        InputError: A rate out of range; strengths that are not finite or not one for each row.
    """
    _check(strength, rate)
    if x.ndim != 2 or len(x) != len(strength):
        raise InputError(f"x must be (N, F) with a row for each of the {len(strength)} strengths; got {tuple(x.shape)}")
    if x.layout == torch.strided:
        votes = strength.double() @ x.abs().double()
        has = (x != 0).any(0)
    else:
        rows = torch.repeat_interleave(x.crow_indices().diff())
        values, zeros = x.values().abs().double(), torch.zeros(x.size(1), dtype=torch.float64, device=x.device)
        votes = zeros.index_add(0, x.col_indices(), values * strength.double().index_select(0, rows))
        has = zeros.index_add(0, x.col_indices(), values) > 0
    good = votes > 1e-12 * votes.abs().max().clamp(min=torch.finfo(torch.float64).tiny)
    if not bool(good.any()):
        return torch.full((x.size(1),), rate, device=x.device)
    votes = votes.clamp(min=float(votes.masked_select(good).min()))
    votes = torch.where(has, votes, votes.max()).log()
    return (rate * _unit_range(-votes)).clamp(max=1.0).float()


def _unit_range(weight: Tensor) -> Tensor:
    """Scaled to ``0 .. 1``, then to a mean of 1; ones where all are equal."""
    if weight.numel() == 0:
        return weight
    low, high = weight.min(), weight.max()
    if float(high - low) <= 1e-9:  # equal but for rounding
        return torch.ones_like(weight)
    scaled = (weight - low) / (high - low)
    return scaled / scaled.mean()


def _check(strength: Tensor, rate: float) -> None:
    if not 0 <= rate <= 1:
        raise InputError(f"rate is a probability and lies in 0 .. 1; got {rate}")
    if strength.ndim != 1 or not bool(strength.isfinite().all()):
        raise InputError(f"strength must be a vector of finite numbers, one a node; got {tuple(strength.shape)}")


def _by_first_node(found: Tensor) -> Tensor:
    """The same communities, numbered in the order in which their first nodes come."""
    _, names = torch.unique(found, return_inverse=True)
    first = torch.full((int(names.max()) + 1 if len(names) else 0,), len(names))
    first.scatter_reduce_(0, names, torch.arange(len(names)), "amin")
    return first.argsort().argsort().index_select(0, names)


def _louvain(pairs: Tensor, num_nodes: int, seed: int) -> Tensor:
    graph: nx.Graph[int] = nx.Graph()
    graph.add_nodes_from(range(num_nodes))
    graph.add_edges_from(pairs.T.tolist())
    found = torch.empty(num_nodes, dtype=torch.int64)
    for name, members in enumerate(nx.community.louvain_communities(graph, seed=seed)):
        found[list(members)] = name
    return found


def _leiden(pairs: Tensor, num_nodes: int, seed: int) -> Tensor:
    igraph, leidenalg = import_module("igraph"), import_module("leidenalg")
    graph = igraph.Graph(n=num_nodes, edges=pairs.T.tolist())
    return torch.tensor(leidenalg.find_partition(graph, leidenalg.ModularityVertexPartition, seed=seed).membership)
