import pytest
import torch
import torch.nn.functional as F
from torch.autograd import gradcheck

from graphcl.errors import InputError
from graphcl.kernels import pair_tiles
from graphcl.losses import InfoNCE, NTXent
from graphcl.losses.a_infonce import AInfoNCE
from graphcl.negatives import HCL, Sampled

F64 = torch.float64
A = torch.tensor([[1, 0, 0], [1, 1, 0], [0, 1, 1], [1, 1, 1]], dtype=F64)
B = torch.tensor([[2, 1, 0], [1, 2, 0], [0, 1, 2], [1, 1, 2]], dtype=F64)
ALPHAS = [0.0, 0.2, 0.5, 1.0]


def views(n, d):
    torch.manual_seed(0)
    return tuple(torch.randn(n, d, dtype=F64).requires_grad_() for _ in range(2))


@pytest.mark.parametrize("alpha", ALPHAS)
@pytest.mark.parametrize("symmetric", ["off", "mean", "sum"])
def test_the_value_is_that_of_infonce_and_the_gradient_is_shared_out(alpha, symmetric):
    z1, z2 = views(7, 4)
    weight = torch.rand(7, dtype=F64)
    plain = InfoNCE(0.3, symmetric=symmetric)(z1, z2, weight=weight)
    routed = AInfoNCE(0.3, alpha=alpha, symmetric=symmetric)(z1, z2, weight=weight)
    assert routed.item() == pytest.approx(plain.item(), abs=1e-14)
    first, second = torch.autograd.grad(plain, (z1, z2))
    torch.testing.assert_close(torch.autograd.grad(routed, (z1, z2)), ((1 - alpha) * first, alpha * second))


@pytest.mark.parametrize("alpha", ALPHAS)
def test_it_is_the_mixture_of_similarities_with_one_side_held(alpha):
    z1, z2 = views(7, 4)
    u1, u2 = F.normalize(z1, dim=1), F.normalize(z2, dim=1)
    logits = (alpha * u1.detach() @ u2.T + (1 - alpha) * u1 @ u2.detach().T) / 0.3
    want = F.cross_entropy(logits, torch.arange(7))
    got = AInfoNCE(0.3, alpha=alpha, symmetric="off")(z1, z2)
    torch.testing.assert_close(got, want)
    torch.testing.assert_close(torch.autograd.grad(got, (z1, z2)), torch.autograd.grad(want, (z1, z2)))


def test_it_has_the_golden_value_of_infonce():
    assert AInfoNCE(0.5, alpha=0.9)(A, B).item() == pytest.approx(0.9600483935, abs=1e-9)


@pytest.mark.parametrize("negatives", [HCL(1.0), Sampled(5)], ids=["hcl", "sampled"])
def test_any_estimator_goes_with_it(negatives):
    z1, z2 = views(7, 4)
    torch.manual_seed(1)
    plain = InfoNCE(0.3, negatives=negatives)(z1, z2)
    torch.manual_seed(1)
    routed = AInfoNCE(0.3, alpha=0.8, negatives=negatives)(z1, z2)
    torch.testing.assert_close(routed, plain)
    first, second = torch.autograd.grad(plain, (z1, z2))
    torch.testing.assert_close(torch.autograd.grad(routed, (z1, z2)), (0.2 * first, 0.8 * second))


def test_negatives_of_the_own_view_and_ids_are_passed_on():
    z1, z2 = views(7, 4)
    ids = torch.tensor([0, 1, 1, 2, 0, 1, 0])
    got = AInfoNCE(0.3, intra=True)(z1, z2, ids=ids)
    torch.testing.assert_close(got, NTXent(0.3)(z1, z2, ids=ids))


def test_the_gradient_at_one_half_is_half_the_right_one():
    inputs = views(5, 4)
    loss = AInfoNCE(0.5)
    assert gradcheck(lambda z1, z2: 2 * loss(z1, z2) - loss(z1, z2).detach(), inputs)


def test_order_rotation_and_length_do_not_matter():
    z1, z2 = (z.detach() for z in views(7, 4))
    order, turn = torch.randperm(7), torch.linalg.qr(torch.randn(4, 4, dtype=F64)).Q
    torch.testing.assert_close(AInfoNCE()(3 * z1[order] @ turn, z2[order] @ turn), AInfoNCE()(z1, z2))


@pytest.mark.parametrize("rows", [1, 3, 16])
def test_blocks_of_any_size_give_the_same(monkeypatch, rows):
    z1, z2 = views(7, 4)
    want = AInfoNCE()(z1, z2)
    monkeypatch.setattr(pair_tiles, "TILE_BYTES", 1)
    monkeypatch.setattr(pair_tiles, "MIN_ROWS", rows)
    torch.testing.assert_close(AInfoNCE()(z1, z2), want)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_single(dtype):
    z1, z2 = (z.detach() for z in views(31, 8))
    got = AInfoNCE(0.5)(z1.to(dtype), z2.to(dtype))
    assert got.dtype == torch.float32
    torch.testing.assert_close(got.double(), AInfoNCE(0.5)(z1, z2), rtol=2e-2, atol=2e-2)


def test_rows_of_zeros_stay_where_they_are():
    z1, z2 = views(5, 4)
    z1 = z1.detach().clone()
    z1[1] = 0
    z1.requires_grad_()
    (slope,) = torch.autograd.grad(AInfoNCE(1e-3)(z1, z2), z1)
    assert slope.isfinite().all()
    assert (slope[1] == 0).all()


def test_what_makes_no_sense_is_named():
    for alpha in (-0.1, 1.1, float("nan")):
        with pytest.raises(InputError, match=f"alpha must lie in 0 .. 1.*got {alpha}"):
            AInfoNCE(alpha=alpha)
    with pytest.raises(InputError, match="temperature must be > 0"):
        AInfoNCE(0.0)
    with pytest.raises(InputError, match="at least 2 rows"):
        AInfoNCE()(A[:1], B[:1])
    with pytest.raises(InputError, match="z2 has a value that is not finite in row 0"):
        AInfoNCE()(A, B / 0)


def test_it_prints_what_it_is():
    assert "alpha=0.3" in repr(AInfoNCE(alpha=0.3))
