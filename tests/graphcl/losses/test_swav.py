import itertools
import math
import warnings

import pytest
import torch
import torch.nn.functional as F

from graphcl.errors import InputError
from graphcl.losses.sinkhorn import sinkhorn
from graphcl.losses.swav import SwAV

F64 = torch.float64


def views(n, d, seed=0):
    torch.manual_seed(seed)
    return torch.randn(n, d, dtype=F64), torch.randn(n, d, dtype=F64)


def swav(k, d, seed=0, **settings):
    torch.manual_seed(seed)
    return SwAV(k, d, **settings).double()


@pytest.mark.parametrize(("n", "k", "d"), [(2, 2, 1), (7, 3, 5), (3, 11, 4)])
def test_each_view_predicts_the_codes_of_the_other(n, k, d):
    z1, z2 = views(n, d)
    loss = swav(k, d, temperature=0.2, epsilon=0.1, iterations=4)
    s1, s2 = (F.normalize(z) @ F.normalize(loss.prototypes).T for z in (z1, z2))
    q1, q2 = (n * sinkhorn(s, 0.1, 4)[0] for s in (s1, s2))
    want = (F.cross_entropy(s1 / 0.2, q2) + F.cross_entropy(s2 / 0.2, q1)) / 2
    torch.testing.assert_close(loss(z1, z2), want)
    torch.testing.assert_close(loss.assign(z1), q1)


@pytest.mark.parametrize("k", [2, 5])
def test_equal_scores_give_the_logarithm_of_the_number_of_prototypes(k):
    loss = swav(k, 3)
    with torch.no_grad():
        loss.prototypes.copy_(torch.ones(k, 3))
    z1, z2 = views(6, 3)
    assert loss(z1, z2).item() == pytest.approx(math.log(k))
    assert loss(torch.zeros(6, 3), torch.zeros(6, 3)).item() == pytest.approx(math.log(k))


def test_rows_on_their_prototypes_cost_almost_nothing():
    loss = swav(4, 4, temperature=0.02)
    with torch.no_grad():
        loss.prototypes.copy_(torch.eye(4))
    z = torch.eye(4, dtype=F64).repeat(3, 1)
    assert loss(z, 2 * z).item() == pytest.approx(0, abs=1e-6)


def test_codes_are_balanced_after_many_sweeps():
    z, _ = views(12, 3)
    codes = swav(4, 3, iterations=2000).assign(z)
    torch.testing.assert_close(codes.sum(1), torch.ones(12, dtype=F64), atol=1e-6, rtol=0)
    torch.testing.assert_close(codes.sum(0), torch.full((4,), 3.0, dtype=F64), atol=1e-6, rtol=0)
    assert not codes.requires_grad


def test_invariances():
    z1, z2 = views(9, 4)
    loss, order, kinds = swav(5, 4), torch.randperm(9), torch.randperm(5)
    want, codes = loss(z1, z2), loss.assign(z1)
    torch.testing.assert_close(loss(z2, z1), want)
    torch.testing.assert_close(loss(z1[order], z2[order]), want)
    torch.testing.assert_close(loss.assign(z1[order]), codes[order])
    torch.testing.assert_close(loss(3 * z1, z2), want)
    turn = torch.linalg.qr(torch.randn(4, 4, dtype=F64)).Q
    with torch.no_grad():
        loss.prototypes.copy_(2 * loss.prototypes[kinds] @ turn)  # their length does not matter
    torch.testing.assert_close(loss(z1 @ turn, z2 @ turn), want)
    torch.testing.assert_close(loss.assign(z1 @ turn), codes[:, kinds])


def test_gradients_are_right_where_the_codes_are_constant(monkeypatch):
    loss = swav(3, 4)
    z1, z2 = views(5, 4)
    codes = itertools.cycle([loss.assign(z2), loss.assign(z1)])  # in the order of use
    real = torch.autograd.grad(loss(z1.requires_grad_(), z2), z1)[0]

    monkeypatch.setattr(loss, "_codes", lambda scores: next(codes))
    torch.testing.assert_close(torch.autograd.grad(loss(z1, z2), z1)[0], real)

    def of(z1, z2, prototypes):
        return torch.func.functional_call(loss, {"prototypes": prototypes}, (z1, z2))

    assert torch.autograd.gradcheck(of, (z1, z2.requires_grad_(), loss.prototypes.detach().requires_grad_()))


def test_gradient_with_respect_to_scores_is_prediction_minus_code():
    loss = swav(4, 4, temperature=0.5)
    with torch.no_grad():
        loss.prototypes.copy_(torch.eye(4))
    z1, z2 = (F.normalize(z) for z in views(6, 4))
    z1.requires_grad_()
    grad = torch.autograd.grad(loss(z1, z2), z1)[0]
    pull = ((z1 / 0.5).softmax(1) - loss.assign(z2)) / (2 * 6 * 0.5)
    torch.testing.assert_close(grad, (pull - (pull * z1).sum(1, keepdim=True) * z1).detach())


def test_prototypes_are_put_back_on_the_sphere():
    loss = swav(5, 3)
    torch.testing.assert_close(loss.prototypes.norm(dim=1), torch.ones(5, dtype=F64))
    with torch.no_grad():
        loss.prototypes.mul_(torch.arange(1, 6)[:, None])
    before, z = loss.prototypes.detach().clone(), views(6, 3)
    want = loss(*z)
    loss.normalise_()
    torch.testing.assert_close(loss.prototypes.detach(), F.normalize(before))
    torch.testing.assert_close(loss(*z), want)
    assert loss.prototypes.requires_grad


def test_frozen_prototypes_still_teach_the_encoder():
    loss = swav(3, 4)
    loss.prototypes.requires_grad_(False)
    z1, z2 = views(5, 4)
    loss(z1.requires_grad_(), z2).backward()
    assert loss.prototypes.grad is None
    assert z1.grad.abs().sum() > 0


def test_fewer_rows_than_prototypes_are_legal_and_far_fewer_warn():
    z1, z2 = views(4, 3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert torch.isfinite(swav(40, 3)(z1, z2))
    with pytest.warns(UserWarning, match="4 rows for 41 prototypes"):
        assert torch.isfinite(swav(41, 3)(z1, z2))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_lower_precision_stays_close(dtype):
    z1, z2 = views(64, 8)
    want = swav(6, 8)(z1, z2)
    low = swav(6, 8).float()(z1.to(dtype), z2.to(dtype))
    assert low.dtype == torch.float32
    torch.testing.assert_close(low.double(), want, rtol=2e-2, atol=0)


def test_messages_and_name():
    z1, z2 = views(6, 3)
    with pytest.raises(InputError, match="at least 2 prototypes"):
        SwAV(1, 3)
    with pytest.raises(InputError, match="temperature must be > 0"):
        SwAV(4, 3, temperature=0)
    with pytest.raises(InputError, match="epsilon must be > 0 and iterations >= 1"):
        SwAV(4, 3, epsilon=0)
    with pytest.raises(InputError, match="epsilon must be > 0 and iterations >= 1"):
        SwAV(4, 3, iterations=0)
    with pytest.raises(InputError, match="prototypes have 5 dimensions, the embeddings 3"):
        SwAV(4, 5)(z1, z2)
    with pytest.raises(InputError, match="at least 2 rows"):
        SwAV(4, 3)(z1[:1], z2[:1])
    assert repr(SwAV(4, 3)) == "SwAV(4, 3, temperature=0.1, epsilon=0.05, iterations=3)"
