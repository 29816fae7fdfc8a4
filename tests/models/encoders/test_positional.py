import math

import numpy as np
import pytest
import torch

from graphcl.datasets import load
from graphcl.errors import InputError
from graphcl.kernels import Adjacency
from graphcl.models.encoders import positional_features


def undirected(edges, n, **options):
    index = torch.tensor(edges, dtype=torch.int64).reshape(-1, 2).T
    return Adjacency.from_edge_index(torch.cat([index, index.flip(0)], 1), n, **options)


def random_graph(n=31, seed=0):
    torch.manual_seed(seed)
    ring = [(i, (i + 1) % n) for i in range(n)]
    return undirected(ring + torch.randint(n, (n, 2)).tolist(), n)


GRAPHS = {
    "karate": lambda: Adjacency.from_edge_index(load("karate").edge_index, 34),
    "random": random_graph,
    # Few distinct eigenvalues: Lanczos runs out of directions and has to start again.
    "cliques": lambda: undirected([(4 * c + i, 4 * c + j) for c in range(6) for i in range(4) for j in range(i)], 24),
    "star": lambda: undirected([(0, i) for i in range(1, 10)], 10),
    "no edges": lambda: undirected([], 20),
    "isolated nodes": lambda: undirected([(0, 1), (1, 2), (2, 3), (3, 0)], 12),
}


@pytest.mark.parametrize("name", GRAPHS)
def test_the_same_numbers_come_every_time(name):
    first = positional_features(GRAPHS[name](), 8)
    for _ in range(3):
        assert torch.equal(positional_features(GRAPHS[name](), 8), first)


@pytest.mark.parametrize("name", GRAPHS)
def test_columns_are_eigenvectors_scaled_by_their_eigenvalues_largest_first(name):
    adj = GRAPHS[name]()
    n = adj.num_nodes
    columns = positional_features(adj, 8)[:, :-1].double()
    value = torch.linalg.eigvalsh(adj.to_dense().double()).flip(0)[: columns.shape[1]].clamp(min=0)
    torch.testing.assert_close(adj.to_dense().double() @ columns, columns * value, rtol=0, atol=1e-4)
    torch.testing.assert_close(columns.norm(dim=0), value * math.sqrt(n), rtol=1e-5, atol=1e-5)


def test_columns_are_the_dense_eigenvectors_up_to_sign_and_the_largest_entry_is_positive():
    adj = random_graph()
    columns = positional_features(adj, 5)[:, :-1].double()
    value, vector = torch.linalg.eigh(adj.to_dense().double())
    want = vector.flip(1)[:, :5] * value.flip(0)[:5].clamp(min=0) * math.sqrt(31)
    signs = torch.where((want * columns).sum(0) < 0, -1.0, 1.0)
    torch.testing.assert_close(columns, want * signs, rtol=1e-3, atol=1e-4)
    assert (columns.gather(0, columns.abs().argmax(0, keepdim=True)) > 0).all()


def test_the_first_column_of_a_connected_graph_is_the_root_of_the_degree():
    adj = random_graph()
    root = adj.degree.double().sqrt()
    torch.testing.assert_close(
        positional_features(adj, 3)[:, 0].double(), root / root.norm() * math.sqrt(31), rtol=1e-5, atol=1e-5
    )


def test_the_last_column_is_the_standardised_log_degree():
    adj = random_graph()
    log = adj.degree.double().log1p()
    want = (log - log.mean()) / log.std(correction=0)
    torch.testing.assert_close(positional_features(adj, 3)[:, -1].double(), want, rtol=1e-5, atol=1e-5)


def test_equal_degrees_give_a_column_of_zeros():
    ring = undirected([(i, (i + 1) % 7) for i in range(7)], 7)
    torch.testing.assert_close(positional_features(ring, 2)[:, -1], torch.zeros(7), atol=1e-4, rtol=0)


@pytest.mark.parametrize(("n", "width", "columns"), [(4, 32, 3), (7, 32, 6), (31, 1, 2), (31, 29, 30), (31, 32, 30)])
def test_the_width_is_cut_to_what_the_graph_has(n, width, columns):
    out = positional_features(random_graph(n), width)
    assert out.shape == (n, columns)
    assert out.dtype == torch.float32
    assert out.isfinite().all()


def test_renaming_nodes_renames_rows():
    torch.manual_seed(0)
    edges = torch.tensor([(i, (i + 1) % 31) for i in range(31)] + torch.randint(31, (31, 2)).tolist())
    order = torch.randperm(31)
    moved = order.argsort()[edges].tolist()
    out, other = positional_features(undirected(edges.tolist(), 31), 4), positional_features(undirected(moved, 31), 4)
    torch.testing.assert_close(other, out[order], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("n", [1, 3])
def test_fewer_than_four_nodes_are_refused(n):
    with pytest.raises(InputError, match=f"at least 4 nodes; got {n}: give the nodes features instead"):
        positional_features(undirected([(0, n - 1)], n))


def test_a_directed_graph_is_refused_with_the_remedy():
    adj = Adjacency.from_edge_index(torch.tensor([[0, 1, 2, 3], [1, 2, 3, 4]]), 5)
    with pytest.raises(InputError, match="undirected graph: add the reverse of every edge"):
        positional_features(adj)


def test_an_operator_of_zeros_is_refused():
    with pytest.raises(InputError, match="need an edge or self-loops"):
        positional_features(undirected([], 5, self_loops=False))


@pytest.mark.parametrize("width", [0, -1])
def test_a_width_below_one_is_refused(width):
    with pytest.raises(InputError, match=f"width, the number of eigenvectors, must be >= 1; got {width}"):
        positional_features(random_graph(), width)


def test_large_graphs_get_a_subspace_in_which_smooth_vectors_prevail(monkeypatch):
    groups, size = 4, 60
    generator = np.random.default_rng(0)
    blocks = np.arange(groups * size) // size
    dense = np.triu(generator.random((len(blocks), len(blocks))) < np.where(blocks[:, None] == blocks, 0.3, 0.002), 1)
    adj = Adjacency.from_edge_index(torch.from_numpy(np.array(np.nonzero(dense | dense.T))), len(blocks))
    exact = positional_features(adj, 4)
    monkeypatch.setattr("graphcl.models.encoders.positional.LARGEST_EXACT", 10)
    found = positional_features(adj, 4)
    assert torch.equal(found, positional_features(adj, 4))
    for column in range(4):  # the four that tell the blocks apart stand clear of the rest
        cosine = torch.nn.functional.cosine_similarity(found[:, column], exact[:, column], dim=0)
        assert cosine > 0.99
