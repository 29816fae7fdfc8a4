from importlib import import_module

import numpy as np
import pytest
import scipy.sparse as sp

from graphcl.evaluation import clustering_scores, kmeans
from graphcl.evaluation.large_kmeans import large_kmeans, swapped


def blobs(n, k, width=8, spread=0.15, seed=0):
    generator = np.random.default_rng(seed)
    centres = generator.standard_normal((k, width))
    which = np.arange(n) % k
    return (centres[which] + spread * generator.standard_normal((n, width))).astype(np.float32), which


def inertia(x, labels, centres):
    return float(np.square(x - centres[labels]).sum())


@pytest.mark.parametrize("sparse", [False, True])
def test_every_group_is_found_where_plain_starts_merge_some(sparse):
    x, which = blobs(21_011, 50)
    labels, centres = large_kmeans(sp.csr_matrix(x) if sparse else x, 50, seed=0, n_init=1)
    assert clustering_scores(which, labels)["acc"] > 0.999
    assert (labels.dtype, centres.dtype, centres.shape) == (np.int64, np.float32, (50, 8))
    means = np.stack([x[labels == cluster].mean(0) for cluster in range(50)])
    np.testing.assert_allclose(centres, means, atol=1e-3)


def test_the_seed_decides_to_the_last_bit():
    x = np.random.default_rng(0).standard_normal((21_000, 3)).astype(np.float32)
    first, again, other = (large_kmeans(x, 5, seed=seed, n_init=1) for seed in (3, 3, 4))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[1], other[1])


def test_it_is_what_k_means_does_with_many_points(monkeypatch):
    x, _ = blobs(300, 4)
    want = large_kmeans(x, 4, seed=1, n_init=2)
    monkeypatch.setattr(import_module("graphcl.evaluation.kmeans"), "LARGE", 299)
    found = kmeans(x, 4, seed=1, n_init=2)
    assert np.array_equal(found.labels, want[0])
    assert np.array_equal(found.centres, want[1])


def test_a_centre_too_many_goes_where_one_is_missing():
    x, which = blobs(600, 6, spread=0.05)
    parts = {0: 0, 1: 0, 2: 1, 3: 2, 4: 3}  # groups 0 and 1 share a centre, group 5 has two
    labels = np.array([parts.get(group, 4 + (place // 6) % 2) for place, group in enumerate(which)])
    centres = np.stack([x[labels == cluster].mean(0) for cluster in range(6)])
    moved = swapped(x, labels, centres, seed=0)
    nearest = np.square(x[:, None] - moved).sum(2).argmin(1)
    assert clustering_scores(which, nearest)["acc"] == 1
    assert inertia(x, nearest, moved) < 0.1 * inertia(x, labels, centres)
    right = np.stack([x[which == group].mean(0) for group in range(6)])
    assert swapped(x, which, right, seed=0) is None, "nothing is left to gain"


@pytest.mark.filterwarnings("ignore:Number of distinct clusters")
def test_points_that_are_all_alike_need_no_swaps():
    x = np.ones((20, 2), dtype=np.float32)
    assert swapped(x, np.zeros(20, dtype=np.int64), np.ones((3, 2), dtype=np.float32), seed=0) is None
    labels, centres = large_kmeans(x, 3, seed=0, n_init=1)
    assert centres.tolist() == [[1, 1]] * 3
    assert len(labels) == 20
