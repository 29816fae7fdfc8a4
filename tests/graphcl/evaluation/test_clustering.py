import math
from itertools import permutations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import adjusted_rand_score, f1_score, normalized_mutual_info_score

from graphcl.errors import InputError
from graphcl.evaluation import METRICS, clustering_scores

labels = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=40)


def entropy(*counts):
    total = sum(counts)
    return -sum(c / total * math.log(c / total) for c in counts)


def test_a_perfect_clustering_scores_one_whatever_its_names():
    assert clustering_scores([0, 0, 1, 1, 2], [7, 7, -3, -3, 0]) == dict.fromkeys(METRICS, 1.0)


def test_a_worked_example():
    # Table of classes by clusters: [[3, 1], [0, 2]].
    scores = clustering_scores([0, 0, 0, 0, 1, 1], [5, 5, 5, 9, 9, 9])
    assert scores["acc"] == pytest.approx(5 / 6)
    # Class 0: precision 1, recall 3 / 4. Class 1: precision 2 / 3, recall 1.
    assert scores["f1"] == pytest.approx((6 / 7 + 4 / 5) / 2)
    # Pairs: 4 agree in both, 7 in classes, 6 in clusters, 15 in all.
    expected = 7 * 6 / 15
    assert scores["ari"] == pytest.approx((4 - expected) / ((7 + 6) / 2 - expected))
    information = 0.5 * math.log(3 * 6 / (4 * 3)) + 1 / 6 * math.log(1 * 6 / (4 * 3)) + 1 / 3 * math.log(2 * 6 / (2 * 3))
    assert scores["nmi"] == pytest.approx(2 * information / (entropy(4, 2) + entropy(3, 3)))


def test_more_clusters_than_classes_leave_the_surplus_wrong():
    # Table [[2, 1, 0], [0, 1, 2]]: the middle cluster matches nobody.
    scores = clustering_scores([0, 0, 0, 1, 1, 1], [0, 0, 1, 1, 2, 2])
    assert scores["acc"] == pytest.approx(4 / 6)
    assert scores["f1"] == pytest.approx(4 / 5)  # precision 1, recall 2 / 3, twice


def test_fewer_clusters_than_classes_leave_a_class_unfound():
    # Table [[2, 0], [0, 2], [0, 1]]: class 2 has no cluster and scores 0.
    scores = clustering_scores([0, 0, 1, 1, 2], [1, 1, 0, 0, 0])
    assert scores["acc"] == pytest.approx(4 / 5)
    assert scores["f1"] == pytest.approx((1 + 4 / 5 + 0) / 3)


def test_one_cluster_finds_only_the_largest_class():
    scores = clustering_scores([0, 0, 0, 1, 1, 2], np.zeros(6, dtype=np.int64))
    assert scores["acc"] == pytest.approx(3 / 6)
    assert scores["nmi"] == 0
    assert scores["ari"] == 0
    assert scores["f1"] == pytest.approx((2 * 0.5 / 1.5) / 3)


def test_a_cluster_for_every_node_finds_one_node_a_class():
    scores = clustering_scores([0, 0, 0, 1, 1, 1], np.arange(6))
    assert scores["acc"] == pytest.approx(2 / 6)
    assert scores["ari"] == 0
    assert scores["nmi"] == pytest.approx(2 * math.log(2) / (math.log(2) + math.log(6)))


def test_a_single_node_is_always_right():
    assert clustering_scores([3], [8]) == dict.fromkeys(METRICS, 1.0)


def test_the_best_matching_is_found_where_the_greedy_one_fails():
    # Table [[5, 4], [4, 0]]: taking the 5 first leaves 0, the best takes 4 and 4.
    scores = clustering_scores([0] * 9 + [1] * 4, [0] * 5 + [1] * 4 + [0] * 4)
    assert scores["acc"] == pytest.approx(8 / 13)


