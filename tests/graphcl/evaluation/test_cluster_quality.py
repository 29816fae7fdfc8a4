from __future__ import annotations

import networkx as nx
import numpy as np
import pytest
import torch
from sklearn.metrics import silhouette_score

from graphcl.errors import InputError
from graphcl.evaluation.cluster_quality import cluster_quality


def graph(n=30, chance=0.2, weighted=False, seed=0):
    """A random graph as networkx has it, and as both directions of its edges."""
    known = nx.gnp_random_graph(n, chance, seed=seed)
    rng = np.random.default_rng(seed)
    for _, _, edge in known.edges(data=True):
        edge["weight"] = float(rng.uniform(0.5, 2)) if weighted else 1.0
    rows = [(a, b, edge["weight"]) for a, b, edge in known.edges(data=True)]
    index = torch.tensor([[a for a, _, _ in rows], [b for _, b, _ in rows]], dtype=torch.int64)
    weight = torch.tensor([w for _, _, w in rows])
    return known, torch.cat([index, index.flip(0)], 1), torch.cat([weight, weight]) if weighted else None


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("k", [2, 5])
def test_modularity_and_conductance_are_those_of_networkx(k, weighted):
    known, index, weight = graph(weighted=weighted)
    labels = np.arange(30) % k
    found = cluster_quality(index, labels, np.random.default_rng(1).normal(size=(30, 3)), edge_weight=weight)
    groups = [{int(node) for node in np.flatnonzero(labels == cluster)} for cluster in range(k)]
    assert found.modularity == pytest.approx(nx.community.modularity(known, groups, weight="weight"), abs=1e-6)
    want = [nx.conductance(known, group, weight="weight") for group in groups]
    np.testing.assert_allclose(found.conductance, want, rtol=1e-6)
    assert found.sizes.tolist() == [len(group) for group in groups]


def test_the_silhouette_is_that_of_scikit_learn():
    points, labels = np.random.default_rng(0).normal(size=(41, 4)), np.arange(41) % 3
    found = cluster_quality(torch.tensor([[0], [1]]), labels, points)
    assert found.mean_silhouette == pytest.approx(silhouette_score(points, labels))
    assert np.average(found.silhouette, weights=found.sizes) == pytest.approx(found.mean_silhouette)


def test_of_many_points_a_sample_is_looked_at_which_the_seed_decides():
    rng = np.random.default_rng(0)
    labels = np.arange(600) % 2
    points = rng.normal(size=(600, 2)) + 3 * labels[:, None]
    index = torch.tensor([[0], [2]])
    whole = cluster_quality(index, labels, points).mean_silhouette
    first, again, other = (cluster_quality(index, labels, points, sample=200, seed=s).mean_silhouette for s in (0, 0, 1))
    assert first == again != other
    assert first == pytest.approx(whole, abs=0.05)


def test_an_edge_of_one_direction_counts_half_each_way():
    _, index, _ = graph()
    one_way = index[:, : index.shape[1] // 2]
    labels, points = np.arange(30) % 3, np.random.default_rng(0).normal(size=(30, 2))
    both, single = cluster_quality(index, labels, points), cluster_quality(one_way, labels, points)
    assert single.modularity == pytest.approx(both.modularity)
    np.testing.assert_allclose(single.conductance, both.conductance)


def test_names_and_the_order_of_nodes_mean_nothing():
    _, index, _ = graph()
    labels, points = np.arange(30) % 3, np.random.default_rng(0).normal(size=(30, 2))
    order = np.random.default_rng(1).permutation(30)
    place = torch.from_numpy(np.argsort(order))
    moved = cluster_quality(place[index], 2 - labels[order], points[order])
    plain = cluster_quality(index, labels, points)
    assert moved.scores() == pytest.approx(plain.scores())
    np.testing.assert_allclose(moved.conductance[::-1], plain.conductance)


def test_what_is_not_defined_is_not_a_number_and_no_score():
    points = np.random.default_rng(0).normal(size=(6, 2))
    none = torch.zeros(2, 0, dtype=torch.int64)
    bare = cluster_quality(none, np.array([0, 0, 0, 1, 1, 1]), points, n_clusters=3)
    assert list(bare.scores()) == ["silhouette"]
    assert np.isnan(bare.modularity)
    assert np.isnan(bare.conductance).all()
    assert bare.sizes.tolist() == [3, 3, 0]
    assert np.isnan(bare.silhouette[2])
    one = cluster_quality(torch.tensor([[0, 1], [1, 0]]), np.zeros(6, dtype=np.int64), points)
    assert one.scores() == {"modularity": 0.0}


def test_components_have_no_conductance_at_all():
    index = torch.tensor([[0, 1, 2, 3], [1, 0, 3, 2]])
    found = cluster_quality(index, np.array([0, 0, 1, 1]), np.eye(4))
    assert found.conductance.tolist() == [0, 0]
    assert found.modularity == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("labels", "points", "message"),
    [
        ([0, 1], np.zeros((3, 2)), "one label for each"),
        ([0, 1, 0], np.full((3, 2), np.nan), "finite points"),
        ([], np.zeros((0, 2)), "finite points"),
        ([0, 1, 2], np.zeros((3, 2)), r"labels must lie in 0 .. 1; got 0 .. 2"),
        ([0, -1, 1], np.zeros((3, 2)), r"labels must lie in 0 .. 1; got -1 .. 1"),
    ],
)
def test_labels_and_points_that_do_not_go_together_are_refused(labels, points, message):
    with pytest.raises(InputError, match=message):
        cluster_quality(torch.tensor([[0], [1]]), np.array(labels, dtype=np.int64), points, n_clusters=2)
