from __future__ import annotations

import itertools

import numpy as np
import polars as pl
import pytest
from scipy import stats

from graphcl.tasks.bench_significance import compare, paired_bootstrap, paired_t, sign_test


def test_the_t_test_is_the_textbook_one():
    a, b = np.array([0.51, 0.55, 0.49, 0.60]), np.array([0.50, 0.50, 0.50, 0.52])
    assert paired_t(a - b) == pytest.approx(stats.ttest_rel(a, b).pvalue)


@pytest.mark.parametrize("differences", [[0.1], [], [0.2, 0.2, 0.2], [0.0, 0.0]])
def test_no_t_test_without_variation(differences):
    assert paired_t(differences) is None


@pytest.mark.parametrize("differences", [[1, 2, 3], [1, -2, 3, 4], [1, 1, -1, -1], [5, 5, 5, 5, 5, 5], [0, 1, 2, -1, 0]])
def test_the_sign_test_counts_all_signs_that_are_as_uneven(differences):
    signs = [np.sign(value) for value in differences if value]
    count = len(signs)
    far = abs(sum(signs))
    uneven = sum(abs(sum(drawn)) >= far for drawn in itertools.product([-1, 1], repeat=count))
    assert sign_test(differences) == pytest.approx(uneven / 2**count)


def test_fewer_than_six_seeds_cannot_reach_five_percent_by_signs():
    assert sign_test([1] * 5) == 0.0625
    assert sign_test([1] * 6) == 0.03125
    assert sign_test([1]) is None
    assert sign_test([0, 0]) is None


def test_the_bootstrap_has_the_width_of_the_normal_interval():
    values = np.random.default_rng(0).normal(0.1, 1.0, 2000)
    low, high, p = paired_bootstrap(values)
    half = 1.96 * values.std() / len(values) ** 0.5
    assert low == pytest.approx(values.mean() - half, abs=0.003)
    assert high == pytest.approx(values.mean() + half, abs=0.003)
    assert p == pytest.approx(2 * stats.norm.sf(abs(values.mean()) / (values.std() / len(values) ** 0.5)), abs=0.01)


def test_the_bootstrap_is_the_same_again_and_never_says_impossible():
    values = np.array([1.0, 2.0, 3.0])
    assert paired_bootstrap(values, resamples=99) == paired_bootstrap(values, resamples=99)
    assert paired_bootstrap(values, resamples=99)[2] == pytest.approx(0.02)
    assert paired_bootstrap(np.zeros(5), resamples=99) == (0.0, 0.0, 1.0)


def test_many_users_are_resampled_less_often(monkeypatch):
    monkeypatch.setattr("graphcl.tasks.bench_significance.DRAWS", 3000)
    assert paired_bootstrap(np.ones(10), resamples=10_000)[2] == pytest.approx(2 / 301)
    assert paired_bootstrap(np.ones(1000), resamples=10_000)[2] == pytest.approx(2 / 201)


def scores(*values):
    return {"acc": {"mean": float(np.mean(values)), "std": 0.0, "values": list(values)}}


def test_the_best_baseline_is_the_one_to_beat_paired_by_seed_where_it_has_seeds(tmp_path):
    metrics = {
        "system": "x",
        "metrics": scores(0.6, 0.7, 0.8),
        "baselines": {"low": scores(0.1), "high": scores(0.5, 0.65, 0.6)},
    }
    told = compare(metrics, "acc", tmp_path)
    assert (told.against, told.users, told.p_users) == ("high", None, None)
    assert told.gain == pytest.approx((0.1 + 0.05 + 0.2) / 3)
    assert told.p_t == pytest.approx(stats.ttest_rel([0.6, 0.7, 0.8], [0.5, 0.65, 0.6]).pvalue)
    assert told.p_sign == 0.25
    metrics["baselines"] = {"one": scores(0.65)}
    assert compare(metrics, "acc", tmp_path).p_t == pytest.approx(stats.ttest_1samp([0.6, 0.7, 0.8], 0.65).pvalue)
    assert compare({**metrics, "baselines": {}}, "acc", tmp_path) is None
    assert compare({**metrics, "metrics": {}}, "acc", tmp_path) is None


def test_users_are_paired_by_their_id_whatever_the_order(tmp_path):
    frame = pl.DataFrame({"method": ["x"] * 3 + ["b"] * 3, "user": list("abccba"), "acc": [1.0, 0.5, 0.0, 0.0, 0.5, 1.0]})
    frame.write_parquet(tmp_path / "per_user.parquet")
    told = compare({"system": "x", "metrics": scores(0.5), "baselines": {"b": scores(0.5)}}, "acc", tmp_path)
    assert (told.users, told.p_users) == ((0.0, 0.0), 1.0)
    assert (told.p_t, told.p_sign) == (None, None)
