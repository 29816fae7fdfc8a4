from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from graphcl.errors import InputError
from graphcl.recsys.ranking.evaluate import ALL_METRICS, evaluate
from graphcl.recsys.ranking.metrics import METRICS, score_lists
from graphcl.recsys.ranking.rows import Rows, fingerprint

USERS, ITEMS = 60, 25


def rows_of(lists, items=ITEMS):
    indptr = np.concatenate([[0], np.cumsum([len(row) for row in lists])]).astype(np.int64)
    return Rows(indptr, np.array([i for row in lists for i in row], dtype=np.int32), len(lists), items)


def lists_of(seed=0):
    """Three parts of each user's items without a common one; user 0 has no test, user 1 no training, item 24 no training."""
    rng = np.random.default_rng(seed)
    train, valid, test = [], [], []
    for user in range(USERS):
        items = rng.permutation(ITEMS - 1)
        train.append([] if user == 1 else sorted(items[:6]))
        valid.append([] if user == 1 else sorted(items[6:8]))
        test.append([] if user == 0 else sorted([*items[8:11], *([24] if user == 2 else [])]))
    return train, valid, test


def split_of(protocol="lit-ratio", valid=True, seed=0, **more):
    parts = [rows_of(part) for part in lists_of(seed)]
    return SimpleNamespace(train=parts[0], valid=parts[1] if valid else None, test=parts[2], protocol=protocol, **more)


