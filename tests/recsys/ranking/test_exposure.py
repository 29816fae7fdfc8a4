from __future__ import annotations

import numpy as np
import pytest

from graphcl.recsys.ranking.exposure import coverage, exposures, gini, novelty


def test_lists_are_counted_and_empty_places_are_not():
    counts = exposures(np.array([[0, 2], [2, -1]]), 4)
    assert counts.tolist() == [1, 0, 2, 0]
    assert coverage(counts) == 0.5


def test_gini_is_the_mean_difference_over_twice_the_mean():
    counts = np.random.default_rng(0).integers(0, 9, size=23)
    want = np.abs(counts[:, None] - counts[None]).mean() / (2 * counts.mean())
    assert gini(counts) == pytest.approx(want)
    assert gini(counts[::-1]) == pytest.approx(want)


def test_gini_has_its_limits():
    assert gini(np.full(7, 3)) == pytest.approx(0)
    assert gini(np.array([0, 0, 5, 0])) == pytest.approx(3 / 4)
    assert gini(np.zeros(3, dtype=np.int64)) == 0


def test_novelty_is_counted_in_bits():
    popularity = np.array([8, 4, 1, 0])  # of 8 users: 0, 1 and 3 bits; nobody counts as one
    got = novelty(np.array([[0, 1], [2, 3], [1, -1], [-1, -1]]), popularity, 8)
    np.testing.assert_allclose(got, [0.5, 3.0, 1.0, np.nan])
