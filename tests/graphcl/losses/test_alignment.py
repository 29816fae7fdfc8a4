import math

import pytest
import torch
import torch.nn.functional as F
from torch.autograd import gradcheck

from graphcl.errors import InputError
from graphcl.losses import Alignment

F64 = torch.float64


def test_it_has_its_golden_value():
    a = torch.tensor([[1, 0, 0], [1, 1, 0], [0, 1, 1], [1, 1, 1]], dtype=F64)
    b = torch.tensor([[2, 1, 0], [1, 2, 0], [0, 1, 2], [1, 1, 2]], dtype=F64)
    assert Alignment()(a, b).item() == pytest.approx(0.1326985857, abs=1e-9)


@pytest.mark.parametrize("alpha", [0.5, 1.0, 2.0, 3.0])
def test_it_is_the_mean_power_of_the_distance_and_its_gradient_is_right(alpha):
    torch.manual_seed(0)
    z1, z2 = (torch.randn(5, 4, dtype=F64, requires_grad=True) for _ in range(2))
    want = (F.normalize(z1, dim=1) - F.normalize(z2, dim=1)).norm(dim=1).pow(alpha).mean()
    torch.testing.assert_close(Alignment(alpha)(z1, z2), want)
    assert gradcheck(Alignment(alpha), (z1, z2))


@pytest.mark.parametrize("alpha", [0.5, 1.0, 2.0])
def test_equal_views_are_worth_nothing_and_get_no_gradient(alpha):
    z1, z2 = (torch.ones(3, 2, dtype=F64, requires_grad=True) for _ in range(2))
    loss = Alignment(alpha)(z1, z2)
    loss.backward()
    assert loss.item() == 0
    assert not z1.grad.any()


def test_weights_make_it_a_weighted_mean():
    torch.manual_seed(0)
    z1, z2, times = torch.randn(9, 4, dtype=F64), torch.randn(9, 4, dtype=F64), torch.randint(4, (9,))
    loss = Alignment()
    torch.testing.assert_close(loss(z1, z2, weight=torch.full((9,), 3.0)), loss(z1, z2))
    repeated = loss(z1.repeat_interleave(times, 0), z2.repeat_interleave(times, 0))
    torch.testing.assert_close(loss(z1, z2, weight=times), repeated)
    inputs = tuple(x.requires_grad_() for x in (z1, z2, torch.rand(9, dtype=F64)))
    assert gradcheck(lambda a, b, w: loss(a, b, weight=w), inputs)
    with pytest.raises(InputError, match=r"weight must be \(9,\), one for each anchor; got \(8,\)"):
        loss(z1, z2, weight=torch.ones(8))


@pytest.mark.parametrize("alpha", [0.0, -1.0, math.nan])
def test_a_power_that_is_none_is_refused(alpha):
    with pytest.raises(InputError, match="alpha must be > 0, the power of a distance"):
        Alignment(alpha)


def test_it_prints_what_it_is():
    assert repr(Alignment()) == "Alignment(alpha=2)"
