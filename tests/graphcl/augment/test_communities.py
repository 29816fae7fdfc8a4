from types import SimpleNamespace

import networkx as nx
import pytest
import torch

import graphcl.augment.communities as module
from graphcl.augment.communities import community_edge_drop, community_feature_mask, find_communities
from graphcl.errors import InputError
from graphcl.negatives import community_strength


def cliques(count=3, size=5, bridge=True):
    """Cliques in a row, neighbours joined by one edge, in both directions; one more node without edges."""
    edges = [(c * size + a, c * size + b) for c in range(count) for a in range(size) for b in range(a)]
    edges += [(c * size, (c + 1) * size) for c in range(count - 1) if bridge]
    edges = torch.tensor(edges).T
    return torch.cat([edges, edges.flip(0)], 1), count * size + 1


def test_cliques_are_found_and_a_node_alone_is_one_more():
    edges, n = cliques()
    want = torch.cat([torch.arange(3).repeat_interleave(5), torch.tensor([3])])
    for seed in range(3):
        assert torch.equal(find_communities(edges, n, seed=seed), want)
    loops = torch.arange(n).repeat(2, 1)
    assert torch.equal(find_communities(torch.cat([edges, edges, loops], 1), n), want)
    assert torch.equal(find_communities(edges[:, : edges.size(1) // 2], n), want)


def test_strengths_sum_to_the_modularity_that_networkx_says():
    graph = nx.karate_club_graph()
    edges = torch.tensor(list(graph.edges)).T
    found = find_communities(edges, 34, method="louvain", seed=1)
    strength = community_strength(edges, found)
    total = sum(float(strength[found == c][0]) for c in found.unique())
    groups = [set((found == c).nonzero().flatten().tolist()) for c in found.unique()]
    assert total == pytest.approx(nx.community.modularity(graph, groups, weight=None), abs=1e-6)
    assert total > 0.4
    assert torch.equal(find_communities(edges, 34, method="louvain", seed=1), found)


def test_leiden_is_asked_with_each_edge_once_where_it_is_installed(monkeypatch):
    asked = {}

    def find_partition(graph, kind, *, seed):
        asked.update(graph=graph, kind=kind, seed=seed)
        return SimpleNamespace(membership=[7, 7, 2, 2])

    packages = {
        "igraph": SimpleNamespace(Graph=lambda n, edges: (n, edges)),
        "leidenalg": SimpleNamespace(find_partition=find_partition, ModularityVertexPartition="modularity"),
    }
    monkeypatch.setattr(module, "find_spec", packages.get)
    monkeypatch.setattr(module, "import_module", packages.get)
    edges = torch.tensor([[0, 1, 2, 3, 3], [1, 0, 3, 2, 3]])
    for method in ("auto", "leiden"):
        assert find_communities(edges, 4, method=method, seed=5).tolist() == [0, 0, 1, 1]
    assert asked == {"graph": (4, [[0, 1], [2, 3]]), "kind": "modularity", "seed": 5}


def test_nothing_to_find_gives_nothing():
    assert find_communities(torch.zeros(2, 0, dtype=torch.long), 3).tolist() == [0, 1, 2]
    assert find_communities(torch.zeros(2, 0, dtype=torch.long), 0).shape == (0,)


def test_edges_inside_strong_communities_stay_by_the_formula():
    edges, n = cliques()
    found = find_communities(edges, n)
    strength = community_strength(edges, found)
    p = community_edge_drop(strength, found, edges, 0.3)
    w = [float(strength[s]) if found[s] == found[t] else -float(strength[s]) - float(strength[t]) for s, t in edges.T.tolist()]
    w = torch.tensor(w, dtype=torch.float64)
    v = (w - w.min()) / (w.max() - w.min())
    torch.testing.assert_close(p.double(), 1 - (0.7 * v / v.mean()).clamp(max=1), rtol=1e-5, atol=1e-6)
    between = found[edges[0]] != found[edges[1]]
    assert p[between].min() > p[~between].max()
    assert p.max() == 1.0


@pytest.mark.parametrize("sparse", [False, True])
def test_columns_of_strong_communities_stay_by_the_formula(sparse):
    torch.manual_seed(0)
    strength = torch.rand(20) + 0.01
    x = (torch.rand(20, 7) - 0.6).relu() - (torch.rand(20, 7) - 0.8).relu()
    x[:, 3] = 0
    p = community_feature_mask(strength, x.to_sparse_csr() if sparse else x, 0.4)
    votes = (x.abs().double() * strength.double()[:, None]).sum(0)
    votes[3] = votes.max()
    u = votes.log()
    v = (u.max() - u) / (u.max() - u.min())
    torch.testing.assert_close(p.double(), (0.4 * v / v.mean()).clamp(max=1), rtol=1e-5, atol=1e-6)
    assert p[3] == 0


def test_columns_of_weak_communities_go_first_and_are_no_nan():
    strength, x = torch.tensor([0.2, 0.1, -0.01]), torch.eye(3)
    p = community_feature_mask(strength, x, 0.2)
    assert p.isfinite().all()
    assert p[0] == 0
    assert p[2] == p[1] == p.max()


def test_equal_edges_and_columns_go_at_the_rate():
    edges, n = cliques(count=2, bridge=False)
    zero = torch.zeros(n)
    for p in (
        community_edge_drop(zero, torch.zeros(n).long(), edges, 0.3),
        community_feature_mask(zero, torch.rand(n, 4), 0.3),
        community_feature_mask(torch.ones(n), torch.ones(n, 4), 0.3),
    ):
        torch.testing.assert_close(p, torch.full_like(p, 0.3))
    assert community_edge_drop(zero, torch.zeros(n).long(), edges[:, :0], 0.3).shape == (0,)


def test_what_is_wrong_is_named(monkeypatch):
    edges, n = cliques()
    with pytest.raises(InputError, match="unknown method 'leidn'"):
        find_communities(edges, n, method="leidn")
    with pytest.raises(InputError, match=r"must join nodes 0 \.\. 4; got 0 \.\. 14"):
        find_communities(edges, 5)
    with pytest.raises(InputError, match=r"edge_index must be \(2, E\)"):
        find_communities(edges.T, n)
    monkeypatch.setattr(module, "find_spec", lambda _: None)
    with pytest.raises(InputError, match="pip install leidenalg igraph"):
        find_communities(edges, n, method="leiden")
    with pytest.raises(InputError, match=r"rate is a probability and lies in 0 \.\. 1; got 1.5"):
        community_edge_drop(torch.zeros(n), torch.zeros(n).long(), edges, 1.5)
    with pytest.raises(InputError, match="finite numbers, one a node"):
        community_feature_mask(torch.full((n,), torch.nan), torch.ones(n, 2), 0.5)
    with pytest.raises(InputError, match="a row for each of the 16 strengths"):
        community_feature_mask(torch.zeros(n), torch.ones(3, 2), 0.5)
    with pytest.raises(InputError, match="speak of 16 and 3 nodes"):
        community_edge_drop(torch.zeros(n), torch.zeros(3).long(), edges, 0.5)
