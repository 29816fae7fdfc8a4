import numpy as np
import pytest
import torch
import torch.nn.functional as F

from graphcl.datasets import load
from graphcl.errors import InputError
from graphcl.evaluation import clustering_scores, kmeans, kmeans_baselines
from graphcl.evaluation.baselines import clustering_baselines
from graphcl.evaluation.spectral import spectral_clusters
from graphcl.kernels import Adjacency


def two_blocks(n=20, d=3):
    """Two rings without a link between them, and features that say nothing of it."""
    torch.manual_seed(0)
    half = n // 2
    edges = [(c * half + i, c * half + (i + 1) % half) for c in range(2) for i in range(half)]
    index = torch.tensor(edges).T
    return torch.randn(n, d), Adjacency.from_edge_index(torch.cat([index, index.flip(0)], 1), n)


@pytest.fixture(scope="module")
def digits():
    data = load("digits")
    return data, Adjacency.from_edge_index(data.edge_index, data.num_nodes)


def test_digits_are_found_as_well_as_known(digits):
    data, adj = digits
    found = kmeans_baselines(data.x, adj, 10, seed=0, n_init=4)
    acc = {name: clustering_scores(data.y.numpy(), labels)["acc"] for name, labels in found.items()}
    assert 0.75 <= acc["kmeans-raw"] <= 0.82
    assert acc["kmeans-filtered-2"] > acc["kmeans-raw"]


@pytest.mark.parametrize("hops", [0, 1, 3])
def test_the_filter_is_the_power_of_the_operator_on_unit_rows(hops):
    x, adj = two_blocks()
    found = kmeans_baselines(x, adj, 2, seed=0, filters=(hops,), n_init=3)
    assert list(found) == ["kmeans-raw", f"kmeans-filtered-{hops}"]
    filtered = torch.linalg.matrix_power(adj.to_dense().double(), hops) @ F.normalize(x.double(), dim=1)
    by_hand = kmeans(filtered.float().numpy(), 2, seed=0, n_init=3).labels
    assert clustering_scores(by_hand, found[f"kmeans-filtered-{hops}"])["acc"] == 1
    assert np.array_equal(found["kmeans-raw"], kmeans(x.numpy(), 2, seed=0, n_init=3).labels)


def test_many_hops_find_the_components():
    x, adj = two_blocks()
    found = kmeans_baselines(x, adj, 2, seed=0, filters=(200,))["kmeans-filtered-200"]
    assert clustering_scores(np.repeat([0, 1], 10), found)["acc"] == 1


def test_sparse_features_give_what_dense_ones_give():
    x, adj = two_blocks()
    x = x.relu()
    dense, sparse = (kmeans_baselines(features, adj, 3, seed=1, n_init=2) for features in (x, x.to_sparse_csr()))
    assert all(np.array_equal(dense[name], sparse[name]) for name in dense)


def test_the_same_seed_gives_the_same_clusters_and_the_features_stay():
    x, adj = two_blocks()
    before = x.clone()
    first, second = (kmeans_baselines(x, adj, 4, seed=5, n_init=2) for _ in range(2))
    assert all(np.array_equal(first[name], second[name]) for name in first)
    assert torch.equal(x, before)


def test_more_clusters_than_nodes_are_refused():
    x, adj = two_blocks()
    with pytest.raises(InputError, match=r"the number of clusters must lie in 1 \.\. 20"):
        kmeans_baselines(x, adj, 21, seed=0)


def test_all_anchors_are_named_and_each_is_what_it_says():
    x, adj = two_blocks(40)
    found = clustering_baselines(x, adj, 2, seed=0, filters=(1, 3), width=5, n_init=3)
    assert list(found) == [
        "kmeans-raw",
        "kmeans-filtered-1",
        "kmeans-filtered-3",
        "spectral-raw",
        "spectral-filtered-2",
        "spectral-graph",
        "walks-5",
    ]
    few = kmeans_baselines(x, adj, 2, seed=0, filters=(1, 3), n_init=3)
    assert all(np.array_equal(found[name], few[name]) for name in few)
    unit = F.normalize(x, dim=1)
    shifted = torch.cat([unit, torch.ones(40, 1)], 1)  # cosines of either sign
    assert clustering_scores(spectral_clusters(shifted, 2, seed=0), found["spectral-raw"])["acc"] == 1
    assert clustering_scores(np.repeat([0, 1], 20), found["spectral-graph"])["acc"] == 1
    assert clustering_scores(np.repeat([0, 1], 20), found["walks-5"])["acc"] == 1


def test_features_without_negative_entries_are_compared_by_their_cosine():
    x, adj = two_blocks(30, 5)
    x = x.abs()
    for features in (x, x.to_sparse_csr()):
        found = clustering_baselines(features, adj, 3, seed=0, n_init=3)["spectral-raw"]
        assert clustering_scores(spectral_clusters(F.normalize(x, dim=1), 3, seed=0, n_init=3), found)["acc"] == 1


def test_a_directed_graph_has_no_anchors_of_the_graph_alone():
    x, _ = two_blocks()
    adj = Adjacency.from_edge_index(torch.tensor([[0, 1, 2], [1, 2, 3]]), 20)
    assert list(clustering_baselines(x, adj, 2, seed=0, filters=(), n_init=2)) == [
        "kmeans-raw",
        "spectral-raw",
        "spectral-filtered-2",
    ]
