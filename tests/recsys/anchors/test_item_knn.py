from __future__ import annotations

import numpy as np
import pytest
import torch

from graphcl.errors import InputError
from graphcl.recsys.anchors import ItemKNN
from graphcl.recsys.ranking import Rows


def random_rows(users=40, items=23, seed=0):
    dense = np.random.default_rng(seed).random((users, items)) < 0.25
    dense[:, 7] = False  # an item that nobody has
    indptr = np.concatenate([[0], np.cumsum(dense.sum(1))]).astype(np.int64)
    return dense.astype(np.float64), Rows(indptr, np.nonzero(dense)[1].astype(np.int32), users, items)


@pytest.mark.parametrize(("neighbours", "shrinkage"), [(1, 0.0), (4, 0.0), (4, 10.0), (100, 3.0)])
@pytest.mark.parametrize("block", [5, 1024])
def test_scores_are_cosines_to_the_nearest_items_of_the_history(neighbours, shrinkage, block, monkeypatch):
    monkeypatch.setattr("graphcl.recsys.anchors.item_knn.ITEMS", block)
    dense, rows = random_rows()
    common, size = dense.T @ dense, dense.sum(0)
    want = np.zeros((40, 23))
    for item in range(23):
        near = [
            (-common[item, j] / (np.sqrt(size[item] * size[j]) + shrinkage), j)
            for j in range(23)
            if j != item and common[item, j]
        ]
        for value, j in sorted(near)[:neighbours]:
            want[:, item] -= dense[:, j] * value
    got = ItemKNN(neighbours, shrinkage=shrinkage).fit(rows).score(torch.arange(40))
    np.testing.assert_allclose(got.numpy(), want, rtol=1e-5, atol=1e-6)


def test_two_items_of_the_same_users_have_cosine_one():
    rows = Rows(np.array([0, 2, 4, 5]), np.array([0, 1, 0, 1, 2], dtype=np.int32), 3, 3)
    assert ItemKNN(5).fit(rows).weights_.toarray().tolist() == [[0, 1, 0], [1, 0, 0], [0, 0, 0]]


def test_arguments_are_checked():
    for wrong in ({"neighbours": 0}, {"shrinkage": -1.0}, {"shrinkage": np.nan}):
        with pytest.raises(InputError, match="neighbours must be >= 1 and shrinkage >= 0"):
            ItemKNN(**wrong)