def scores_of(seed=0):
    return torch.randn(USERS, ITEMS, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def slowly(scores, past, targets, k, allowed=range(ITEMS)):
    ranked = sorted((i for i in allowed if i not in past), key=lambda i: (-float(scores[i]), i))[:k]
    hits = np.array([[i in targets for i in ranked] + [False] * (k - len(ranked))])
    return {name: float(v[0]) for name, v in score_lists(hits, np.array([len(targets)]), (k,), tuple(METRICS)).items()}


@pytest.mark.parametrize("part", ["test", "valid"])
@pytest.mark.parametrize("chunk", [1, 7, 59, None])
def test_every_user_weighs_the_same_and_the_past_is_masked(part, chunk):
    scores, (train, valid, test) = scores_of(), lists_of()
    result = evaluate(lambda u: scores[u], split_of(), (3, 22), tuple(METRICS), part=part, chunk=chunk)
    targets = test if part == "test" else valid
    users = [user for user in range(USERS) if targets[user]]
    for k in (3, 22):
        want = [slowly(scores[user], train[user] + (valid[user] if part == "test" else []), targets[user], k) for user in users]
        for name in want[0]:
            np.testing.assert_allclose(result.per_user[name], [row[name] for row in want])
            assert result.metrics[name] == pytest.approx(np.mean([row[name] for row in want]))
    assert result.per_user["user"].to_list() == users
    assert result.counts["users"] == 59
    assert result.counts["users_without_targets"] == 1
    assert (result.protocol, result.part) == ("lit-ratio", part)


def test_strict_lists_only_what_training_knows_and_keeps_cold_targets_as_misses():
    scores, (train, valid, test) = scores_of(), lists_of()
    scores[:, 24] = 99.0
    result = evaluate(lambda u: scores[u], split_of("strict"), (5,), ("recall", "coverage"))
    row = result.per_user.to_dicts()[1]
    want = slowly(scores[2], train[2] + valid[2], test[2], 5, range(24))
    assert row["user"] == 2
    assert row["targets"] == 4
    assert row["cold_targets"] == 1
    assert row["recall@5"] == want["recall@5"]
    assert result.counts["candidates"] == 24
    assert result.counts["cold_targets"] == 1
    warm = [r["recall@5"] * r["targets"] / (r["targets"] - r["cold_targets"]) for r in result.per_user.to_dicts()]
    assert result.companions["warm_only"]["recall@5"] == pytest.approx(np.mean(warm))
    known = [r["recall@5"] for r in result.per_user.to_dicts() if r["history"]]
    assert len(known) == 58
    assert result.companions["warm_users"]["recall@5"] == pytest.approx(np.mean(known))
    assert result.checks["time"].startswith("not checked")


def test_the_most_popular_items_stand_beside_and_a_worse_model_is_flagged():
    counts = torch.from_numpy(np.bincount(split_of().train.indices, minlength=ITEMS)).double()
    popular = evaluate(lambda u: counts.expand(len(u), -1), split_of(), (5,))
    assert popular.metrics == pytest.approx(popular.baseline)
    hopeless = scores_of()
    for user, targets in enumerate(lists_of()[2]):
        hopeless[user, targets] = -50
    result = evaluate(lambda u: hopeless[u], split_of(), (5,))
    assert result.baseline == pytest.approx(popular.metrics)
    assert any("below popularity" in stamp for stamp in result.stamps)
    assert list(result.metrics) == [f"{name}@5" for name in ALL_METRICS]
    assert evaluate(lambda u: hopeless[u], split_of(), (5,), part="valid").baseline == {}


def test_one_score_for_all_is_the_order_of_ids_and_said():
    result = evaluate((torch.zeros(USERS, 2), torch.zeros(ITEMS, 2)), split_of(), (4,), ("recall", "mrr"))
    assert result.ties == {4: 59}
    assert any("order of item ids" in stamp for stamp in result.stamps)
    train, valid, _test = lists_of()
    chance = np.mean([4 / (ITEMS - len(train[user]) - len(valid[user])) for user in range(1, USERS)])
    assert result.expected == {"recall@4": pytest.approx(chance)}
    clear = evaluate(lambda u: scores_of()[u], split_of(), (4,))
    assert clear.ties == {4: 0}
    assert clear.expected == {}
    assert clear.checks["chance"] == "passed"


def test_repeats_are_refused_or_scored_both_ways():
    train, valid, test = lists_of()
    again = [row if not row else sorted({*row, train[user][0]} if train[user] else row) for user, row in enumerate(test)]
    split = SimpleNamespace(train=rows_of(train), valid=rows_of(valid), test=rows_of(again), protocol="lit-ratio")
    scores = scores_of()
    with pytest.raises(InputError, match="train and test must not share pairs"):
        evaluate(lambda u: scores[u], split)
    split.protocol = "lit-loo"
    result = evaluate(lambda u: scores[u], split, (5,), ("recall",))
    other = evaluate(lambda u: scores[u], split, (5,), ("recall",), mask_seen=False)
    assert result.companions["seen listed"] == pytest.approx(other.metrics)
    assert other.companions["seen masked"] == pytest.approx(result.metrics)
    assert (result.protocol, other.protocol) == ("lit-loo", "lit-loo (seen listed)")
    assert any("repeat the user's past" in stamp for stamp in result.stamps)
    with pytest.raises(InputError, match="results of different protocol are not compared"):
        result.improvement(other, "recall@5")


def test_gains_are_told_within_one_protocol_part_and_data():
    scores = scores_of()
    better = scores.clone()
    for user, targets in enumerate(lists_of()[2]):
        better[user, targets] += 2
    low, high = (evaluate(lambda u, s=s: s[u], split_of(), (5,)) for s in (scores, better))
    assert high.improvement(low, "ndcg@5") == pytest.approx(high.metrics["ndcg@5"] / low.metrics["ndcg@5"] - 1)
    with pytest.raises(InputError, match="different part"):
        high.improvement(evaluate(lambda u: scores[u], split_of(), (5,), part="valid"), "ndcg@5")
    with pytest.raises(InputError, match="different data"):
        high.improvement(evaluate(lambda u: scores[u], split_of(seed=1), (5,)), "ndcg@5")
    with pytest.raises(InputError, match="unknown metric of both results 'ndcg@6'"):
        high.improvement(low, "ndcg@6")


def test_validation_never_touches_the_test_part():
    class Sealed:
        train, valid, protocol = split_of().train, split_of().valid, "lit-ratio"

        @property
        def test(self):
            raise AssertionError("the test part was opened")

    result = evaluate(lambda u: scores_of()[u], Sealed(), (5,), part="valid")
    assert "test_reads" not in result.counts
    with pytest.raises(AssertionError, match="was opened"):
        evaluate(lambda u: scores_of()[u], Sealed(), (5,))


def test_reads_of_the_test_part_are_counted():
    reads = [evaluate(lambda u: scores_of()[u], split_of(seed=9), (5,)).counts["test_reads"] for _ in range(2)]
    assert reads == [1, 2]


def test_how_the_model_was_chosen_is_stamped():
    class Model:
        trained_on = fingerprint(split_of().train)

        def score(self, users):
            return scores_of()[users]

    assert evaluate(Model(), split_of(), (5,)).checks["graph"] == "passed"
    assert "no validation part" in evaluate(Model(), split_of(valid=False), (5,)).stamps
    assert "selection=valid-from-train" in evaluate(Model(), split_of(selection="valid-from-train"), (5,)).stamps
    with pytest.raises(InputError, match="trained on other interactions"):
        evaluate(Model(), split_of(seed=3))


def test_ids_of_protocols_may_be_narrowed_but_not_swapped():
    scores = scores_of()
    call = lambda u: scores[u]  # noqa: E731
    assert evaluate(call, split_of(), (5,), protocol="lit-ratio-ngcf").protocol == "lit-ratio-ngcf"
    assert evaluate(call, split_of("lit-files"), (5,), protocol="lit-loo-recbole").protocol == "lit-loo-recbole"
    with pytest.raises(InputError, match="the split was made by protocol 'lit-ratio'; got 'strict'"):
        evaluate(call, split_of(), (5,), protocol="strict")
    with pytest.raises(InputError, match="every number needs a protocol"):
        evaluate(call, split_of(None), (5,))


def test_bad_requests_are_told_what_is_wrong():
    call = lambda u: scores_of()[u]  # noqa: E731
    with pytest.raises(InputError, match="unknown ranking metric 'ndgc'; did you mean ndcg"):
        evaluate(call, split_of(), (5,), ("ndgc",))
    with pytest.raises(InputError, match="ks must be different lengths"):
        evaluate(call, split_of(), ())
    with pytest.raises(InputError, match="no validation part"):
        evaluate(call, split_of(valid=False), part="valid")
    with pytest.raises(InputError, match="unknown part 'train'"):
        evaluate(call, split_of(), part="train")
    empty = split_of()
    empty.test = rows_of([[]] * USERS)
    with pytest.raises(InputError, match="the test part is empty"):
        evaluate(call, empty)
    other = split_of()
    other.test = rows_of([[0]] * USERS, items=26)
    with pytest.raises(InputError, match="must have the same users and items"):
        evaluate(call, other)
    late = split_of("strict")
    late.train = SimpleNamespace(**vars(late.train), times=np.array([9]))
    late.test = SimpleNamespace(**vars(late.test), times=np.array([8]))
    with pytest.raises(InputError, match="training goes on until 9"):
        evaluate(call, late)
