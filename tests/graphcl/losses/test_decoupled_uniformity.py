import math
from functools import partial

import pytest
import torch
import torch.nn.functional as F

from graphcl.errors import InputError
from graphcl.losses.decoupled_uniformity import DecoupledUniformity, rbf_kernel

F64 = torch.float64
A = torch.tensor([[1, 0, 0], [1, 1, 0], [0, 1, 1], [1, 1, 1]], dtype=F64)
B = torch.tensor([[2, 1, 0], [1, 2, 0], [0, 1, 2], [1, 1, 2]], dtype=F64)


def views(n, d, seed=0):
    torch.manual_seed(seed)
    return torch.randn(n, d, dtype=F64), torch.randn(n, d, dtype=F64)


def dense(centroids, t):
    """The formula on one array of distances."""
    away = -t * (centroids[:, None] - centroids[None]).square().sum(2)
    n = len(centroids)
    return away[~torch.eye(n, dtype=torch.bool)].logsumexp(0) - math.log(n * (n - 1))


def centroids(z1, z2):
    return (F.normalize(z1) + F.normalize(z2)) / 2


def test_golden_values():
    assert DecoupledUniformity()(A, B).item() == pytest.approx(-1.2762897495, abs=1e-9)
    assert DecoupledUniformity(kernel=rbf_kernel)(A, B, side=A).item() == pytest.approx(-1.2388399757, abs=1e-9)
    assert DecoupledUniformity()(A, B, side=rbf_kernel(A)).item() == pytest.approx(-1.2388399757, abs=1e-9)


@pytest.mark.parametrize(("n", "d"), [(2, 1), (7, 5), (64, 16)])
@pytest.mark.parametrize("t", [0.5, 2.0, 50.0])
def test_it_is_the_formula(n, d, t):
    z1, z2 = views(n, d)
    torch.testing.assert_close(DecoupledUniformity(t)(z1, z2), dense(centroids(z1, z2), t))


def test_many_rows_meet_in_tiles():
    z1, z2 = (z[:, :3].contiguous().requires_grad_() for z in views(2500, 3))
    other1, other2 = (z.detach().clone().requires_grad_() for z in (z1, z2))
    got, want = DecoupledUniformity()(z1, z2), dense(centroids(other1, other2), 2.0)
    torch.testing.assert_close(got, want)
    got.backward()
    want.backward()
    torch.testing.assert_close(z1.grad, other1.grad)
    torch.testing.assert_close(z2.grad, other2.grad)


@pytest.mark.parametrize("n", [2, 3, 7])
@pytest.mark.parametrize("t", [0.05, 0.5, 2.0])
def test_orthonormal_equal_and_opposite_rows_have_closed_forms(n, t):
    loss = DecoupledUniformity(t)
    orthonormal = torch.linalg.qr(torch.randn(n, n, dtype=F64, generator=torch.Generator().manual_seed(0))).Q
    assert loss(orthonormal, 3 * orthonormal).item() == pytest.approx(-2 * t)
    same = torch.ones(n, 3, dtype=F64)
    assert loss(same, 2 * same).item() == pytest.approx(0, abs=1e-12)
    assert loss(orthonormal, -orthonormal).item() == pytest.approx(0, abs=1e-12)  # views that disagree leave no centroid
    ends = torch.tensor([[1.0], [-1.0]])
    assert loss(ends, ends).item() == pytest.approx(-4 * t)


def test_an_identity_kernel_shrinks_and_a_constant_one_unites():
    z1, z2 = views(6, 4)
    loss = DecoupledUniformity(regulariser=0.3)
    torch.testing.assert_close(loss(z1, z2, side=torch.eye(6)), dense(centroids(z1, z2) / 1.3, 2.0))
    assert loss(z1, z2, side=torch.ones(6, 6)).item() == pytest.approx(0, abs=1e-12)


def test_smoothing_is_the_solution_of_the_regularised_system():
    z1, z2 = views(7, 4)
    x = torch.randn(7, 3, dtype=F64)
    k = rbf_kernel(x, 2.0)
    mu = torch.linalg.solve(k + 0.1 * torch.eye(7, dtype=F64), k @ centroids(z1, z2))
    loss = DecoupledUniformity(kernel=partial(rbf_kernel, bandwidth=2.0), regulariser=0.1)
    torch.testing.assert_close(loss(z1, z2, side=x), dense(mu, 2.0))


@pytest.mark.parametrize("t", [2.0, 200.0])
def test_weights_are_those_of_anchors_inside_the_logarithm(t):
    z1, z2 = views(7, 5)
    weight = torch.rand(7, dtype=F64)
    weight[3] = 0
    mu = centroids(z1, z2)
    away = (-t * (mu[:, None] - mu[None]).square().sum(2)).fill_diagonal_(-torch.inf)
    want = (away.logsumexp(1) + (weight / weight.sum()).log() - math.log(6)).logsumexp(0)
    loss = DecoupledUniformity(t)
    torch.testing.assert_close(loss(z1, z2, weight=weight), want)
    torch.testing.assert_close(loss(z1, z2, weight=torch.full((7,), 0.2)), loss(z1, z2))
    inputs = tuple(x.requires_grad_() for x in (z1, z2, weight))
    loss(z1, z2, weight=weight).backward()
    assert all(torch.isfinite(x.grad).all() for x in inputs)
    some = torch.rand(7, dtype=F64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda a, b, w: loss(a, b, weight=w), (z1, z2, some))


