import math

import pytest
import torch
import torch.nn.functional as F
from torch.autograd import gradcheck

from graphcl.errors import InputError
from graphcl.kernels import pair_tiles
from graphcl.losses import InfoNCE, NTXent
from graphcl.losses.kernel_infonce import KernelInfoNCE

F64 = torch.float64
A = torch.tensor([[1, 0, 0], [1, 1, 0], [0, 1, 1], [1, 1, 1]], dtype=F64)
B = torch.tensor([[2, 1, 0], [1, 2, 0], [0, 1, 2], [1, 1, 2]], dtype=F64)


def views(n, d):
    torch.manual_seed(0)
    return torch.randn(n, d, dtype=F64), torch.randn(n, d, dtype=F64)


def dense(u1, u2, t, gamma, intra):
    """Cross-entropy per anchor on an array of distances of rows as they are."""
    logits = -(torch.cdist(u1, u2, compute_mode="donot_use_mm_for_euclid_dist") ** gamma) / t
    pull = logits.diagonal()
    if intra:
        own = -(torch.cdist(u1, u1, compute_mode="donot_use_mm_for_euclid_dist") ** gamma) / t
        logits = torch.cat([logits, own.masked_fill(torch.eye(len(u1), dtype=torch.bool), -torch.inf)], 1)
    return logits.logsumexp(1) - pull


def test_it_has_its_golden_value():
    loss = KernelInfoNCE(0.5, gamma=1.0, intra=False, symmetric="off")
    assert loss(A, B).item() == pytest.approx(0.7959112795, abs=1e-9)


@pytest.mark.parametrize("intra", [True, False])
@pytest.mark.parametrize("gamma", [0.5, 1.0, 1.6, 2.0])
@pytest.mark.parametrize("n", [2, 13])
def test_it_is_the_dense_formula_with_weights(n, gamma, intra):
    z1, z2 = views(n, 5)
    u1, u2 = F.normalize(z1, dim=1), F.normalize(z2, dim=1)
    weight = torch.rand(n, dtype=F64)
    there, back = ((weight * dense(*pair, 0.2, gamma, intra)).sum() / weight.sum() for pair in ((u1, u2), (u2, u1)))
    for symmetric, want in (("off", there), ("sum", there + back), ("mean", (there + back) / 2)):
        loss = KernelInfoNCE(0.2, gamma=gamma, intra=intra, symmetric=symmetric)
        torch.testing.assert_close(loss(z1, z2, weight=weight), want)


@pytest.mark.parametrize("t", [0.02, 0.1, 1.0])
def test_the_gaussian_is_the_cosine_at_half_the_temperature(t):
    z1, z2 = views(11, 5)
    torch.testing.assert_close(KernelInfoNCE(t)(z1, z2), NTXent(t / 2)(z1, z2))
    torch.testing.assert_close(KernelInfoNCE(t, intra=False)(z1, z2), InfoNCE(t / 2)(z1, z2))


def test_a_mixture_is_a_sum_of_losses():
    z1, z2 = views(7, 4)
    parts = [KernelInfoNCE(0.3, gamma=gamma)(z1, z2) for gamma in (1.0, 2.0)]
    torch.testing.assert_close(KernelInfoNCE(0.3, gamma=1.0, mix=0.3)(z1, z2), 0.3 * parts[0] + 0.7 * parts[1])
    assert KernelInfoNCE(0.3, gamma=1.0, mix=0.0)(z1, z2) == parts[1]


def test_a_split_gives_each_loss_its_own_half_of_the_columns():
    z1, z2 = views(7, 5)
    u1, u2 = F.normalize(z1, dim=1), F.normalize(z2, dim=1)
    want = 0.3 * dense(u1[:, :2], u2[:, :2], 0.2, 1.0, True) + 0.7 * dense(u1[:, 2:], u2[:, 2:], 0.2, 2.0, True)
    loss = KernelInfoNCE(0.2, gamma=1.0, mix=0.3, split=True, symmetric="off")
    torch.testing.assert_close(loss(z1, z2), want.mean())


@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("t", [0.05, 0.5])
@pytest.mark.parametrize("n", [2, 7])
def test_orthonormal_and_equal_rows_have_closed_forms(n, t, gamma):
    loss, rows, same = KernelInfoNCE(t, gamma=gamma), torch.eye(n, dtype=F64), torch.ones(n, 3, dtype=F64)
    far = 2 * (n - 1) * math.exp(-(2 ** (gamma / 2)) / t)
    # Equal views are at distance 0, where the power is softened.
    assert loss(rows, 2 * rows).item() == pytest.approx(math.log1p(far), abs=2e-2 if gamma < 1 else 1e-4)
    assert loss(same, 2 * same).item() == pytest.approx(math.log(2 * n - 1))


