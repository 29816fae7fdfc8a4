import pytest
import torch

from graphcl.errors import InputError
from graphcl.losses.ssge import SSGE

F64 = torch.float64
A = torch.tensor([[1, 0, 0], [1, 1, 0], [0, 1, 1], [1, 1, 1]], dtype=F64)
B = torch.tensor([[2, 1, 0], [1, 2, 0], [0, 1, 2], [1, 1, 2]], dtype=F64)


def views(n, d, seed=0):
    torch.manual_seed(seed)
    return torch.randn(n, d, dtype=F64), torch.randn(n, d, dtype=F64)


def test_golden_value():
    assert SSGE()(A, B).item() == pytest.approx(-2.1610026880, abs=1e-9)


@pytest.mark.parametrize(("n", "d"), [(2, 1), (7, 5), (64, 16)])
def test_it_is_agreement_plus_half_the_wasserstein_distance_up_to_a_constant(n, d):
    z1, z2 = ((z - z.mean(0)) / z.std(0) for z in views(n, d))
    want = -(z1 * z2).sum(1).mean()
    for z in (z1, z2):
        roots = torch.linalg.svdvals(z) / (n - 1) ** 0.5
        want = want + 0.3 / 2 * ((roots - 1).square().sum() - 2 * d)  # tr C = d
    torch.testing.assert_close(SSGE(0.3)(*views(n, d)), want)


def test_identical_whitened_views_have_a_closed_form():
    z = torch.linalg.qr(views(9, 4)[0] - views(9, 4)[0].mean(0)).Q
    assert SSGE(0.6)(z, z).item() == pytest.approx(-4 * 8 / 9 - 2 * 0.6 * 4)


def test_missing_rank_and_equal_eigenvalues_have_finite_gradients():
    z1, z2 = views(3, 5)  # rank 2 of 5
    white = torch.linalg.qr(views(9, 4)[0] - views(9, 4)[0].mean(0)).Q
    for a, b in ((z1, z2), (white, white.clone()), (torch.ones(4, 3), torch.ones(4, 3))):
        a.requires_grad_()
        SSGE()(a, b).backward()
        assert torch.isfinite(a.grad).all()
    assert SSGE(1.0)(torch.ones(4, 3), torch.ones(4, 3)).item() == pytest.approx(-6e-4)


def test_terms_add_up_to_the_loss():
    terms = SSGE().terms(A, B)
    assert list(terms) == ["alignment", "uniformity"]
    torch.testing.assert_close(sum(terms.values()), SSGE()(A, B))


def test_invariances():
    z1, z2 = views(11, 4)
    loss, order, dims = SSGE(), torch.randperm(11), torch.randperm(4)
    want = loss(z1, z2)
    torch.testing.assert_close(loss(z2, z1), want)
    torch.testing.assert_close(loss(z1[order], z2[order]), want)
    torch.testing.assert_close(loss(z1[:, dims], z2[:, dims]), want)
    torch.testing.assert_close(loss(3 * z1 + 1, z2 * torch.tensor([1.0, 2, 3, 4]) - 5), want)


@pytest.mark.parametrize("n", [5, 9])
def test_gradients_are_right(n):
    assert torch.autograd.gradcheck(SSGE(0.5), tuple(z.requires_grad_() for z in views(n, 4)))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_lower_precision_stays_close(dtype):
    z1, z2 = views(64, 8)
    low = SSGE()(z1.to(dtype), z2.to(dtype))
    assert low.dtype == torch.float32
    torch.testing.assert_close(low.double(), SSGE()(z1, z2), rtol=2e-2, atol=0)


def test_messages_and_name():
    with pytest.raises(InputError, match="weight must be a finite number >= 0"):
        SSGE(-1)
    with pytest.raises(InputError, match=r"floor must lie in \(0, 1\)"):
        SSGE(floor=0)
    with pytest.raises(InputError, match="at least 2 rows"):
        SSGE()(A[:1], B[:1])
    assert repr(SSGE()) == "SSGE(weight=0.1, floor=1e-08)"


def test_equal_weights_change_nothing_and_a_weight_of_zero_takes_a_row_out():
    torch.manual_seed(0)
    z1, z2 = torch.randn(2, 9, 3, dtype=torch.float64)
    loss = SSGE(0.3)
    torch.testing.assert_close(loss(z1, z2, weight=torch.full((9,), 2.0)), loss(z1, z2))
    weight = torch.ones(9, dtype=torch.float64).index_fill(0, torch.tensor([4]), 0.0)
    rest = torch.arange(9) != 4
    torch.testing.assert_close(loss(z1, z2, weight=weight), loss(z1[rest], z2[rest]))


def test_gradients_with_weights_are_right():
    torch.manual_seed(0)
    z1, z2 = (z.requires_grad_() for z in torch.randn(2, 6, 3, dtype=torch.float64))
    weight = torch.rand(6, dtype=torch.float64) + 0.1
    assert torch.autograd.gradcheck(lambda a, b: SSGE(0.3)(a, b, weight=weight), (z1, z2))
