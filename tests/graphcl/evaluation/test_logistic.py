import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.linear_model import LogisticRegression

from graphcl.errors import InputError
from graphcl.evaluation import logistic
from graphcl.evaluation.logistic import logistic_path


def points(n, d, classes, seed=0):
    random = np.random.default_rng(seed)
    y = np.arange(n) % classes
    x = random.standard_normal((n, d)) + 0.7 * random.standard_normal((classes, d))[y] + 2
    return x * (random.random((n, d)) < 0.5), y


def gradient(x, y, model):
    """Of the objective, by hand: for the weight and the intercept."""
    logits = x @ model.weight + model.bias
    chance = np.exp(logits - logits.max(1, keepdims=True))
    chance /= chance.sum(1, keepdims=True)
    chance[np.arange(len(y)), y] -= 1
    return model.c * x.T @ chance + model.weight, chance.sum(0)


@pytest.mark.parametrize(("n", "d", "classes"), [(60, 7, 3), (31, 31, 4), (12, 50, 3), (40, 1, 2)])
@pytest.mark.parametrize("sparse", [False, True])
def test_every_model_of_the_path_is_a_minimum(n, d, classes, sparse):
    x, y = points(n, d, classes)
    models = list(logistic_path(sp.csr_matrix(x) if sparse else x, y, classes, [0.01, 0.1, 1, 30]))
    assert [model.c for model in models] == [0.01, 0.1, 1, 30]
    for model in models:
        weight, bias = gradient(x, y, model)
        assert np.abs(weight).max() < 2e-3 * max(1, model.c)
        assert np.abs(bias).max() < 1e-2


@pytest.mark.parametrize(("n", "d"), [(60, 7), (12, 50)])
def test_the_minimum_is_that_of_scikit_learn(n, d):
    x, y = points(n, d, 3)
    for model in logistic_path(x, y, 3, [0.05, 1, 20]):
        want = LogisticRegression(C=model.c, tol=1e-9, max_iter=20000).fit(x, y)
        np.testing.assert_allclose(model.weight.T, want.coef_, atol=3e-3)
        np.testing.assert_allclose(
            model.logits(x) - model.logits(x).mean(1, keepdims=True), want.decision_function(x), atol=2e-2
        )


def test_the_start_does_not_decide_the_end():
    x, y = points(60, 9, 3)
    on_the_way = list(logistic_path(x, y, 3, [0.01, 0.1, 1, 10]))[-1]
    (at_once,) = logistic_path(x, y, 3, [10])
    np.testing.assert_allclose(on_the_way.weight, at_once.weight, atol=5e-3)


def test_a_rotation_of_the_features_rotates_the_weight():
    x, y = points(50, 6, 3)
    turn = np.linalg.qr(np.random.default_rng(1).standard_normal((6, 6)))[0]
    (plain,), (turned,) = logistic_path(x, y, 3, [1]), logistic_path(x @ turn, y, 3, [1])
    np.testing.assert_allclose(turn @ turned.weight, plain.weight, atol=1e-3)


def test_features_that_say_nothing_leave_the_shares_of_the_classes():
    y = np.array([0, 0, 0, 1])
    (model,) = logistic_path(np.ones((4, 3)), y, 2, [1])
    assert np.array_equal(model.weight, np.zeros((3, 2)))
    assert model.bias[0] - model.bias[1] == pytest.approx(np.log(3), abs=1e-3)


def test_separable_points_stay_finite_at_the_weak_end():
    x, y = np.array([[1.0], [2.0], [-1.0], [-2.0]]), np.array([0, 0, 1, 1])
    (model,) = logistic_path(x, y, 2, [2.0**20])
    assert np.isfinite(model.weight).all()
    assert (model.logits(x).argmax(1) == y).all()


def test_a_fit_that_stops_early_says_so(monkeypatch):
    monkeypatch.setattr(logistic, "STEPS", 1)
    x, y = points(60, 7, 3)
    with pytest.warns(RuntimeWarning, match="with C = 1000 stopped before its tolerance"):
        list(logistic_path(x, y, 3, [1000]))


@pytest.mark.parametrize("strengths", [[], [1, 0], [-1]])
def test_strengths_that_are_not_positive_are_refused(strengths):
    with pytest.raises(InputError, match="strengths C must be numbers > 0"):
        list(logistic_path(np.ones((2, 1)), np.array([0, 1]), 2, strengths))
