from __future__ import annotations

import networkx as nx
import numpy as np
import pytest
import torch

from graphcl.augment.centrality import degree, eigenvector, lazy_walk, node_centrality, pagerank
from graphcl.errors import InputError
from graphcl.kernels import Adjacency

MEASURES = ("degree", "pagerank", "eigenvector", "lazy-walk")


def operator(edges, n, weight=None):
    edge_index = torch.tensor(edges, dtype=torch.long).reshape(-1, 2).T
    return Adjacency.from_edge_index(edge_index, n, edge_weight=weight, normalize=None, self_loops=False)


def both_ways(pairs):
    return [(a, b) for a, b in pairs] + [(b, a) for a, b in pairs]


def random_graph(n=40, *, directed=False, seed=0):
    graph = nx.gnp_random_graph(n, 0.1, seed=seed, directed=directed)
    edges = list(graph.edges)
    return graph, operator(edges if directed else both_ways(edges), n)


def by_networkx(scores, n):
    return torch.tensor([scores[i] for i in range(n)], dtype=torch.float64)


@pytest.mark.parametrize("directed", [False, True])
def test_pagerank_is_networkxs_also_where_nodes_lead_nowhere(directed):
    graph, adj = random_graph(directed=directed)
    assert not directed or min(d for _, d in graph.out_degree()) == 0
    want = by_networkx(nx.pagerank(graph, alpha=0.85, tol=1e-12, max_iter=1000), 40)
    torch.testing.assert_close(pagerank(adj), want, rtol=1e-7, atol=1e-9)
    torch.testing.assert_close(pagerank(adj, damping=0.5), by_networkx(nx.pagerank(graph, alpha=0.5, tol=1e-12), 40))
    assert float(pagerank(adj).sum()) == pytest.approx(1)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("directed", [False, True])
def test_the_eigenvector_is_the_dense_one(directed, seed):
    _, adj = random_graph(directed=directed, seed=seed)
    values, vectors = np.linalg.eig(adj.to_dense().double().numpy())
    want = vectors[:, values.real.argmax()].real
    want = torch.from_numpy(want * np.sign(want.sum())).clamp(min=0)
    torch.testing.assert_close(eigenvector(adj), want, rtol=1e-5, atol=1e-6)


def test_the_eigenvector_of_bipartite_and_weighted_graphs_and_of_equal_parts():
    star = eigenvector(operator(both_ways([(0, i) for i in range(1, 5)]), 5))
    torch.testing.assert_close(star, torch.tensor([0.5**0.5, *[0.125**0.5] * 4], dtype=torch.float64))
    heavy = operator(both_ways([(0, 1), (2, 3)]), 4, torch.tensor([1.0, 2.0, 1.0, 2.0]))
    torch.testing.assert_close(eigenvector(heavy), torch.tensor([0, 0, 0.5**0.5, 0.5**0.5], dtype=torch.float64))
    equal = operator(both_ways([(0, 1), (2, 3)]), 4)
    torch.testing.assert_close(eigenvector(equal), torch.full((4,), 0.5, dtype=torch.float64))


def test_many_nodes_take_several_starts_and_end_with_a_small_residual():
    graph = nx.barabasi_albert_graph(3000, 2, seed=0)
    adj = operator(both_ways(graph.edges), 3000)
    v = eigenvector(adj)
    image = adj.to_dense().double() @ v
    torch.testing.assert_close(image, float(v @ image) * v, rtol=1e-5, atol=1e-7)


def test_the_lazy_walk_comes_to_a_multiple_of_the_degree():
    graph = nx.connected_watts_strogatz_graph(30, 4, 0.5, seed=1)
    adj = operator(both_ways(graph.edges), 30)
    torch.testing.assert_close(lazy_walk(adj, iterations=2000), degree(adj) / degree(adj).sum())
    ratio = pagerank(adj) / degree(adj)
    assert ratio.max() > 1.02 * ratio.min()  # jumps make it another measure


def test_a_step_of_the_lazy_walk_is_the_formula():
    _, adj = random_graph(directed=True)
    a = adj.to_dense().double()
    leaving = a.sum(0)
    stuck = leaving == 0
    x = torch.full((40,), 1 / 40, dtype=torch.float64)
    want = 0.15 * x + 0.85 * (a @ (x / leaving.clamp(min=1)) + stuck * x)
    torch.testing.assert_close(lazy_walk(adj, iterations=1), want)


def test_the_degree_counts_what_reaches_a_node():
    adj = operator([(0, 1), (2, 1), (1, 0)], 4, torch.tensor([1.0, 0.5, 2.0]))
    assert degree(adj).tolist() == [2.0, 1.5, 0.0, 0.0]


@pytest.mark.parametrize("measure", MEASURES)
def test_the_order_of_nodes_only_orders_the_answer(measure):
    graph, adj = random_graph(seed=3)
    order = torch.randperm(40, generator=torch.Generator().manual_seed(0))
    edges = torch.tensor(both_ways(graph.edges)).T
    moved = Adjacency.from_edge_index(order.argsort()[edges], 40, normalize=None, self_loops=False)
    torch.testing.assert_close(node_centrality(moved, measure), node_centrality(adj, measure)[order], rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("n", [1, 3])
def test_a_graph_without_edges_has_equal_centralities(measure, n):
    c = node_centrality(operator([], n), measure)
    assert c.dtype == torch.float64
    torch.testing.assert_close(c, c[:1].expand(n))


def test_what_is_out_of_range_is_refused():
    adj = operator([(0, 1)], 2)
    with pytest.raises(InputError, match="unknown centrality 'degre'; did you mean degree"):
        node_centrality(adj, "degre")
    with pytest.raises(InputError, match="damping must lie in"):
        pagerank(adj, damping=1.0)
    with pytest.raises(InputError, match="stay is a probability"):
        lazy_walk(adj, stay=2.0)
    with pytest.raises(InputError, match="iterations must be >= 0; got -1"):
        lazy_walk(adj, iterations=-1)
