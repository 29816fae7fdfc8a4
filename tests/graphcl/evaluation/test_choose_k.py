from __future__ import annotations

import numpy as np
import pytest
import torch

from graphcl.errors import InputError
from graphcl.evaluation.choose_k import best_k


def blobs(k=4, each=30, spread=0.3, seed=0):
    """Groups far from each other, and a ring inside each."""
    rng = np.random.default_rng(seed)
    which = np.repeat(np.arange(k), each)
    points = (5 * np.eye(k)[which] + spread * rng.normal(size=(k * each, k))).astype(np.float32)
    node = np.arange(k * each)
    following = np.where((node + 1) % each == 0, node + 1 - each, node + 1)
    index = torch.from_numpy(np.stack([node, following]))
    return points, torch.cat([index, index.flip(0)], 1)


@pytest.mark.parametrize("by", ["combined", "modularity", "silhouette", "stability"])
@pytest.mark.parametrize("k", [2, 4])
def test_groups_that_are_there_are_counted_by_every_criterion(by, k):
    points, index = blobs(k)
    choice = best_k(points, index, range(2, 7), by=by)
    assert (choice.n_clusters, choice.by, choice.ks) == (k, by, (2, 3, 4, 5, 6))
    assert list(choice.values) == ["modularity", "silhouette", "stability", "combined"]
    assert choice.values["stability"][choice.ks.index(k)] == pytest.approx(1)
    assert choice.values["modularity"][choice.ks.index(k)] == pytest.approx(1 - 1 / k)


def test_combined_is_the_mean_of_what_the_three_say_between_their_extremes():
    points, index = blobs(3, spread=1.5)
    choice = best_k(points, index, range(2, 8))
    scaled = []
    for name in ("modularity", "silhouette", "stability"):
        values = np.array(choice.values[name])
        scaled.append((values - values.min()) / (values.max() - values.min()))
    np.testing.assert_allclose(choice.values["combined"], np.mean(scaled, axis=0))


def test_the_seed_decides_and_the_order_of_the_numbers_does_not():
    points, index = blobs(3, spread=2.5)
    first = best_k(points, index, [5, 2, 3, 3], seed=1)
    assert first == best_k(points, index, [2, 3, 5], seed=1)
    assert first != best_k(points, index, [2, 3, 5], seed=2)


def test_of_equals_the_smallest_wins():
    points, index = blobs(2)
    choice = best_k(np.zeros_like(points), index, [2, 3], by="stability")
    assert choice.n_clusters == 2


def test_a_graph_without_edges_is_judged_by_the_points_alone():
    points, _ = blobs(3)
    none = torch.zeros(2, 0, dtype=torch.int64)
    choice = best_k(points, none, range(2, 6))
    assert choice.n_clusters == 3
    assert np.isnan(choice.values["modularity"]).all()
    assert "modularity" not in choice.told()
    with pytest.raises(InputError, match="modularity is not defined for this graph"):
        best_k(points, none, range(2, 6), by="modularity")


def test_the_choice_is_told_in_a_line():
    points, index = blobs(2)
    told = best_k(points, index, [2, 3]).told()
    assert told.startswith("k = 2 of 2 .. 3, chosen by combined: modularity 0.500, silhouette 0.")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ks": []}, "must lie in 2 .. 59, below the number of nodes; got none"),
        ({"ks": [1, 2]}, "got 1 .. 2"),
        ({"ks": [2, 60]}, "got 2 .. 60"),
        ({"by": "modularty"}, "unknown criterion 'modularty'; did you mean modularity"),
        ({"seeds": 1}, "seeds must be >= 2"),
    ],
)
def test_what_cannot_be_tried_is_refused(options, message):
    points, index = blobs(2)
    with pytest.raises(InputError, match=message):
        best_k(points, index, **{"ks": [2, 3], **options})
