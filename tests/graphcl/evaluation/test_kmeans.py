import numpy as np
import pytest
import scipy.sparse as sp

from graphcl.errors import InputError
from graphcl.evaluation import kmeans


def blobs(n, k, d=4, spread=0.05, seed=0):
    generator = np.random.default_rng(seed)
    centres = generator.standard_normal((k, d)) * 5
    which = np.arange(n) % k
    return (centres[which] + spread * generator.standard_normal((n, d))).astype(np.float32), which


@pytest.mark.parametrize(("n", "k"), [(1, 1), (7, 3), (31, 5)])
def test_separated_groups_are_found_with_their_means_as_centres(n, k):
    x, which = blobs(n, k)
    found = kmeans(x, k, seed=0)
    assert found.labels.shape == (n,)
    assert len({(a, b) for a, b in zip(found.labels, which, strict=True)}) == k
    for cluster in range(k):
        np.testing.assert_allclose(found.centres[cluster], x[found.labels == cluster].mean(0), rtol=1e-4, atol=1e-4)


def test_every_point_goes_to_its_nearest_centre():
    x = np.random.default_rng(0).standard_normal((211, 6)).astype(np.float32)
    found = kmeans(x, 7, seed=3)
    distance = ((x[:, None] - found.centres) ** 2).sum(2)
    assert (distance[np.arange(211), found.labels] <= distance.min(1) + 1e-4).all()


def test_the_same_seed_gives_the_same_bits_and_the_global_generator_has_no_say():
    x = np.random.default_rng(0).standard_normal((300, 8)).astype(np.float32)
    np.random.seed(1)  # noqa: NPY002
    first = kmeans(x, 5, seed=4, n_init=3)
    np.random.seed(2)  # noqa: NPY002
    second = kmeans(x, 5, seed=4, n_init=3)
    assert np.array_equal(first.labels, second.labels)
    assert np.array_equal(first.centres, second.centres)
    assert any(not np.array_equal(first.centres, kmeans(x, 5, seed=s, n_init=1).centres) for s in (5, 6))


def test_more_starts_are_never_worse():
    x = np.random.default_rng(0).standard_normal((200, 2)).astype(np.float32)

    def inertia(found):
        return ((x - found.centres[found.labels]) ** 2).sum()

    assert inertia(kmeans(x, 9, seed=0, n_init=20)) <= inertia(kmeans(x, 9, seed=0, n_init=1)) + 1e-3


def test_one_cluster_has_the_mean_as_its_centre():
    x, _ = blobs(11, 3)
    found = kmeans(x, 1, seed=0)
    assert found.labels.tolist() == [0] * 11
    np.testing.assert_allclose(found.centres[0], x.mean(0), rtol=1e-5, atol=1e-5)


def test_as_many_clusters_as_points_give_each_its_own():
    x, _ = blobs(7, 7)
    assert sorted(kmeans(x, 7, seed=0).labels.tolist()) == list(range(7))


def test_sparse_points_are_taken():
    x, which = blobs(30, 3)
    found = kmeans(sp.csr_matrix(x), 3, seed=0)
    assert len({(a, b) for a, b in zip(found.labels, which, strict=True)}) == 3


def test_types_are_fixed_and_the_points_left_as_they_were():
    x, _ = blobs(13, 2)
    before = x.copy()
    found = kmeans(x, 2, seed=0)
    assert (found.labels.dtype, found.centres.dtype) == (np.int64, np.float32)
    assert np.array_equal(x, before)


@pytest.mark.parametrize("k", [0, -1, 6])
def test_a_number_of_clusters_out_of_range_is_named(k):
    with pytest.raises(InputError, match=rf"must lie in 1 .. 5, the number of nodes; got {k}"):
        kmeans(np.zeros((5, 2), dtype=np.float32), k, seed=0)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_values_that_are_not_finite_are_refused(bad):
    x = np.ones((5, 2), dtype=np.float32)
    x[3, 1] = bad
    for points in (x, sp.csr_matrix(x)):
        with pytest.raises(InputError, match="k-means met values that are not finite"):
            kmeans(points, 2, seed=0)