def test_an_anchor_of_all_weight_is_heard_alone():
    z1, z2 = views(5, 4)
    mu = centroids(z1, z2)
    want = (-2 * (mu[1] - mu[[0, 2, 3, 4]]).square().sum(1)).exp().mean().log()
    torch.testing.assert_close(DecoupledUniformity()(z1, z2, weight=torch.eye(5)[1]), want)


def test_the_prior_is_a_constant():
    z1, z2 = views(5, 4)
    x = torch.randn(5, 3, dtype=F64, requires_grad=True)
    DecoupledUniformity(kernel=rbf_kernel)(z1.requires_grad_(), z2, side=x).backward()
    assert x.grad is None
    assert z1.grad.abs().sum() > 0


@pytest.mark.parametrize("side", [None, torch.randn(5, 3, dtype=F64, generator=torch.Generator().manual_seed(1))])
def test_invariances(side):
    z1, z2 = views(5, 4)
    loss = DecoupledUniformity(kernel=None if side is None else rbf_kernel)
    order, turn = torch.randperm(5), torch.linalg.qr(torch.randn(4, 4, dtype=F64)).Q
    want = loss(z1, z2, side=side)
    torch.testing.assert_close(loss(z2, z1, side=side), want)
    torch.testing.assert_close(loss(z1[order], z2[order], side=None if side is None else side[order]), want)
    torch.testing.assert_close(loss(z1 @ turn, z2 @ turn, side=side), want)
    torch.testing.assert_close(loss(3 * z1, z2 * torch.arange(1, 6)[:, None], side=side), want)


@pytest.mark.parametrize("kernel", [None, rbf_kernel])
def test_gradients_are_right(kernel):
    side = None if kernel is None else torch.randn(5, 3, dtype=F64, generator=torch.Generator().manual_seed(1))
    loss = DecoupledUniformity(kernel=kernel)
    assert torch.autograd.gradcheck(lambda z1, z2: loss(z1, z2, side=side), tuple(z.requires_grad_() for z in views(5, 4)))


def test_zero_rows_and_duplicates_have_finite_gradients():
    z1, z2 = views(6, 3)
    z1[0] = z2[0] = 0
    z1[1], z2[1] = z1[2], z2[2]
    z1.requires_grad_()
    DecoupledUniformity()(z1, z2).backward()
    assert torch.isfinite(z1.grad).all()
    assert (z1.grad[0] == 0).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize("kernel", [None, rbf_kernel])
def test_lower_precision_stays_close(dtype, kernel):
    z1, z2 = views(64, 8)
    loss, side = DecoupledUniformity(kernel=kernel), None if kernel is None else z1
    low = loss(z1.to(dtype), z2.to(dtype), side=side)
    assert low.dtype == torch.float32
    torch.testing.assert_close(low.double(), loss(z1, z2, side=side), rtol=2e-2, atol=0)


@pytest.mark.parametrize("bandwidth", [0.5, 3.0])
def test_the_kernel_is_gaussian(bandwidth):
    x, _ = views(6, 3)
    k = rbf_kernel(x, bandwidth)
    assert (k.diagonal() == 1).all()
    assert k[1, 4].item() == pytest.approx(math.exp(-float((x[1] - x[4]).square().sum()) / (2 * bandwidth**2)))
    assert torch.linalg.eigvalsh(k).min() > 0
    assert rbf_kernel(x.half(), bandwidth).dtype == torch.float32


def test_messages_about_arguments():
    for t in (0.0, math.nan):
        with pytest.raises(InputError, match="t must be > 0"):
            DecoupledUniformity(t)
    with pytest.raises(InputError, match="regulariser must be > 0"):
        DecoupledUniformity(regulariser=0)
    with pytest.raises(InputError, match="bandwidth must be > 0"):
        rbf_kernel(A, 0.0)
    with pytest.raises(InputError, match="features must be a floating"):
        rbf_kernel(A[0])
    with pytest.raises(InputError, match="at least 2 rows"):
        DecoupledUniformity()(A[:1], B[:1])
    for weight in (torch.zeros(4), torch.tensor([1.0, -1, 1, 1]), torch.full((4,), math.nan)):
        with pytest.raises(InputError, match="weight must be finite, >= 0 and above 0"):
            DecoupledUniformity()(A, B, weight=weight)
    with pytest.raises(InputError, match=r"weight must be \(4,\)"):
        DecoupledUniformity()(A, B, weight=torch.ones(3))
    assert repr(DecoupledUniformity(kernel=rbf_kernel)) == "DecoupledUniformity(t=2, kernel=rbf_kernel, regulariser=0.01)"


def test_messages_about_kernels():
    loss = DecoupledUniformity()
    with pytest.raises(InputError, match="this loss has a kernel: give it features"):
        DecoupledUniformity(kernel=rbf_kernel)(A, B)
    with pytest.raises(InputError, match=r"the kernel must be \(4, 4\).*got \(4, 3\).*Side features need a kernel"):
        loss(A, B, side=A)
    with pytest.raises(InputError, match=r"a kernel over 4 rows needs 4 x 4 numbers.*the limit is 3"):
        DecoupledUniformity(limit=3)(A, B, side=torch.eye(4))
    with pytest.raises(InputError, match="must be symmetric"):
        loss(A, B, side=torch.eye(4).roll(1, 0))
    with pytest.raises(InputError, match="not positive definite"):
        loss(A, B, side=-torch.eye(4))
    with pytest.raises(InputError, match="kernel has a value that is not finite"):
        loss(A, B, side=torch.eye(4) / 0)
