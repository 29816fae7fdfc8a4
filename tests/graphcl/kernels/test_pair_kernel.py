import math

import pytest
import torch

from graphcl.errors import InputError
from graphcl.kernels import GaussianKernel, IMQKernel, LogKernel, RieszKernel, SoftplusKernel

KERNELS = {
    GaussianKernel(0.7): lambda x: math.exp(-0.7 * x),
    IMQKernel(1.5): lambda x: 1.5 / math.sqrt(1.5**2 + x),
    RieszKernel(1.3): lambda x: math.sqrt(x + 1e-6) ** -1.3,
    RieszKernel(-1.3): lambda x: -(math.sqrt(x + 1e-6) ** 1.3),
    LogKernel(0.7): lambda x: -0.5 * math.log(1 + 0.7 * x),
    SoftplusKernel(-1.2): lambda x: math.log(1 + math.exp(-1.2 * x)),
}


@pytest.mark.parametrize("kernel", KERNELS, ids=repr)
def test_values_are_those_of_the_formula_and_slopes_those_of_the_values(kernel):
    points = torch.tensor([[0.01, 0.3, 1.0], [2.0, 5.0, 30.0]], dtype=torch.float64)
    want = torch.tensor([[KERNELS[kernel](float(x)) for x in row] for row in points], dtype=torch.float64)
    torch.testing.assert_close(kernel.value(points.clone()), want)
    leaf = points.clone().requires_grad_()
    (slope,) = torch.autograd.grad(kernel.value(leaf.clone()).sum(), leaf)
    torch.testing.assert_close(kernel.derivative(points.clone()), slope)


def test_far_ends_stay_finite():
    ends = torch.tensor([[-1e4, 0.0, 1e4]])
    torch.testing.assert_close(SoftplusKernel(1.0).value(ends.clone()), torch.tensor([[0.0, math.log(2), 1e4]]))
    for kernel in KERNELS:
        if kernel.of_distance:
            assert kernel.value(torch.tensor([[0.0, 1e4]])).isfinite().all()
            assert kernel.derivative(torch.tensor([[0.0, 1e4]])).isfinite().all()


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        (GaussianKernel, {"t": 0.0}, "t must be a finite number > 0; got 0.0"),
        (IMQKernel, {"c": -1.0}, "c must be a finite number > 0; got -1.0"),
        (LogKernel, {"t": math.inf}, "t must be a finite number > 0; got inf"),
        (RieszKernel, {"s": 0.0}, "s must be a finite number other than 0; got 0.0"),
        (RieszKernel, {"eps": 0.0}, "eps must be a finite number > 0; got 0.0"),
        (SoftplusKernel, {"scale": math.nan}, "scale must be a finite number"),
    ],
)
def test_widths_that_are_none_are_refused(kind, options, message):
    with pytest.raises(InputError, match=message):
        kind(**options)
