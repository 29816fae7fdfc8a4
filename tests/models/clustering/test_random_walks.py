import pytest
import torch

from graphcl.errors import InputError
from graphcl.models.clustering import random_walks
from graphcl.models.clustering.random_walks import walk_positives


def clique(nodes):
    nodes = torch.tensor(nodes)
    pairs = torch.cartesian_prod(nodes, nodes)
    return pairs[pairs[:, 0] != pairs[:, 1]].T


def chances(edge_index, n, length):
    """Expected visits of a walk, dense."""
    a = torch.eye(n, dtype=torch.float64)
    a[edge_index[0], edge_index[1]] = a[edge_index[1], edge_index[0]] = 1
    p = a / a.sum(1, keepdim=True)
    return sum(torch.linalg.matrix_power(p, r) for r in range(1, length + 1))


def listed(adj):
    return adj.to_dense() > 0


def test_positives_of_disconnected_cliques_never_cross():
    edges = torch.cat([clique(range(5)), clique(range(5, 12))], 1)
    found = listed(walk_positives(edges, 12, walks=50, length=3, seed=0))
    assert not found[:5, 5:].any()
    assert not found[5:, :5].any()
    assert not found.diagonal().any()
    assert bool(found.any(1).all())


@pytest.mark.parametrize("length", [1, 2, 4])
def test_many_walks_find_whom_the_powers_of_the_walk_find(length):
    # A star with a tail: expected counts differ clearly from their means.
    edges = torch.tensor([[0, 0, 0, 0, 4, 5], [1, 2, 3, 4, 5, 6]])
    visits = chances(edges, 7, length)
    reached = visits > 0
    visits.fill_diagonal_(0)
    mean = visits.sum(1, keepdim=True) / reached.sum(1, keepdim=True)
    clear = (visits - mean).abs() > 0.02
    want = visits >= mean
    found = listed(walk_positives(edges, 7, walks=4000, length=length, seed=1))
    assert torch.equal(found[clear], want[clear])
    assert clear.float().mean() > 0.7


def test_rows_weigh_all_positives_alike_and_a_node_alone_has_none():
    edges = clique(range(6))
    adj = walk_positives(edges, 8, walks=20, length=2, seed=0)
    dense = adj.to_dense()
    torch.testing.assert_close(dense.sum(1), torch.tensor([1.0] * 6 + [0.0] * 2))
    for row in dense[:6]:
        assert len(row[row > 0].unique()) == 1


def test_directions_and_repeated_edges_do_not_matter():
    edges = torch.tensor([[0, 1, 2, 3], [1, 2, 3, 0]])
    one = walk_positives(edges, 4, walks=30, length=2, seed=4)
    for other in (edges.flip(0), torch.cat([edges, edges.flip(0), edges[:, :1]], 1)):
        assert torch.equal(one.to_dense(), walk_positives(other, 4, walks=30, length=2, seed=4).to_dense())


def test_the_seed_decides():
    edges = clique(range(30))
    one, same, other = (walk_positives(edges, 30, walks=5, length=2, seed=s).to_dense() for s in (0, 0, 1))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_nodes_in_chunks_are_all_met(monkeypatch):
    monkeypatch.setattr(random_walks, "_VISITS", 60)  # three nodes at a time
    edges = torch.cat([clique(range(4)), clique(range(4, 11))], 1)
    found = listed(walk_positives(edges, 11, walks=10, length=2, seed=0))
    assert bool(found.any(1).all())
    assert not found[:4, 4:].any()


def test_a_graph_without_edges_has_no_positives():
    adj = walk_positives(torch.zeros(2, 0, dtype=torch.int64), 5, walks=3, length=2, seed=0)
    assert adj.nnz == 0
    assert adj.num_nodes == 5


@pytest.mark.parametrize(("setting", "message"), [({"walks": 0}, "walks must be >= 1"), ({"length": 0}, "length must be >= 1")])
def test_walks_that_go_nowhere_are_refused(setting, message):
    with pytest.raises(InputError, match=message):
        walk_positives(clique(range(3)), 3, **{"walks": 1, "length": 1, "seed": 0, **setting})
