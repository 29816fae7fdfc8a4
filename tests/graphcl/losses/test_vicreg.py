import pytest
import torch

from graphcl.errors import InputError
from graphcl.losses.vicreg import VICReg

F64 = torch.float64
A = torch.tensor([[1, 0, 0], [1, 1, 0], [0, 1, 1], [1, 1, 1]], dtype=F64)
B = torch.tensor([[2, 1, 0], [1, 2, 0], [0, 1, 2], [1, 1, 2]], dtype=F64)


def views(n, d, seed=0):
    torch.manual_seed(seed)
    return torch.randn(n, d, dtype=F64), torch.randn(n, d, dtype=F64)


def test_golden_value():
    assert VICReg()(A, B).item() == pytest.approx(19.6024759907, abs=1e-9)


@pytest.mark.parametrize(("n", "d"), [(2, 1), (7, 5), (64, 16)])
def test_it_is_the_formula_on_covariances(n, d):
    z1, z2 = views(n, d)
    want = 3 * torch.nn.functional.mse_loss(z1, z2)
    for z in (z1, z2):
        c = torch.cov(z.T).reshape(d, d)
        want = want + 2 * (1 - (c.diagonal() + 1e-4).sqrt()).relu().mean() / 2
        want = want + 0.5 * (c - c.diagonal().diag()).square().sum() / d
    torch.testing.assert_close(VICReg(3, 2, 0.5)(z1, z2), want)


def test_weights_are_weighted_means_and_equal_ones_change_nothing():
    z1, z2 = views(9, 4)
    weight = torch.tensor([2, 0, 1, 3, 1, 0, 1, 1, 2])
    share = weight.double() / weight.sum()
    want = 3 * (share * (z1 - z2).square().mean(1)).sum()
    for z in (z1, z2):
        c = torch.cov(z.T, aweights=share)  # divides by 1 - sum of squared shares
        want = want + 2 * (1 - (c.diagonal() + 1e-4).sqrt()).relu().mean() / 2
        want = want + 0.5 * (c - c.diagonal().diag()).square().sum() / 4
    loss = VICReg(3, 2, 0.5)
    torch.testing.assert_close(loss(z1, z2, weight=weight), want)
    torch.testing.assert_close(loss(z1, z2, weight=torch.full((9,), 0.3)), loss(z1, z2))


def test_whole_weights_repeat_rows_in_the_difference_of_views():
    z1, z2 = views(9, 4)
    times, loss = torch.tensor([2, 0, 1, 3, 1, 0, 1, 1, 2]), VICReg(1, 0, 0)
    repeated = loss(z1.repeat_interleave(times, 0), z2.repeat_interleave(times, 0))
    torch.testing.assert_close(loss(z1, z2, weight=times), repeated)


def test_gradients_with_weights_are_right():
    inputs = tuple(x.requires_grad_() for x in (*views(5, 3), torch.rand(5, dtype=F64)))
    assert torch.autograd.gradcheck(lambda a, b, w: VICReg()(a, b, weight=w), inputs)


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        (torch.ones(3), r"weight must be \(4,\)"),
        (torch.zeros(4), "weight must be finite, >= 0"),
        (torch.eye(4)[0], "above 0 for at least 2 rows"),
    ],
)
def test_weights_that_are_none_are_refused(weight, message):
    with pytest.raises(InputError, match=message):
        VICReg()(A, B, weight=weight)


def test_whitened_identical_views_cost_nothing():
    z = torch.linalg.qr(torch.randn(9, 4, dtype=F64, generator=torch.Generator().manual_seed(0)) - 0.3).Q
    z = torch.linalg.qr(z - z.mean(0)).Q
    z = (z - z.mean(0)) * (2 * 8**0.5)  # uncorrelated, deviation 2
    assert VICReg()(z, z).item() == pytest.approx(0, abs=1e-9)


def test_collapse_costs_the_hinge_and_has_finite_gradients():
    z = torch.ones(6, 3, dtype=F64, requires_grad=True)
    out = VICReg()(z, z)
    assert out.item() == pytest.approx(25 * 0.99)
    out.backward()
    assert torch.isfinite(z.grad).all()


def test_terms_add_up_to_the_loss():
    terms = VICReg().terms(A, B)
    assert list(terms) == ["invariance", "variance", "covariance"]
    torch.testing.assert_close(sum(terms.values()), VICReg()(A, B))


def test_invariances():
    z1, z2 = views(11, 4)
    loss, order, dims = VICReg(), torch.randperm(11), torch.randperm(4)
    want = loss(z1, z2)
    torch.testing.assert_close(loss(z2, z1), want)
    torch.testing.assert_close(loss(z1[order], z2[order]), want)
    torch.testing.assert_close(loss(z1[:, dims], z2[:, dims]), want)
    torch.testing.assert_close(loss(z1 + 7, z2 + 7), want)


def test_the_agreement_alone_is_blind_to_rotation():
    z1, z2 = views(11, 4)
    turn = torch.linalg.qr(torch.randn(4, 4, dtype=F64)).Q
    torch.testing.assert_close(VICReg(25, 0, 0)(z1 @ turn, z2 @ turn), VICReg(25, 0, 0)(z1, z2))


@pytest.mark.parametrize("n", [2, 5])
def test_gradients_are_right(n):
    assert torch.autograd.gradcheck(VICReg(), tuple(z.requires_grad_() for z in views(n, 4)))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_lower_precision_stays_close(dtype):
    z1, z2 = views(64, 8)
    low = VICReg()(z1.to(dtype), z2.to(dtype))
    assert low.dtype == torch.float32
    torch.testing.assert_close(low.double(), VICReg()(z1, z2), rtol=2e-2, atol=0)


def test_messages_and_name():
    with pytest.raises(InputError, match="covariance must be a finite number >= 0"):
        VICReg(covariance=-1)
    with pytest.raises(InputError, match=r"eps must lie in \(0, 1\)"):
        VICReg(eps=0)
    with pytest.raises(InputError, match="at least 2 rows"):
        VICReg()(A[:1], B[:1])
    assert repr(VICReg()) == "VICReg(invariance=25, variance=25, covariance=1, eps=0.0001)"
