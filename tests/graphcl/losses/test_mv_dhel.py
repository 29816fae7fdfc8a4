import math

import pytest
import torch
import torch.nn.functional as F
from torch.autograd import gradcheck

from graphcl.errors import InputError
from graphcl.kernels import pair_tiles
from graphcl.losses import DHEL
from graphcl.losses.mv_dhel import MVDHEL

F64 = torch.float64
A = torch.tensor([[1, 0, 0], [1, 1, 0], [0, 1, 1], [1, 1, 1]], dtype=F64)
B = torch.tensor([[2, 1, 0], [1, 2, 0], [0, 1, 2], [1, 1, 2]], dtype=F64)


def views(v, n, d):
    torch.manual_seed(0)
    return torch.randn(v, n, d, dtype=F64)


def dense(z, t):
    """Term by term, as the sums of the formula say."""
    v, n, _ = z.shape
    e = torch.einsum("lid,mjd->limj", F.normalize(z, dim=2), F.normalize(z, dim=2)).div(t).exp()
    terms = []
    for i in range(n):
        top = sum(e[a, i, b, i] for a in range(v) for b in range(v) if a != b)
        terms.append(-top.log() + sum(sum(e[a, i, a, j] for j in range(n) if j != i).log() for a in range(v)))
    return torch.stack(terms)


def test_it_has_its_golden_value():
    assert MVDHEL(0.5)(A, B).item() == pytest.approx(2.1220114651, abs=1e-9)


@pytest.mark.parametrize(("v", "n"), [(2, 2), (2, 7), (3, 5), (5, 3)])
def test_it_is_the_formula_with_weights(v, n):
    z = views(v, n, 4)
    weight, terms = torch.rand(n, dtype=F64), dense(z, 0.3)
    torch.testing.assert_close(MVDHEL(0.3)(z), terms.mean())
    torch.testing.assert_close(MVDHEL(0.3)(list(z), weight=weight), (weight * terms).sum() / weight.sum())


@pytest.mark.parametrize("t", [0.05, 0.3])
def test_two_views_are_dhel_less_a_constant(t):
    z = views(2, 7, 4).requires_grad_()
    mine, theirs = MVDHEL(t)(z), DHEL(t)(*z)
    torch.testing.assert_close(mine, theirs - math.log(2))
    torch.testing.assert_close(torch.autograd.grad(mine, z), torch.autograd.grad(theirs, z))


@pytest.mark.parametrize("t", [0.05, 0.5, 2.0])
@pytest.mark.parametrize(("v", "n"), [(2, 2), (3, 3), (4, 7)])
def test_orthonormal_and_equal_rows_have_closed_forms(v, n, t):
    rows, same = torch.eye(n, dtype=F64).expand(v, n, n), torch.ones(v, n, 3, dtype=F64)
    energy = v * math.log(n - 1) - math.log(v * (v - 1))
    assert MVDHEL(t)(rows).item() == pytest.approx(energy - 1 / t)
    assert MVDHEL(t)(same).item() == pytest.approx(energy + (v - 1) / t)


def test_order_rotation_and_length_do_not_matter():
    z = views(3, 7, 4)
    turn = torch.linalg.qr(torch.randn(4, 4, dtype=F64)).Q
    torch.testing.assert_close(MVDHEL()(3 * z.flip(0)[:, torch.randperm(7)] @ turn), MVDHEL()(z))


def test_gradients_are_right():
    inputs = (views(3, 4, 3).requires_grad_(), torch.rand(4, dtype=F64).requires_grad_())
    assert gradcheck(lambda z, weight: MVDHEL(0.5)(z, weight=weight), inputs)


@pytest.mark.parametrize("rows", [1, 3, 16])
def test_blocks_of_any_size_give_the_same(monkeypatch, rows):
    z = views(3, 7, 4)
    want = MVDHEL()(z)
    monkeypatch.setattr(pair_tiles, "TILE_BYTES", 1)
    monkeypatch.setattr(pair_tiles, "MIN_ROWS", rows)
    torch.testing.assert_close(MVDHEL()(z), want)


def test_rows_of_zeros_and_small_temperatures_stay_finite():
    z = views(3, 5, 4).float()
    z[0, 1] = 0
    z.requires_grad_()
    loss = MVDHEL(1e-3)(z)
    (slope,) = torch.autograd.grad(loss, z)
    assert loss.isfinite()
    assert slope.isfinite().all()
    assert (slope[0, 1] == 0).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_single(dtype):
    z = views(3, 31, 8)
    got = MVDHEL(0.5)(z.to(dtype))
    assert got.dtype == torch.float32
    torch.testing.assert_close(got.double(), MVDHEL(0.5)(z), rtol=2e-2, atol=2e-2)


def test_what_makes_no_sense_is_named():
    with pytest.raises(InputError, match="agreement needs at least 2 views"):
        MVDHEL()([A])
    with pytest.raises(InputError, match="needs at least 2 rows, or there are no negatives"):
        MVDHEL()(A[:1], B[:1])
    with pytest.raises(InputError, match="view 0 has a value that is not finite in row 0"):
        MVDHEL()(A / 0, B)
    with pytest.raises(InputError, match="temperature must be > 0"):
        MVDHEL(-1.0)


def test_it_prints_what_it_is():
    assert repr(MVDHEL(0.25)) == "MVDHEL(temperature=0.25)"
