from __future__ import annotations

import pytest
import torch

from graphcl.errors import InputError
from graphcl.recsys.encoders.dropout import Dropout


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_every_place_is_zero_as_often_as_asked_and_the_mean_stays(p):
    torch.manual_seed(0)
    dropped = Dropout(p)(torch.ones(20_000, 7, dtype=torch.float64))
    assert torch.allclose((dropped == 0).double().mean(0), torch.tensor(p, dtype=torch.float64), atol=0.015)
    left = dropped[dropped != 0]
    assert len(left.unique()) == 1
    assert float(left[0]) == pytest.approx(1 / (1 - p), rel=1e-4)
    assert float(dropped.mean()) == pytest.approx(1, abs=0.03)


def test_neighbours_out_of_one_number_are_independent():
    torch.manual_seed(0)
    zero = (Dropout(0.5)(torch.ones(40_000, 4)) == 0).double()
    correlation = torch.corrcoef(zero.T)
    assert float((correlation - torch.eye(4)).abs().max()) < 0.02


def test_the_gradient_goes_where_the_value_went():
    torch.manual_seed(0)
    values = torch.randn(9, 5, requires_grad=True)
    dropped = Dropout(0.3)(values)
    (grad,) = torch.autograd.grad(dropped.sum(), values)
    torch.testing.assert_close(grad * values, dropped)
    assert (grad == 0).any()


def test_it_follows_from_the_seed():
    found = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        found.append(Dropout(0.5)(torch.ones(33)))
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])


def test_nothing_is_dropped_in_evaluation_or_with_probability_zero():
    values = torch.randn(5, 3)
    assert Dropout(0.5).eval()(values) is values
    assert Dropout(0.0)(values) is values


@pytest.mark.parametrize("shape", [(0, 4), (1,), (3, 5)])
def test_any_number_of_entries_will_do(shape):
    assert Dropout(0.5)(torch.ones(shape)).shape == shape


@pytest.mark.parametrize("p", [-0.1, 1.0])
def test_other_probabilities_are_refused(p):
    with pytest.raises(InputError, match=rf"dropout must be in \[0, 1\); got {p}"):
        Dropout(p)
