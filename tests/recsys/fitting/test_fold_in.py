from __future__ import annotations

import numpy as np
import pytest
import torch

from graphcl.errors import InputError
from graphcl.recsys.fitting import fold_in
from graphcl.recsys.graph import Bipartite
from graphcl.recsys.ranking import Rows
from graphcl.recsys.ranking.rows import popularity


def rows(lists: list[list[int]], items: int) -> Rows:
    indptr = np.concatenate([[0], np.cumsum([len(row) for row in lists])]).astype(np.int64)
    return Rows(indptr, np.array([item for row in lists for item in row], dtype=np.int32), len(lists), items)


def test_it_is_the_formula():
    torch.manual_seed(0)
    q, degree = torch.randn(5, 3, dtype=torch.float64), np.array([3, 1, 7, 2, 4])
    histories = [[0, 2, 3], [4], [1, 2]]
    found = fold_in(q.float(), degree, rows(histories, 5))
    for user, history in enumerate(histories):
        wanted = sum(q[item] / (len(history) * degree[item]) ** 0.5 for item in history)
        torch.testing.assert_close(found[user].double(), wanted, rtol=1e-5, atol=1e-6)


def test_training_rows_get_one_layer_of_propagation(tastes):
    train = tastes().train
    torch.manual_seed(0)
    q = torch.randn(train.num_items, 4)
    layer, _ = Bipartite(train).spread(torch.zeros(train.num_users, 4), q)
    torch.testing.assert_close(fold_in(q, popularity(train), train), layer)


def test_unknown_items_say_nothing_and_nobody_is_zero():
    q, degree = torch.ones(3, 2), np.array([4, 0, 1])
    found = fold_in(q, degree, rows([[0, 1], [0], [1], []], 3))
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], torch.full((2,), 0.5))
    assert not found[2:].any()


def test_histories_over_other_items_are_refused():
    with pytest.raises(InputError, match="histories must be over the 3 items of training; got 4"):
        fold_in(torch.ones(3, 2), np.ones(3, dtype=np.int64), rows([[0]], 4))
