import math

import pytest
import torch

from graphcl.errors import InputError
from graphcl.losses.standardise import (
    check_weight,
    constant_dimensions,
    off_diagonal_energy,
    standardise,
)

F64 = torch.float64


@pytest.mark.parametrize(("n", "d"), [(2, 1), (7, 5), (64, 16)])
@pytest.mark.parametrize("unbiased", [False, True])
def test_columns_have_mean_zero_and_deviation_one(n, d, unbiased):
    torch.manual_seed(0)
    z = standardise(3 + 2 * torch.randn(n, d, dtype=F64), unbiased=unbiased)
    torch.testing.assert_close(z.mean(0), torch.zeros(d, dtype=F64))
    torch.testing.assert_close(z.std(0, unbiased=unbiased), torch.ones(d, dtype=F64))


@pytest.mark.parametrize("value", [0.0, 0.1, -1e30, 1e-30])
@pytest.mark.parametrize("n", [7, 10007])
def test_a_constant_column_becomes_zeros_without_a_gradient(value, n):
    z = torch.randn(n, 2, generator=torch.Generator().manual_seed(0))
    z[:, 1] = value
    z.requires_grad_()
    out = standardise(z)
    assert (out[:, 1] == 0).all()
    out.pow(3).sum().backward()
    assert torch.isfinite(z.grad).all()
    assert (z.grad[:, 1] == 0).all()
    assert constant_dimensions(z).tolist() == [False, True]


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_extreme_scales_neither_overflow_nor_vanish(scale):
    z = torch.randn(7, 3, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(standardise(scale * z), standardise(z))


@pytest.mark.parametrize("unbiased", [False, True])
def test_gradients_are_right(unbiased):
    z = torch.randn(5, 4, dtype=F64, generator=torch.Generator().manual_seed(0), requires_grad=True)
    assert torch.autograd.gradcheck(lambda z: standardise(z, unbiased=unbiased), (z,))


def test_energy_off_the_diagonal_leaves_the_diagonal_out():
    assert off_diagonal_energy(torch.tensor([[9.0, 1.0], [2.0, -9.0]])).item() == 5


@pytest.mark.parametrize("value", [-1.0, math.nan, math.inf])
def test_weights_that_are_no_weights_are_refused(value):
    with pytest.raises(InputError, match="alpha must be a finite number >= 0"):
        check_weight("alpha", value)
    assert check_weight("alpha", 0.0) == 0
