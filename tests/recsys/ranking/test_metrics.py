from __future__ import annotations

import math

import numpy as np
import pytest

from graphcl.errors import InputError
from graphcl.recsys.ranking.metrics import METRICS, hits_of, score_lists
from graphcl.recsys.ranking.rows import Rows

TARGETS = Rows(np.array([0, 3, 3, 4]), np.array([1, 4, 7, 0], dtype=np.int32), 3, 9)


def slowly(listed, targets, k):
    """Every metric of one list from its definition, one rank at a time."""
    hits = [item in targets for item in listed[:k]] + [False] * (k - len(listed[:k]))
    ranks = [rank for rank, hit in enumerate(hits, 1) if hit]
    best = min(len(targets), k)
    return {
        "recall": len(ranks) / len(targets),
        "recall_capped": len(ranks) / best,
        "precision": len(ranks) / k,
        "hr": float(bool(ranks)),
        "mrr": 1 / ranks[0] if ranks else 0.0,
        "map": sum(sum(hits[:rank]) / rank for rank in ranks) / best,
        "ndcg": sum(1 / math.log2(rank + 1) for rank in ranks) / sum(1 / math.log2(rank + 1) for rank in range(1, best + 1)),
    }


def test_two_hits_of_three_targets_by_hand():
    scores = score_lists(np.array([[0, 1, 0, 0, 1]]), np.array([3]), (5,), tuple(METRICS))
    want = {"recall": 2 / 3, "recall_capped": 2 / 3, "ndcg": 0.47762, "precision": 0.4, "mrr": 0.5, "hr": 1.0, "map": 0.3}
    assert {name: float(values[0]) for name, values in scores.items()} == pytest.approx(
        {f"{name}@5": value for name, value in want.items()}, abs=5e-6
    )


def test_one_target_is_worth_what_its_rank_says():
    hits = np.vstack([np.eye(10), np.zeros(10)])  # the last: rank 11
    scores = score_lists(hits, np.ones(11, dtype=np.int64), (10,), ("ndcg", "mrr", "recall", "hr", "map", "precision"))
    want = [1, 0.6309, 0.5, 0.4307, 0.3869, 0.3562, 0.3333, 0.3155, 0.3010, 0.2891, 0]
    np.testing.assert_allclose(scores["ndcg@10"], want, atol=5e-5)
    np.testing.assert_array_equal(scores["recall@10"], scores["hr@10"])
    assert all(values[10] == 0 for values in scores.values())


def test_the_ideal_list_is_cut_where_the_list_is():
    assert score_lists(np.ones((1, 2)), np.array([3]), (2,), ("ndcg",))["ndcg@2"] == 1.0


@pytest.mark.parametrize("seed", range(3))
def test_all_metrics_match_slow_code_at_every_length(seed):
    rng = np.random.default_rng(seed)
    lists = [rng.permutation(9)[:6] for _ in range(40)]
    targets = [sorted(rng.choice(9, size=rng.integers(1, 9), replace=False)) for _ in range(40)]
    sizes = np.array([len(target) for target in targets])
    rows = Rows(np.concatenate([[0], np.cumsum(sizes)]), np.concatenate(targets).astype(np.int32), 40, 9)
    hits = hits_of(np.stack(lists), np.arange(40), rows)
    scores = score_lists(hits, sizes, (1, 2, 5, 6), tuple(METRICS))
    for user in range(40):
        for k in (1, 2, 5, 6):
            want = slowly(lists[user].tolist(), set(targets[user]), k)
            assert {name: scores[f"{name}@{k}"][user] for name in want} == pytest.approx(want, abs=1e-12)


def test_all_metrics_match_ranx():
    ranx = pytest.importorskip("ranx")
    rng = np.random.default_rng(7)
    lists, targets = [rng.permutation(30)[:10] for _ in range(25)], [rng.choice(30, size=4, replace=False) for _ in range(25)]
    qrels = ranx.Qrels({str(u): {str(i): 1 for i in row} for u, row in enumerate(targets)})
    run = ranx.Run({str(u): {str(i): 10.0 - r for r, i in enumerate(row)} for u, row in enumerate(lists)})
    rows = Rows(np.arange(26) * 4, np.concatenate([np.sort(row) for row in targets]).astype(np.int32), 25, 30)
    ours = score_lists(hits_of(np.stack(lists), np.arange(25), rows), np.full(25, 4), (10,), tuple(METRICS))
    for name, theirs in {"recall": "recall", "precision": "precision", "hr": "hit_rate", "mrr": "mrr", "ndcg": "ndcg"}.items():
        assert float(ours[f"{name}@10"].mean()) == pytest.approx(float(ranx.evaluate(qrels, run, f"{theirs}@10")), abs=1e-9)


def test_lists_that_pay_twice_or_name_nobody_are_refused():
    listed = np.array([[1, 0, -1, -1]])
    assert hits_of(listed, np.array([0]), TARGETS).tolist() == [[True, False, False, False]]
    with pytest.raises(InputError, match="stands twice in the list of user 2"):
        hits_of(np.array([[3, 1, 0], [4, 0, 4]]), np.array([0, 2]), TARGETS)
    with pytest.raises(InputError, match=r"items must lie in \[0, 9\), or be -1; got 0 to 9"):
        hits_of(np.array([[0, 9]]), np.array([0]), TARGETS)
    with pytest.raises(InputError, match=r"users must lie in \[0, 3\)"):
        hits_of(np.array([[0]]), np.array([3]), TARGETS)
    with pytest.raises(InputError, match="integer ids and users"):
        hits_of(np.array([[0.5]]), np.array([0]), TARGETS)


def test_scores_need_targets_lengths_and_names():
    with pytest.raises(InputError, match="unknown ranking metric 'recal'; did you mean"):
        score_lists(np.ones((1, 2)), np.array([1]), (2,), ("recal",))
    with pytest.raises(InputError, match="hits must be"):
        score_lists(np.ones((1, 2)), np.array([1]), (3,), ("recall",))
    with pytest.raises(InputError, match="user 1 of the lists has no target"):
        score_lists(np.ones((2, 2)), np.array([1, 0]), (2,), ("recall",))
    for ks in ((), (0,), (2, 2)):
        with pytest.raises(InputError, match="ks must be different lengths"):
            score_lists(np.ones((1, 2)), np.array([1]), ks, ("recall",))
