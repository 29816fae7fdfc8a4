import pytest
import torch

from graphcl.errors import InputError
from graphcl.losses.barlow_twins import BarlowTwins
from graphcl.losses.standardise import row_shares, standardise_by

F64 = torch.float64
A = torch.tensor([[1, 0, 0], [1, 1, 0], [0, 1, 1], [1, 1, 1]], dtype=F64)
B = torch.tensor([[2, 1, 0], [1, 2, 0], [0, 1, 2], [1, 1, 2]], dtype=F64)


def views(n, d, seed=0):
    torch.manual_seed(seed)
    return torch.randn(n, d, dtype=F64), torch.randn(n, d, dtype=F64)


def test_golden_value():
    assert BarlowTwins()(A, B).item() == pytest.approx(0.4895068381, abs=1e-9)


@pytest.mark.parametrize(("n", "d"), [(2, 1), (7, 5), (64, 16)])
def test_it_is_the_formula_on_correlation_coefficients(n, d):
    z1, z2 = views(n, d)
    c = torch.corrcoef(torch.cat([z1, z2], 1).T)[:d, d:]
    penalty = torch.full((d, d), 0.02, dtype=F64).fill_diagonal_(1)
    torch.testing.assert_close(BarlowTwins(0.02)(z1, z2), (penalty * (c - torch.eye(d)).square()).sum())


def test_identical_views_agree_exactly():
    z, _ = views(7, 5)
    terms = BarlowTwins().terms(z, z)
    assert terms["invariance"].item() == pytest.approx(0, abs=1e-28)
    assert BarlowTwins(0.0)(z, z).item() == pytest.approx(0, abs=1e-28)


def test_a_constant_dimension_agrees_with_nothing_and_gets_no_gradient():
    z1, z2 = views(7, 3)
    z1[:, 1] = 0.1
    z1.requires_grad_()
    loss = BarlowTwins(0.0)
    out = loss(z1, z2)
    rest = loss(z1[:, [0, 2]], z2[:, [0, 2]])
    torch.testing.assert_close(out, rest + 1)
    out.backward()
    assert (z1.grad[:, 1] == 0).all()
    assert torch.isfinite(z1.grad).all()
    assert loss(torch.ones(4, 3), torch.ones(4, 3)).item() == 3


def test_terms_add_up_to_the_loss():
    terms = BarlowTwins().terms(A, B)
    assert list(terms) == ["invariance", "redundancy"]
    torch.testing.assert_close(sum(terms.values()), BarlowTwins()(A, B))


def test_invariances():
    z1, z2 = views(11, 4)
    loss, order, dims = BarlowTwins(), torch.randperm(11), torch.randperm(4)
    want = loss(z1, z2)
    torch.testing.assert_close(loss(z2, z1), want)
    torch.testing.assert_close(loss(z1[order], z2[order]), want)
    torch.testing.assert_close(loss(z1[:, dims], z2[:, dims]), want)
    torch.testing.assert_close(loss(3 * z1 + 1, z2 * torch.tensor([1.0, 2, 3, 4]) - 5), want)


@pytest.mark.parametrize("n", [3, 5])
def test_gradients_are_right(n):
    assert torch.autograd.gradcheck(BarlowTwins(), tuple(z.requires_grad_() for z in views(n, 4)))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_lower_precision_stays_close(dtype):
    z1, z2 = views(64, 8)
    low = BarlowTwins()(z1.to(dtype), z2.to(dtype))
    assert low.dtype == torch.float32
    torch.testing.assert_close(low.double(), BarlowTwins()(z1, z2), rtol=2e-2, atol=0)


def test_weights_are_repeated_rows_and_equal_ones_change_nothing():
    z1, z2 = views(9, 4)
    times, loss = torch.tensor([2, 0, 1, 3, 1, 0, 1, 1, 2]), BarlowTwins()
    torch.testing.assert_close(loss(z1, z2, weight=torch.full((9,), 0.3)), loss(z1, z2))
    repeated = loss(z1.repeat_interleave(times, 0), z2.repeat_interleave(times, 0))
    torch.testing.assert_close(loss(z1, z2, weight=times), repeated)
    torch.testing.assert_close(loss(z1, z2, weight=5 * times), repeated)


def test_a_dimension_that_is_constant_where_weights_are_agrees_with_nothing():
    z1, z2 = views(9, 4)
    z1[:6, 2] = 0.1
    weight = torch.tensor([0.1, 0.7, 0.2, 0.3, 0.5, 0.9, 0, 0, 0], dtype=F64)
    z1.requires_grad_()
    invariance = BarlowTwins().terms(z1, z2, weight=weight)["invariance"]
    assert invariance.item() >= 1
    torch.testing.assert_close(invariance, BarlowTwins().terms(z1[:6], z2[:6], weight=weight[:6])["invariance"])
    invariance.backward()
    assert torch.isfinite(z1.grad).all()
    assert (z1.grad[:, 2] == 0).all()


def test_gradients_with_weights_are_right():
    inputs = tuple(x.requires_grad_() for x in (*views(5, 3), torch.rand(5, dtype=F64)))
    assert torch.autograd.gradcheck(lambda a, b, w: BarlowTwins()(a, b, weight=w), inputs)


def test_standardising_by_equal_shares_is_standardising():
    z, _ = views(7, 3)
    for unbiased in (False, True):
        got = standardise_by(z, row_shares(z, torch.full((7,), 4)), unbiased=unbiased)
        torch.testing.assert_close(got, (z - z.mean(0)) / z.std(0, unbiased=unbiased))
    assert row_shares(z, None).item() == pytest.approx(1 / 7)


def test_messages_and_name():
    with pytest.raises(InputError, match="weight must be a finite number >= 0"):
        BarlowTwins(-1)
    with pytest.raises(InputError, match="at least 2 rows"):
        BarlowTwins()(A[:1], B[:1])
    with pytest.raises(InputError, match="did an augmenter drop nodes"):
        BarlowTwins()(A, B[:3])
    assert repr(BarlowTwins()) == "BarlowTwins(weight=0.005)"
