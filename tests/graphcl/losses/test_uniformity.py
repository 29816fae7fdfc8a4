import pytest
import torch
import torch.nn.functional as F
from torch.autograd import gradcheck

from graphcl.errors import InputError
from graphcl.losses import Uniformity

F64 = torch.float64


@pytest.mark.parametrize(
    ("rows", "value"),
    [
        ([[1, 0, 0], [1, 1, 0], [0, 1, 1], [1, 1, 1]], -1.3168327269),
        ([[2, 1, 0], [1, 2, 0], [0, 1, 2], [1, 1, 2]], -1.3129551006),
    ],
)
def test_it_has_its_golden_values(rows, value):
    assert Uniformity()(torch.tensor(rows, dtype=F64)).item() == pytest.approx(value, abs=1e-9)


@pytest.mark.parametrize("t", [0.5, 2.0])
def test_it_is_the_mean_potential_of_pairs_and_its_gradient_is_right(t):
    torch.manual_seed(0)
    z = torch.randn(5, 4, dtype=F64, requires_grad=True)
    want = (-t * F.pdist(F.normalize(z, dim=1)).square()).exp().mean().log()
    torch.testing.assert_close(Uniformity(t)(z), want)
    assert gradcheck(Uniformity(t), (z,))


def test_weights_are_those_of_anchors_inside_the_logarithm():
    torch.manual_seed(0)
    z, weight = torch.randn(6, 4, dtype=F64, requires_grad=True), torch.rand(6, dtype=F64, requires_grad=True)
    u = F.normalize(z, dim=1)
    potential = (-2 * (u[:, None] - u[None]).square().sum(2)).exp() * ~torch.eye(6, dtype=torch.bool)
    want = ((weight * potential.sum(1) / 5).sum() / weight.sum()).log()
    torch.testing.assert_close(Uniformity()(z, weight=weight), want)
    torch.testing.assert_close(Uniformity()(z, weight=torch.full((6,), 0.2)), Uniformity()(z))
    assert gradcheck(lambda z, w: Uniformity()(z, weight=w), (z, weight))


def test_orthonormal_and_equal_rows_have_closed_forms():
    assert Uniformity(2.0)(torch.eye(3, dtype=F64)).item() == pytest.approx(-4)
    assert Uniformity(2.0)(torch.ones(3, 3, dtype=F64)).item() == pytest.approx(0, abs=1e-12)


def test_a_sharpness_or_rows_that_are_none_are_refused():
    with pytest.raises(InputError, match="t must be > 0"):
        Uniformity(0.0)
    with pytest.raises(InputError, match="at least 2 rows"):
        Uniformity()(torch.ones(1, 3))