@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0])
def test_order_rotation_length_and_a_swap_do_not_matter(gamma):
    z1, z2 = views(7, 4)
    loss, order = KernelInfoNCE(gamma=gamma, mix=0.6), torch.randperm(7)
    turn = torch.linalg.qr(torch.randn(4, 4, dtype=F64)).Q
    torch.testing.assert_close(loss(3 * z2[order] @ turn, z1[order] @ turn), loss(z1, z2))


@pytest.mark.parametrize(
    "options", [{}, {"gamma": 1.0, "mix": 0.4}, {"gamma": 0.7, "mix": 0.4, "split": True}, {"gamma": 1.5, "intra": False}]
)
def test_gradients_are_right(options):
    inputs = tuple(t.requires_grad_() for t in (*views(5, 4), torch.rand(5, dtype=F64)))
    loss = KernelInfoNCE(0.5, **options)
    assert gradcheck(lambda z1, z2, weight: loss(z1, z2, weight=weight), inputs)


@pytest.mark.parametrize("gamma", [1.0, 2.0])
@pytest.mark.parametrize("rows", [1, 3, 16])
def test_blocks_of_any_size_give_the_same(monkeypatch, rows, gamma):
    z1, z2 = views(7, 4)
    want = KernelInfoNCE(gamma=gamma)(z1, z2)
    monkeypatch.setattr(pair_tiles, "TILE_BYTES", 1)
    monkeypatch.setattr(pair_tiles, "MIN_ROWS", rows)
    torch.testing.assert_close(KernelInfoNCE(gamma=gamma)(z1, z2), want)


@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0])
def test_a_temperature_below_the_range_of_exponentials_is_exact(gamma):
    z1, z2 = views(7, 4)
    u1, u2 = F.normalize(z1, dim=1), F.normalize(z2, dim=1)
    want = dense(u1, u2, 1e-3, gamma, True).mean()
    single = KernelInfoNCE(1e-3, gamma=gamma, symmetric="off")(z1.float(), z2.float())
    torch.testing.assert_close(single.double(), want, rtol=1e-4, atol=1e-4)
    assert want > 90


@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0])
def test_rows_of_zeros_and_duplicates_stay_finite(gamma):
    z1, z2 = (z.float() for z in views(5, 4))
    z1[1] = 0
    z1[2] = z1[3] = z2[3]
    z1.requires_grad_()
    loss = KernelInfoNCE(gamma=gamma)(z1, z2)
    (slope,) = torch.autograd.grad(loss, z1)
    assert loss.isfinite()
    assert slope.isfinite().all()
    assert (slope[1] == 0).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_single(dtype):
    z1, z2 = views(31, 8)
    got = KernelInfoNCE(0.5, gamma=1.0)(z1.to(dtype), z2.to(dtype))
    assert got.dtype == torch.float32
    torch.testing.assert_close(got.double(), KernelInfoNCE(0.5, gamma=1.0)(z1, z2), rtol=2e-2, atol=2e-2)


def test_what_makes_no_sense_is_named():
    with pytest.raises(InputError, match="gamma must be a finite number > 0, the exponent of the distance; got 0"):
        KernelInfoNCE(gamma=0.0)
    with pytest.raises(InputError, match=r"mix must lie in 0 .. 1.*got 1.5"):
        KernelInfoNCE(mix=1.5)
    with pytest.raises(InputError, match="with split a mix of 1 would leave one half of the columns untrained"):
        KernelInfoNCE(split=True)
    with pytest.raises(InputError, match="split needs at least 2 columns; got 1"):
        KernelInfoNCE(mix=0.5, split=True)(A[:, :1], B[:, :1])
    with pytest.raises(InputError, match="symmetric must be 'mean', 'sum' or 'off'; got 'both'"):
        KernelInfoNCE(symmetric="both")
    with pytest.raises(InputError, match="temperature must be > 0"):
        KernelInfoNCE(0.0)
    with pytest.raises(InputError, match="at least 2 rows"):
        KernelInfoNCE()(A[:1], B[:1])
    with pytest.raises(InputError, match="z2 has a value that is not finite in row 0"):
        KernelInfoNCE()(A, B / 0)


def test_it_prints_what_it_is():
    assert repr(KernelInfoNCE()) == "KernelInfoNCE(temperature=0.1, gamma=2, intra=True, symmetric='mean')"
    mixture = KernelInfoNCE(gamma=1.0, mix=0.5, split=True)
    assert repr(mixture) == "KernelInfoNCE(temperature=0.1, gamma=1, mix=0.5, split=True, intra=True, symmetric='mean')"
