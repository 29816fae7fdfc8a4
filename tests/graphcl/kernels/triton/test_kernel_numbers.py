import pytest

from graphcl.kernels import GaussianKernel, IMQKernel, LogKernel, RieszKernel, SoftplusKernel
from graphcl.kernels.triton.kernel_numbers import kernel_numbers


@pytest.mark.parametrize(
    ("kernel", "want"),
    [
        (GaussianKernel(3.0), ("gaussian", 3.0, 0.0)),
        (IMQKernel(0.5), ("imq", 0.5, 0.0)),
        (RieszKernel(-1.5, 1e-3), ("riesz", -1.5, 1e-3)),
        (LogKernel(4.0), ("log", 4.0, 0.0)),
        (SoftplusKernel(-2.0), ("softplus", -2.0, 0.0)),
    ],
)
def test_every_kernel_of_the_package_has_a_name_and_its_numbers(kernel, want):
    assert kernel_numbers(kernel) == want


def test_a_kernel_of_a_user_has_none():
    class Mine:
        of_distance = True

    assert kernel_numbers(Mine()) is None
