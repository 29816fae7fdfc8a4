import networkx as nx
import torch
from sklearn.datasets import load_digits
from sklearn.neighbors import kneighbors_graph

from graphcl.datasets import load


def test_digits_are_the_ten_nearest_neighbours_of_the_pixels():
    data = load("digits")
    assert data.x.shape == (1797, 64)
    assert data.x.dtype == torch.float32
    assert float(data.x.max()) == 1
    assert data.y.bincount().tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert data.is_undirected()
    assert not data.has_self_loops()
    assert int(data.edge_index[0].bincount().min()) >= 10
    # Apart from ties at the tenth place, scikit-learn's own graph.
    theirs = kneighbors_graph(load_digits().data, 10)
    theirs = theirs.maximum(theirs.T).tocoo()
    both = set(zip(theirs.row.tolist(), theirs.col.tolist(), strict=True)) & set(map(tuple, data.edge_index.T.tolist()))
    assert len(both) > 0.995 * theirs.nnz


def test_digits_are_the_same_every_time_and_take_other_neighbours():
    first, second = load("digits"), load("digits")
    assert torch.equal(first.edge_index, second.edge_index)
    assert first.provenance.sha256 == second.provenance.sha256
    assert load("digits", knn=3).provenance.counts["knn"] == 3


def test_karate_has_two_clubs_and_weighted_ties():
    data = load("karate")
    graph = nx.karate_club_graph()
    assert (data.num_nodes, data.edge_index.shape[1]) == (34, 156)
    assert data.x is None
    assert data.y.tolist() == [int(club != "Mr. Hi") for _, club in graph.nodes(data="club")]
    for (u, v), weight in zip(data.edge_index.T.tolist(), data.edge_weight.tolist(), strict=True):
        assert graph[u][v]["weight"] == weight


def test_davis_joins_women_and_events():
    data = load("davis")
    assert data.bipartite.bincount().tolist() == [18, 14]
    assert data.bipartite.dtype == torch.int64
    assert (data.bipartite[data.edge_index[0]] != data.bipartite[data.edge_index[1]]).all()
    assert data.node_ids[0] == "Evelyn Jefferson"
    assert data.x is None
    assert data.y is None
    assert data.edge_index.shape[1] == 2 * 89


def test_embedded_sets_say_where_they_come_from():
    for name, word in [("digits", "UCI"), ("karate", "Zachary"), ("davis", "Davis")]:
        provenance = load(name).provenance
        assert word in provenance.source
        assert provenance.domain == "embedded"
        assert len(provenance.sha256) == 64
