from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from graphcl.recsys.ranking.metrics import LINEAR, hits_of, score_lists
from graphcl.recsys.ranking.rows import Rows
from graphcl.recsys.ranking.ties import hit_chances, ties_at
from graphcl.recsys.ranking.top_k import chunks


def one_user(scores, targets, k):
    rows = Rows(np.array([0, len(targets)]), np.array(targets, dtype=np.int32), 1, len(scores))
    call = torch.tensor([scores], dtype=torch.float32)
    (part,) = chunks(lambda u: call, np.array([0]), k, None, None, None)
    hits = hits_of(part.items.numpy(), part.users, rows)
    return part, hits, hit_chances(part, hits, rows)


@pytest.mark.parametrize(
    ("scores", "targets"),
    [
        ([1, 1, 1, 1, 1], [3]),
        ([0, 2, 2, 1, 1], [1, 4]),
        ([5, 4, 3, 2, 1], [0, 4]),
        ([1, 2, 2, 2, 0], [0, 1, 2]),
        ([-np.inf, 1, 1, -np.inf, 1], [2, 3]),
        ([-np.inf, -np.inf, 1, -np.inf, 1], [2, 3]),
    ],
)
@pytest.mark.parametrize("k", [1, 3, 5])
def test_chances_give_the_mean_over_all_orders_of_equal_scores(scores, targets, k):
    _, _, chances = one_user(scores, targets, k)
    size = np.array([len(targets)])
    got = {name: float(values[0]) for name, values in score_lists(chances, size, (k,), LINEAR).items()}
    total = dict.fromkeys(got, 0.0)
    orders = list(itertools.permutations(range(5)))
    for order in orders:
        ranked = sorted((item for item in order if scores[item] > -np.inf), key=lambda item: -scores[item])[:k]
        hits = np.array([[item in targets for item in ranked] + [False] * (k - len(ranked))])
        for name, values in score_lists(hits, size, (k,), LINEAR).items():
            total[name] += float(values[0]) / len(orders)
    assert got == pytest.approx(total)


def test_ties_are_counted_at_the_cut_only():
    part, _, _ = one_user([3, 3, 2, 1, 1], [0], 4)
    scores, tied = part.scores.numpy(), part.tied.numpy()
    assert [ties_at(scores, tied, k) for k in (1, 2, 3, 4)] == [1, 0, 0, 1]
    short, _, _ = one_user([3, -np.inf, -np.inf, -np.inf, -np.inf], [0], 3)
    assert [ties_at(short.scores.numpy(), short.tied.numpy(), k) for k in (1, 2, 3)] == [0, 0, 0]
