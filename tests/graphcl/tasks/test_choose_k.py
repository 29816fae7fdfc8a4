from __future__ import annotations

import numpy as np
import pytest
import torch

from graphcl import datasets
from graphcl.errors import InputError
from graphcl.evaluation.choose_k import best_k
from graphcl.tasks.choose_k import choose_k


def test_communities_are_counted_without_their_labels(planted):
    data = planted(nodes=90, classes=3)
    choice = choose_k(data, range(2, 7))
    assert choice.n_clusters == 3
    other = data.clone()
    other.y = data.y.flip(0) * 5
    assert choose_k(other, range(2, 7)) == choice


def test_a_graph_without_features_is_taken_and_left_as_it_was():
    data = datasets.load("karate")
    before = list(data.to_dict())
    assert choose_k(data).n_clusters in (2, 3, 4)
    assert list(data.to_dict()) == before


def test_an_embedding_stands_in_for_the_features(planted):
    data = planted(nodes=60)
    points = np.random.default_rng(0).normal(size=(60, 3)).astype(np.float32)
    choice = choose_k(data, [2, 3, 4], embedding=points, by="silhouette", seed=3)
    assert choice == best_k(points, data.edge_index, [2, 3, 4], by="silhouette", seed=3)
    with pytest.raises(InputError, match=r"one row for each of the 60 nodes; got shape \(59, 3\)"):
        choose_k(data, embedding=points[1:])


def test_sparse_features_and_wide_ones_give_the_same_choice_every_time(planted):
    data = planted(nodes=60, classes=3)
    data.x = torch.cat([data.x.relu(), torch.zeros(60, 60)], 1)
    sparse = data.clone()
    sparse.x = data.x.to_sparse_csr()
    dense, again, other = (choose_k(graph, range(2, 6)) for graph in (data, data, sparse))
    assert dense == again
    assert dense.n_clusters == other.n_clusters
    narrow = data.clone()
    narrow.x = data.x[:, :5]
    assert choose_k(narrow, range(2, 6)).n_clusters == dense.n_clusters, "columns of zeros say nothing"


def test_without_numbers_two_to_twenty_are_tried_or_as_many_as_there_can_be(planted):
    assert choose_k(planted(nodes=41)).ks == tuple(range(2, 21))
    assert choose_k(planted(nodes=7)).ks == (2, 3, 4, 5, 6)
    assert choose_k(planted(nodes=3)).ks == (2,)
    with pytest.raises(InputError, match="for 3 nodes or more; got 2"):
        choose_k(planted(nodes=2))


def test_bad_data_is_refused(planted):
    data = planted()
    data.x[4, 2] = float("nan")
    with pytest.raises(InputError, match="x is not finite in row 4"):
        choose_k(data)
