import math

import pytest
import torch

from graphcl.errors import InputError
from graphcl.losses import InfoNCE, NTXent
from graphcl.losses.temperature import LearnableTemperature, check_temperature

F64 = torch.float64


@pytest.mark.parametrize("temperature", [0, -1, float("nan"), float("inf")])
def test_a_temperature_that_does_not_divide_is_refused(temperature):
    with pytest.raises(InputError, match="temperature must be > 0"):
        check_temperature(temperature)


def test_the_limit_itself_is_taken():
    assert check_temperature(1e-4) == 1e-4
    with pytest.raises(InputError, match=r"at least 0\.0001"):
        check_temperature(9e-5)


@pytest.mark.parametrize("bounds", [(0.2, 0.3, 1.0), (0.2, 0.01, 0.1), (0.2, 0.01, float("inf"))])
def test_bounds_that_do_not_hold_the_start_are_refused(bounds):
    initial, lowest, highest = bounds
    with pytest.raises(InputError, match="temperature must start between lowest and highest"):
        LearnableTemperature(initial, lowest=lowest, highest=highest)


def test_a_learned_temperature_is_the_loss_of_that_number_and_gets_its_slope():
    torch.manual_seed(0)
    z1, z2 = torch.randn(2, 6, 3, dtype=F64)
    for loss in (InfoNCE, NTXent):
        temperature = LearnableTemperature(0.3).double()
        learned = loss(temperature)
        out = learned(z1, z2)
        torch.testing.assert_close(out, loss(0.3)(z1, z2), rtol=1e-6, atol=1e-6)
        out.backward()
        step, log = 1e-6, float(temperature.log_scale.detach())
        near = [loss(math.exp(-(log + sign * step)))(z1, z2) for sign in (1, -1)]
        torch.testing.assert_close(temperature.log_scale.grad, (near[0] - near[1]) / (2 * step), rtol=1e-5, atol=1e-6)
        assert list(learned.parameters()) == [temperature.log_scale]


def test_it_stays_within_its_bounds_and_comes_back():
    temperature = LearnableTemperature(0.05, lowest=0.02, highest=0.5)
    optimiser = torch.optim.SGD(temperature.parameters(), lr=1.0)
    for sign, bound in ((-1, 1 / 0.02), (1, 1 / 0.5)):
        for _ in range(100):
            optimiser.zero_grad()
            (sign * temperature().log()).backward()
            optimiser.step()
        assert float(temperature().detach()) == pytest.approx(bound, rel=1e-5)


def test_it_prints_where_it_stands():
    assert repr(LearnableTemperature(0.05)) == "LearnableTemperature(0.05, lowest=0.01, highest=1)"
    assert "temperature=learned" in repr(InfoNCE(LearnableTemperature()))
