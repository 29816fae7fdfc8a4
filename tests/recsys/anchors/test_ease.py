from __future__ import annotations

import numpy as np
import pytest
import torch

from graphcl.errors import InputError
from graphcl.recsys.anchors import EASE, ease
from graphcl.recsys.ranking import Rows


def random_rows(users=50, items=19, seed=0):
    dense = np.random.default_rng(seed).random((users, items)) < 0.3
    indptr = np.concatenate([[0], np.cumsum(dense.sum(1))]).astype(np.int64)
    return dense.astype(np.float64), Rows(indptr, np.nonzero(dense)[1].astype(np.int32), users, items)


@pytest.mark.parametrize("l2", [1.0, 30.0])
@pytest.mark.parametrize("block", [4, 19, 1024])
def test_weights_are_the_closed_form_and_solve_the_problem(l2, block, monkeypatch):
    monkeypatch.setattr("graphcl.recsys.anchors.ease.COLUMNS", block)
    dense, rows = random_rows()
    model = EASE(l2).fit(rows)
    gram = dense.T @ dense
    inverse = np.linalg.inv(gram + l2 * np.eye(19))
    want = -inverse / np.diag(inverse)
    np.fill_diagonal(want, 0)
    np.testing.assert_allclose(model.weights_, want, rtol=2e-4, atol=1e-6)
    # Each column is the ridge regression of its item on all others.
    for item in range(19):
        rest = np.arange(19) != item
        ridge = np.linalg.solve(gram[np.ix_(rest, rest)] + l2 * np.eye(18), gram[rest, item])
        np.testing.assert_allclose(model.weights_[rest, item], ridge, rtol=2e-4, atol=1e-6)
    np.testing.assert_allclose(model.score(torch.tensor([3, 0])).numpy(), dense[[3, 0]] @ want, rtol=1e-3, atol=1e-5)


def test_outside_the_diagonal_the_gradient_is_the_penalty():
    dense, rows = random_rows(seed=1)
    weights, gram = EASE(5.0).fit(rows).weights_.astype(np.float64), dense.T @ dense
    away = ~np.eye(19, dtype=bool)
    np.testing.assert_allclose((gram @ weights - gram)[away], -5.0 * weights[away], rtol=1e-3, atol=1e-4)
    assert (np.diag(weights) == 0).all()


def test_two_items_of_the_same_users_trade_weights():
    dense, _ = random_rows()
    dense[:, 1] = dense[:, 0]
    indptr = np.concatenate([[0], np.cumsum(dense.sum(1))]).astype(np.int64)
    weights = EASE(2.0).fit(Rows(indptr, np.nonzero(dense)[1].astype(np.int32), 50, 19)).weights_
    assert weights[0, 1] == pytest.approx(weights[1, 0], rel=1e-3)
    assert weights[0, 1] > 0
    np.testing.assert_allclose(weights[0, 2:], weights[1, 2:], rtol=1e-3, atol=1e-5)


def test_what_cannot_be_solved_is_told(monkeypatch):
    for wrong in (0.0, -1.0, np.inf, np.nan):
        with pytest.raises(InputError, match="l2 must be > 0"):
            EASE(wrong)
    dense = np.repeat([[0, 1], [0, 1]], 30, axis=0).astype(np.int32)
    twins = Rows(np.arange(61) * 2, dense.ravel(), 60, 2)
    with pytest.raises(InputError, match="a larger l2 is needed"):
        EASE(1e-30).fit(twins)
    monkeypatch.setattr("graphcl.recsys.anchors.ease.MOST_ITEMS", 1)
    with pytest.raises(InputError, match="EASE holds every pair of items: 2 items"):
        EASE().fit(twins)


@pytest.mark.parametrize("columns", [1, 4, 7, 30])
def test_blocks_of_any_size_give_the_inverse(monkeypatch, columns):
    monkeypatch.setattr(ease, "COLUMNS", columns)
    histories = (np.random.default_rng(3).random((60, 23)) < 0.2).astype(np.float32)
    gram = histories.T @ histories
    inverse = np.linalg.inv(gram.astype(np.float64) + 2.0 * np.eye(23))
    assert ease._invert(gram, 2.0)
    np.testing.assert_allclose(gram, inverse, rtol=1e-4, atol=1e-6)


def test_it_stands_beside_others_where_it_is_quick_and_fits():
    assert ease.is_quick(20_000, None)
    assert not ease.is_quick(20_001, None)
    assert ease.is_quick(1000, 8_000_000)
    assert not ease.is_quick(1000, 7_999_999)
