import pytest
import torch

from graphcl.errors import InputError
from graphcl.losses.cca_ssg import CCASSG

F64 = torch.float64
A = torch.tensor([[1, 0, 0], [1, 1, 0], [0, 1, 1], [1, 1, 1]], dtype=F64)
B = torch.tensor([[2, 1, 0], [1, 2, 0], [0, 1, 2], [1, 1, 2]], dtype=F64)


def views(n, d, seed=0):
    torch.manual_seed(seed)
    return torch.randn(n, d, dtype=F64), torch.randn(n, d, dtype=F64)


def test_golden_value():
    assert CCASSG()(A, B).item() == pytest.approx(-2.1466076920, abs=1e-9)


@pytest.mark.parametrize(("n", "d"), [(2, 1), (7, 5), (64, 16)])
@pytest.mark.parametrize("unbiased", [False, True])
def test_it_is_the_formula(n, d, unbiased):
    z1, z2 = ((z - z.mean(0)) / z.std(0, unbiased=unbiased) for z in views(n, d))
    want = -torch.trace(z1.T @ z2) / n
    for z in (z1, z2):
        want = want + 0.1 * torch.linalg.matrix_norm(torch.eye(d) - z.T @ z / n).square()
    torch.testing.assert_close(CCASSG(0.1, unbiased=unbiased)(*views(n, d)), want)


@pytest.mark.parametrize(("unbiased", "share"), [(False, 1.0), (True, 6 / 7)])
def test_identical_views_agree_in_every_dimension(unbiased, share):
    z, _ = views(7, 5)
    assert CCASSG(0.0, unbiased=unbiased)(z, z).item() == pytest.approx(-5 * share)


def test_identical_whitened_views_reach_the_minimum():
    z = torch.linalg.qr(views(9, 4)[0] - views(9, 4)[0].mean(0)).Q
    assert CCASSG(1.0)(z, z).item() == pytest.approx(-4)


def test_a_constant_dimension_counts_as_zeros():
    z1, z2 = views(7, 3)
    z1[:, 1] = z2[:, 1] = 0.1
    z1.requires_grad_()
    out = CCASSG(1.0)(z1, z2)
    torch.testing.assert_close(out, CCASSG(1.0)(z1[:, [0, 2]], z2[:, [0, 2]]) + 2)
    out.backward()
    assert (z1.grad[:, 1] == 0).all()
    assert torch.isfinite(z1.grad).all()


def test_terms_add_up_to_the_loss():
    terms = CCASSG().terms(A, B)
    assert list(terms) == ["invariance", "decorrelation"]
    torch.testing.assert_close(sum(terms.values()), CCASSG()(A, B))


def test_invariances():
    z1, z2 = views(11, 4)
    loss, order, dims = CCASSG(), torch.randperm(11), torch.randperm(4)
    want = loss(z1, z2)
    torch.testing.assert_close(loss(z2, z1), want)
    torch.testing.assert_close(loss(z1[order], z2[order]), want)
    torch.testing.assert_close(loss(z1[:, dims], z2[:, dims]), want)
    torch.testing.assert_close(loss(3 * z1 + 1, z2 * torch.tensor([1.0, 2, 3, 4]) - 5), want)


@pytest.mark.parametrize("unbiased", [False, True])
def test_gradients_are_right(unbiased):
    assert torch.autograd.gradcheck(CCASSG(0.1, unbiased=unbiased), tuple(z.requires_grad_() for z in views(5, 4)))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_lower_precision_stays_close(dtype):
    z1, z2 = views(64, 8)
    low = CCASSG()(z1.to(dtype), z2.to(dtype))
    assert low.dtype == torch.float32
    torch.testing.assert_close(low.double(), CCASSG()(z1, z2), rtol=2e-2, atol=2e-3)


def test_weights_are_repeated_rows_and_equal_ones_change_nothing():
    z1, z2 = views(9, 4)
    times, loss = torch.tensor([2, 0, 1, 3, 1, 0, 1, 1, 2]), CCASSG(0.1)
    torch.testing.assert_close(loss(z1, z2, weight=torch.full((9,), 0.3)), loss(z1, z2))
    repeated = loss(z1.repeat_interleave(times, 0), z2.repeat_interleave(times, 0))
    torch.testing.assert_close(loss(z1, z2, weight=times), repeated)
    torch.testing.assert_close(loss(z1, z2, weight=5 * times), repeated)


@pytest.mark.parametrize("unbiased", [False, True])
def test_gradients_with_weights_are_right(unbiased):
    inputs = tuple(x.requires_grad_() for x in (*views(5, 3), torch.rand(5, dtype=F64)))
    loss = CCASSG(0.1, unbiased=unbiased)
    torch.testing.assert_close(loss(*inputs[:2], weight=torch.full((5,), 7)), loss(*inputs[:2]))
    assert torch.autograd.gradcheck(lambda a, b, w: loss(a, b, weight=w), inputs)


def test_messages_and_name():
    with pytest.raises(InputError, match="weight must be a finite number >= 0"):
        CCASSG(-1)
    with pytest.raises(InputError, match="at least 2 rows"):
        CCASSG()(A[:1], B[:1])
    assert repr(CCASSG()) == "CCASSG(weight=0.001, unbiased=False)"
