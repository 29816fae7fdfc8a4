from __future__ import annotations

import numpy as np
import pytest
import torch

from graphcl.errors import InputError
from graphcl.recsys.anchors import IALS
from graphcl.recsys.anchors.ials import solve_rows
from graphcl.recsys.ranking import Rows


def rows_of(dense):
    indptr = np.concatenate([[0], np.cumsum(dense.sum(1))]).astype(np.int64)
    return Rows(indptr, np.nonzero(dense)[1].astype(np.int32), *dense.shape)


def random_rows(users=30, items=17, seed=0):
    dense = np.random.default_rng(seed).random((users, items)) < 0.3
    dense[:, 7] = False  # an item that nobody has
    dense[4] = False  # a user without anything
    return dense.astype(np.float64), rows_of(dense)


def penalties(dense, unseen, l2, nu):
    """Of each row of one side."""
    return l2 * (dense.sum(1) + unseen * dense.shape[1]) ** nu


def objective(dense, users, items, unseen, l2, nu):
    product = users @ items.T
    fit = (dense * (product - 1) ** 2).sum() + unseen * (product**2).sum()
    of_users = (penalties(dense, unseen, l2, nu) * (users**2).sum(1)).sum()
    return fit + of_users + (penalties(dense.T, unseen, l2, nu) * (items**2).sum(1)).sum()


def half(dense, table, **settings):
    rows = rows_of(dense)
    return solve_rows(rows.indptr, rows.indices, torch.from_numpy(table), **settings).numpy()


@pytest.mark.parametrize("dim", [1, 5, 40])  # shorter than every row, than some, than none
@pytest.mark.parametrize("numbers", [1, 300, 2**22])
@pytest.mark.parametrize("settings", [{"unseen": 0.1, "l2": 0.3, "nu": 1.0}, {"unseen": 0.7, "l2": 0.01, "nu": 0.0}])
def test_each_row_is_its_ridge_regression(settings, dim, numbers, monkeypatch):
    monkeypatch.setattr("graphcl.recsys.anchors.ials.NUMBERS", numbers)
    dense, _ = random_rows()
    table = np.random.default_rng(1).normal(size=(17, dim))
    want = np.zeros((30, dim))
    for user, penalty in enumerate(penalties(dense, **settings)):
        weights = dense[user] + settings["unseen"]
        system = (table.T * weights) @ table + penalty * np.eye(dim)
        want[user] = np.linalg.solve(system, table.T @ dense[user])
    np.testing.assert_allclose(half(dense, table, **settings), want, rtol=1e-9, atol=1e-12)
    assert (want[4] == 0).all()


@pytest.mark.parametrize("nu", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("unseen", [0.0, 0.2])
def test_no_half_of_a_sweep_raises_the_objective(unseen, nu):
    dense, _ = random_rows()
    settings = {"unseen": unseen, "l2": 0.05, "nu": nu}
    generator = np.random.default_rng(2)
    users, items = generator.normal(size=(30, 4)), generator.normal(size=(17, 4))
    values = [objective(dense, users, items, **settings)]
    for _ in range(10):
        items = half(dense.T, users, **settings)
        values.append(objective(dense, users, items, **settings))
        users = half(dense, items, **settings)
        values.append(objective(dense, users, items, **settings))
    assert (np.diff(values) <= 1e-10 * values[0]).all()
    assert values[-1] < 0.9 * values[1]
    # A solution cannot be bettered nearby.
    for _ in range(5):
        nearby = users + 1e-3 * generator.normal(size=users.shape)
        assert objective(dense, nearby, items, **settings) > values[-1]


def test_without_unseen_pairs_a_full_matrix_is_ridge_regression():
    table = np.random.default_rng(3).normal(size=(9, 3))
    got = half(np.ones((5, 9)), table, unseen=0.0, l2=2.0, nu=0.0)
    ridge = np.linalg.solve(table.T @ table + 2 * np.eye(3), table.T @ np.ones(9))
    np.testing.assert_allclose(got, np.tile(ridge, (5, 1)), rtol=1e-10)
    # With nu the penalty grows with the nine pairs.
    np.testing.assert_allclose(half(np.ones((5, 9)), table, unseen=0.0, l2=2 / 9, nu=1.0), got, rtol=1e-10)


def test_training_ends_where_its_objective_says():
    dense, rows = random_rows()
    model = IALS(3, unseen=0.2, l2=0.05, nu=0.5, sweeps=100, seed=1).fit(rows)
    users, items = model.users_.double().numpy(), model.items_.double().numpy()
    settings = {"unseen": 0.2, "l2": 0.05, "nu": 0.5}
    np.testing.assert_allclose(half(dense, items, **settings), users, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(half(dense.T, users, **settings), items, rtol=1e-2, atol=1e-3)
    np.testing.assert_allclose(model.score(torch.tensor([3, 4])).numpy(), users[[3, 4]] @ items.T, rtol=1e-4, atol=1e-6)
    assert (users[4] == 0).all()
    assert (items[7] == 0).all()


def test_a_history_is_embedded_by_one_solve():
    _, rows = random_rows()
    model = IALS(5, sweeps=2).fit(rows)
    torch.testing.assert_close(model.score_histories(rows), model.score(torch.arange(30)), rtol=1e-4, atol=1e-6)
    new = (np.random.default_rng(5).random((6, 17)) < 0.3).astype(np.float64)
    items = model.items_.double().numpy()
    want = half(new, items, unseen=0.1, l2=0.01, nu=1.0) @ items.T
    np.testing.assert_allclose(model.score_histories(rows_of(new)).numpy(), want, rtol=1e-3, atol=1e-5)


def test_a_seed_gives_the_same_bits():
    _, rows = random_rows()
    first, second, third = (IALS(4, sweeps=1, seed=seed).fit(rows).users_ for seed in (1, 1, 2))
    assert torch.equal(first, second)
    assert not torch.equal(first, third)


def test_bad_input_is_told():
    for wrong in ({"dim": 0}, {"sweeps": 0}):
        with pytest.raises(InputError, match="dim and sweeps must be >= 1"):
            IALS(**wrong)
    for wrong in ({"unseen": -1.0}, {"l2": 0.0}, {"l2": np.nan}, {"nu": -0.5}, {"nu": 1.5}):
        with pytest.raises(InputError, match="unseen must be >= 0, l2 > 0 and nu from 0 to 1"):
            IALS(**wrong)
    _, rows = random_rows()
    with pytest.raises(InputError, match="IALS has learnt nothing yet"):
        IALS().score(torch.tensor([0]))
    with pytest.raises(InputError, match=r"users must lie in \[0, 30\); got 30 to 30"):
        IALS(2, sweeps=1).fit(rows).score(torch.tensor([30]))
    with pytest.raises(InputError, match="a larger l2 is needed"):
        solve_rows(np.array([0, 2]), np.array([0, 1]), torch.ones(2, 2), unseen=0.0, l2=1e-30, nu=0.0)
