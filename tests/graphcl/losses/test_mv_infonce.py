import math

import pytest
import torch
import torch.nn.functional as F
from torch.autograd import gradcheck

from graphcl.errors import InputError
from graphcl.kernels import pair_tiles
from graphcl.losses import NTXent
from graphcl.losses.mv_infonce import MVInfoNCE, stacked_views

F64 = torch.float64
A = torch.tensor([[1, 0, 0], [1, 1, 0], [0, 1, 1], [1, 1, 1]], dtype=F64)
B = torch.tensor([[2, 1, 0], [1, 2, 0], [0, 1, 2], [1, 1, 2]], dtype=F64)


def views(v, n, d):
    torch.manual_seed(0)
    return torch.randn(v, n, d, dtype=F64)


def dense(z, t, same_view_negatives):
    """Term by term, as the sums of the formula say."""
    v, n, _ = z.shape
    e = torch.einsum("lid,mjd->limj", F.normalize(z, dim=2), F.normalize(z, dim=2)).div(t).exp()
    terms = []
    for i in range(n):
        top = sum(e[a, i, b, i] for a in range(v) for b in range(v) if a != b)
        candidates = ((a, j, b) for a in range(v) for b in range(v) for j in range(n))
        rest = sum(e[a, i, b, j] for a, j, b in candidates if (b, j) != (a, i) and (same_view_negatives or a != b))
        terms.append(-(top / rest).log())
    return torch.stack(terms)


@pytest.mark.parametrize(("same", "value"), [(True, 1.4468047283), (False, 0.9701060392)])
def test_it_has_its_golden_values(same, value):
    assert MVInfoNCE(0.5, same_view_negatives=same)(A, B).item() == pytest.approx(value, abs=1e-9)


@pytest.mark.parametrize("same", [True, False])
@pytest.mark.parametrize(("v", "n"), [(2, 2), (2, 7), (3, 5), (5, 3)])
def test_it_is_the_formula_with_weights(same, v, n):
    z = views(v, n, 4)
    weight = torch.rand(n, dtype=F64)
    loss, terms = MVInfoNCE(0.3, same_view_negatives=same), dense(z, 0.3, same)
    torch.testing.assert_close(loss(z), terms.mean())
    torch.testing.assert_close(loss(z, weight=weight), (weight * terms).sum() / weight.sum())


def test_views_come_as_a_stack_a_list_or_one_by_one():
    z = views(3, 5, 4)
    want = MVInfoNCE()(z)
    for given in ((list(z),), (tuple(z),), tuple(z), (z[:2], z[2])):
        assert MVInfoNCE()(*given) == want


def test_two_views_are_ntxent_where_both_partitions_agree_and_above_it_elsewhere():
    z = views(2, 7, 4)
    assert MVInfoNCE(0.3)(z) > NTXent(0.3)(*z)
    torch.testing.assert_close(MVInfoNCE(0.3)(z[0], z[0]), NTXent(0.3)(z[0], z[0].clone()))


@pytest.mark.parametrize("t", [0.05, 0.5, 2.0])
@pytest.mark.parametrize(("v", "n"), [(2, 2), (3, 3), (4, 7)])
def test_orthonormal_and_equal_rows_have_closed_forms(v, n, t):
    rows, same = torch.eye(n, dtype=F64).expand(v, n, n), torch.ones(v, n, 3, dtype=F64)
    far = v * (n - 1) * math.exp(-1 / t)
    assert MVInfoNCE(t)(rows).item() == pytest.approx(math.log1p(far / (v - 1)))
    assert MVInfoNCE(t, same_view_negatives=False)(rows).item() == pytest.approx(math.log1p((n - 1) * math.exp(-1 / t)))
    assert MVInfoNCE(t)(same).item() == pytest.approx(math.log((v * n - 1) / (v - 1)))
    assert MVInfoNCE(t, same_view_negatives=False)(same).item() == pytest.approx(math.log(n))


@pytest.mark.parametrize("same", [True, False])
def test_order_rotation_and_length_do_not_matter(same):
    z = views(3, 7, 4)
    loss = MVInfoNCE(0.3, same_view_negatives=same)
    turn = torch.linalg.qr(torch.randn(4, 4, dtype=F64)).Q
    torch.testing.assert_close(loss(3 * z.flip(0)[:, torch.randperm(7)] @ turn), loss(z))


@pytest.mark.parametrize("same", [True, False])
def test_gradients_are_right(same):
    inputs = (views(3, 4, 3).requires_grad_(), torch.rand(4, dtype=F64).requires_grad_())
    loss = MVInfoNCE(0.5, same_view_negatives=same)
    assert gradcheck(lambda z, weight: loss(z, weight=weight), inputs)


@pytest.mark.parametrize("same", [True, False])
@pytest.mark.parametrize("rows", [1, 3, 16])
def test_blocks_of_any_size_give_the_same(monkeypatch, same, rows):
    z = views(3, 7, 4)
    want = MVInfoNCE(same_view_negatives=same)(z)
    monkeypatch.setattr(pair_tiles, "TILE_BYTES", 1)
    monkeypatch.setattr(pair_tiles, "MIN_ROWS", rows)
    torch.testing.assert_close(MVInfoNCE(same_view_negatives=same)(z), want)


def test_rows_of_zeros_and_small_temperatures_stay_finite():
    z = views(3, 5, 4).float()
    z[0, 1] = z[1, 1] = z[2, 1] = 0
    z.requires_grad_()
    loss = MVInfoNCE(1e-3)(z)
    (slope,) = torch.autograd.grad(loss, z)
    assert loss.isfinite()
    assert slope.isfinite().all()
    assert (slope[:, 1] == 0).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_single(dtype):
    z = views(3, 31, 8)
    got = MVInfoNCE(0.5)(z.to(dtype))
    assert got.dtype == torch.float32
    torch.testing.assert_close(got.double(), MVInfoNCE(0.5)(z), rtol=2e-2, atol=2e-2)


def test_mixed_precision_takes_the_widest():
    z = views(2, 3, 2)
    assert stacked_views(z[0].half(), z[1].float()).dtype == torch.float32
    assert stacked_views(z[0].bfloat16(), z[1]).dtype == F64


def test_what_makes_no_sense_is_named():
    with pytest.raises(InputError, match=r"agreement needs at least 2 views.*got 1"):
        MVInfoNCE()(A)
    with pytest.raises(InputError, match=r"view 1 is \(3, 3\), view 0 \(4, 3\)"):
        MVInfoNCE()(A, B[:3])
    with pytest.raises(InputError, match="view 1 must be floating point"):
        MVInfoNCE()([A, B.long()])
    with pytest.raises(InputError, match=r"needs at least 2 rows, or there are no negatives.*got \(1, 3\)"):
        MVInfoNCE()(A[:1], B[:1])
    spoiled = B.clone()
    spoiled[2, 1] = torch.nan
    with pytest.raises(InputError, match="view 2 has a value that is not finite in row 2"):
        MVInfoNCE()(A, B, spoiled)
    with pytest.raises(InputError, match="temperature must be > 0"):
        MVInfoNCE(0.0)
    with pytest.raises(InputError, match=r"weight must be \(4,\)"):
        MVInfoNCE()(A, B, weight=torch.ones(8))


def test_it_prints_what_it_is():
    assert repr(MVInfoNCE()) == "MVInfoNCE(temperature=0.2, same_view_negatives=True)"
