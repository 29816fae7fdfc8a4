from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from graphcl.errors import InputError
from graphcl.recsys.ranking import leakage
from graphcl.recsys.ranking.rows import Rows, fingerprint, union
from graphcl.recsys.ranking.top_k import top_k


def rows_of(lists, items=6):
    indptr = np.concatenate([[0], np.cumsum([len(row) for row in lists])]).astype(np.int64)
    return Rows(indptr, np.array([i for row in lists for i in row], dtype=np.int32), len(lists), items)


TRAIN, VALID, TEST = rows_of([[0, 1], [2]]), rows_of([[2], []]), rows_of([[3], [4, 5]])


def test_parts_over_other_ids_are_refused():
    leakage.check_same_ids([TRAIN, TEST])
    with pytest.raises(InputError, match="got 2 x 6 and 2 x 7"):
        leakage.check_same_ids([TRAIN, rows_of([[], []], 7)])


def test_a_pair_in_two_parts_is_refused_and_named():
    leakage.check_disjoint(TRAIN, VALID, TEST)
    leakage.check_disjoint(TRAIN, None, None)
    with pytest.raises(InputError, match=r"train and test must not share pairs; user 1 has item 2 in both \(1 such pairs of 2"):
        leakage.check_disjoint(TRAIN, VALID, rows_of([[], [2, 3]]))
    with pytest.raises(InputError, match="valid and test must not share pairs; user 0 has item 2"):
        leakage.check_disjoint(TRAIN, VALID, rows_of([[2], []]))
    assert leakage.repeated_share(TRAIN, rows_of([[1], [1, 2, 3]])) == 0.5
    assert leakage.repeated_share(TRAIN, rows_of([[], []])) == 0


def test_training_must_be_older_than_what_is_scored():
    old, new = SimpleNamespace(times=np.array([3, 1])), SimpleNamespace(times=np.array([5, 4]))
    assert leakage.check_time(old, new) == "passed"
    assert leakage.check_time(old, TEST).startswith("not checked")
    with pytest.raises(InputError, match="training goes on until 5, the scored part starts at 1"):
        leakage.check_time(new, old)
    with pytest.raises(InputError, match="until 3, the scored part starts at 3"):
        leakage.check_time(old, SimpleNamespace(times=np.array([3])))


def test_a_model_of_another_graph_is_refused():
    class Model:
        def __init__(self, rows):
            self.trained_on = fingerprint(rows)

        def score(self, users):
            return torch.zeros(len(users), 6)

    assert leakage.check_graph(Model(TRAIN), TRAIN, VALID) == "passed"
    assert leakage.check_graph(Model(TRAIN).score, TRAIN, None) == "passed"  # a method is asked for its owner
    assert leakage.check_graph(Model(union(TRAIN, VALID)), TRAIN, VALID) == "refit on train and valid"
    assert leakage.check_graph(lambda u: u, TRAIN, VALID).startswith("not checked")
    with pytest.raises(InputError, match="trained on other interactions"):
        leakage.check_graph(Model(union(TRAIN, TEST)), TRAIN, VALID)


def test_noise_that_is_still_on_is_refused():
    table = torch.nn.Embedding(5, 6)
    dropout = torch.nn.Dropout(0.5)
    with pytest.raises(InputError, match="is dropout or noise still on"):
        leakage.check_repeatable(lambda u: dropout(table(u)), np.arange(5))
    dropout.eval()
    leakage.check_repeatable(lambda u: dropout(table(u)), np.arange(5))
    counter = torch.zeros(5, 6)
    with pytest.raises(InputError, match="other scores when asked again"):
        leakage.check_repeatable(lambda u: counter.add_(1), np.arange(5))  # one buffer for both answers


def random_data(users=400, items=60):
    rng = np.random.default_rng(0)
    lists = [np.sort(rng.choice(items, size=rng.integers(2, 12), replace=False)) for _ in range(users)]
    return rows_of([row[::2] for row in lists], items), rows_of([row[1::2] for row in lists], items)


@pytest.mark.parametrize("few", [False, True])
def test_lists_without_knowledge_and_with_it_hit_random_targets_by_chance_alone(few):
    train, test = random_data()
    candidates = np.arange(0, 60, 2) if few else np.arange(60)
    torch.manual_seed(0)
    knowing = torch.randn(400, 60)
    knowing[np.repeat(np.arange(400), np.diff(test.indptr)), test.indices] += 9  # who cheats on the true targets, too
    for scores in (torch.randn(400, 60), knowing):
        lists = top_k(lambda u, s=scores: s[u], np.arange(400), 10, seen=train, candidates=candidates).items.numpy()
        found = [leakage.shuffled_deviation(lists, np.arange(400), test, train, candidates, seed) for seed in range(40)]
        assert abs(np.mean(found)) < 4 / 40**0.5
        assert 0.6 < np.std(found) < 1.4
        assert leakage.check_chance(lists, np.arange(400), test, train, candidates) == "passed"


def test_lists_of_seen_items_are_not_chance():
    train, test = random_data()
    scores = torch.rand(400, 60, generator=torch.Generator().manual_seed(0))
    scores[np.repeat(np.arange(400), np.diff(train.indptr)), train.indices] += 1
    lists = top_k(lambda u: scores[u], np.arange(400), 4).items.numpy()  # the past first, though it was to be masked
    assert leakage.check_chance(lists, np.arange(400), test, train, np.arange(60)).startswith("failed")
    assert leakage.check_chance(lists, np.arange(400), test, None, np.arange(60)) == "passed"


def test_reads_of_a_test_part_are_counted_by_content():
    fresh = rows_of([[0, 5], [1, 5]], 77)
    assert [leakage.count_test_read(fresh), leakage.count_test_read(rows_of([[0, 5], [1, 5]], 77))] == [1, 2]