@settings(max_examples=60, deadline=None)
@given(pairs=labels)
def test_accuracy_is_the_best_over_all_one_to_one_namings(pairs):
    y, predicted = (np.array(column) for column in zip(*pairs, strict=True))
    best = max(np.mean(np.array(naming)[predicted] == y) for naming in permutations(range(5)))
    assert clustering_scores(y, predicted)["acc"] == pytest.approx(best)


@settings(max_examples=60, deadline=None)
@given(pairs=labels, seed=st.integers(0, 2**16))
def test_names_of_clusters_and_order_of_nodes_do_not_matter(pairs, seed):
    y, predicted = (np.array(column) for column in zip(*pairs, strict=True))
    generator = np.random.default_rng(seed)
    scores = clustering_scores(y, predicted)
    names, order = generator.permutation(100)[:5] - 50, generator.permutation(len(y))
    moved = clustering_scores(y[order] * 3 - 7, names[predicted][order])
    for metric in ("acc", "nmi", "ari"):  # ties in the matching may change F1
        assert moved[metric] == pytest.approx(scores[metric], abs=1e-12)
    assert all(0 <= scores[metric] <= 1 for metric in ("acc", "nmi", "f1"))


@settings(max_examples=30, deadline=None)
@given(pairs=labels)
def test_information_and_rand_index_are_scikit_learns_and_symmetric(pairs):
    y, predicted = (np.array(column) for column in zip(*pairs, strict=True))
    scores, swapped = clustering_scores(y, predicted), clustering_scores(predicted, y)
    assert scores["nmi"] == pytest.approx(normalized_mutual_info_score(y, predicted, average_method="arithmetic"))
    assert scores["ari"] == pytest.approx(adjusted_rand_score(y, predicted))
    for metric in ("acc", "nmi", "ari"):
        assert swapped[metric] == pytest.approx(scores[metric])


def test_macro_f1_is_taken_after_the_matching():
    y, predicted = np.array([0, 0, 0, 1, 1, 2, 2, 2, 2]), np.array([2, 2, 0, 0, 0, 1, 1, 1, 0])
    renamed = np.array([1, 2, 0])[predicted]
    assert clustering_scores(y, predicted)["f1"] == pytest.approx(f1_score(y, renamed, average="macro"))


def test_labels_are_left_as_they_were():
    y, predicted = np.array([0, 1, 2, 2]), np.array([0, 0, 0, 0])
    y.flags.writeable = predicted.flags.writeable = False
    clustering_scores(y, predicted)
    assert predicted.tolist() == [0, 0, 0, 0]


def test_lists_arrays_tensors_and_small_integers_are_taken():
    want = clustering_scores([0, 0, 1], [1, 1, 1])
    assert clustering_scores(torch.tensor([0, 0, 1]), torch.tensor([1, 1, 1])) == want
    assert clustering_scores(np.array([0, 0, 1], dtype=np.uint8), np.array([1, 1, 1], dtype=np.int16)) == want


def test_the_scores_are_plain_numbers_under_the_names_of_the_metrics():
    scores = clustering_scores([0, 1], [0, 0])
    assert tuple(scores) == METRICS
    assert all(type(value) is float for value in scores.values())


def test_other_lengths_are_named():
    with pytest.raises(InputError, match="must name the same nodes; got 3 and 2 labels"):
        clustering_scores([0, 1, 2], [0, 1])


@pytest.mark.parametrize(
    ("y", "predicted", "message"),
    [
        ([], [], "y must be a non-empty vector"),
        ([0.0, 1.0], [0, 1], r"y must be .* got shape \(2,\) of float64"),
        ([0, 1], [0.5, 1.5], r"predicted must be .* got shape \(2,\) of float64"),
        (["a", "b"], [0, 1], "one integer class a node"),
        (0, [0], r"got shape \(\)"),
    ],
)
def test_labels_that_are_not_a_vector_of_integers_are_named(y, predicted, message):
    with pytest.raises(InputError, match=message):
        clustering_scores(y, predicted)


def test_several_labels_a_node_are_refused_with_the_reason():
    with pytest.raises(InputError, match="not defined for several labels a node"):
        clustering_scores(np.eye(3, dtype=np.int64), [0, 1, 2])
