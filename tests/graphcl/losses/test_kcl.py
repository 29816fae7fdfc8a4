import itertools
import math

import pytest
import torch
import torch.nn.functional as F
from torch.autograd import gradcheck

from graphcl.errors import InputError
from graphcl.kernels import GaussianKernel, IMQKernel, LogKernel, RieszKernel, SoftplusKernel
from graphcl.losses import KCL, InfoNCE

F64 = torch.float64
A = torch.tensor([[1, 0, 0], [1, 1, 0], [0, 1, 1], [1, 1, 1]], dtype=F64)
B = torch.tensor([[2, 1, 0], [1, 2, 0], [0, 1, 2], [1, 1, 2]], dtype=F64)


def views(n, d):
    torch.manual_seed(0)
    return torch.randn(n, d, dtype=F64), torch.randn(n, d, dtype=F64)


@pytest.mark.parametrize(
    ("kernel", "value"), [(None, 7.0521462161), (IMQKernel(2.0), 27.1745154288), (LogKernel(2.0), -14.6811202011)], ids=repr
)
def test_it_has_its_golden_values(kernel, value):
    assert KCL(kernel=kernel)(A, B).item() == pytest.approx(value, abs=1e-9)


@pytest.mark.parametrize("n", [2, 3, 7])
@pytest.mark.parametrize("t", [0.05, 0.5, 2.0])
def test_orthonormal_and_equal_rows_have_closed_forms(n, t):
    loss, rows, same = KCL(5.0, kernel=GaussianKernel(t)), torch.eye(n, dtype=F64), torch.ones(n, 3, dtype=F64)
    assert loss(rows, 2 * rows).item() == pytest.approx(-2 + 10 * math.exp(-2 * t))
    assert loss(same, 2 * same).item() == pytest.approx(8)


@pytest.mark.parametrize("kernel", [GaussianKernel(), IMQKernel(), LogKernel(), RieszKernel(), RieszKernel(-1.0)], ids=repr)
def test_every_kernel_of_distances_has_right_gradients(kernel):
    assert gradcheck(KCL(3.0, kernel=kernel), tuple(z.requires_grad_() for z in views(5, 4)))


def test_it_matches_the_formula_and_the_order_of_rows_does_not_matter():
    z1, z2 = views(7, 5)
    u1, u2 = F.normalize(z1, dim=1), F.normalize(z2, dim=1)
    energy = sum((-2 * F.pdist(u).square()).exp().mean() for u in (u1, u2))
    want = 16 * energy - 2 * (-2 * (u1 - u2).square().sum(1)).exp().mean()
    order = torch.randperm(7)
    torch.testing.assert_close(KCL()(z1, z2), want)
    torch.testing.assert_close(KCL()(3 * z2[order], z1[order]), want)


@pytest.mark.parametrize("size", [2, 3, 4, 5])
def test_the_mean_over_batches_is_the_whole_loss_which_infonce_does_not_have(size):
    z1, z2 = views(6, 3)
    batches = [torch.tensor(rows) for rows in itertools.combinations(range(6), size)]
    for loss, equal in ((KCL(), True), (InfoNCE(), False)):
        mean = torch.stack([loss(z1[rows], z2[rows]) for rows in batches]).mean()
        assert torch.isclose(mean, loss(z1, z2), rtol=1e-10) == equal


@pytest.mark.parametrize("kernel", [GaussianKernel(), LogKernel()], ids=repr)
def test_weights_are_those_of_anchors(kernel):
    z1, z2 = views(7, 5)
    weight = torch.rand(7, dtype=F64)
    weight[2] = 0
    u1, u2 = F.normalize(z1, dim=1), F.normalize(z2, dim=1)
    each = -2 * kernel.value((u1 - u2).square().sum(1))
    for u in (u1, u2):
        away = (u[:, None] - u[None]).square().sum(2)
        each = each + 16 * (kernel.value(away).fill_diagonal_(0)).sum(1) / 6
    loss = KCL(kernel=kernel)
    torch.testing.assert_close(loss(z1, z2, weight=weight), (weight * each).sum() / weight.sum())
    torch.testing.assert_close(loss(z1, z2, weight=torch.full((7,), 3.0)), loss(z1, z2))
    inputs = tuple(x.requires_grad_() for x in (z1, z2, torch.rand(7, dtype=F64)))
    assert gradcheck(lambda a, b, w: loss(a, b, weight=w), inputs)


def test_without_repulsion_whole_weights_repeat_rows():
    z1, z2 = views(7, 5)
    times = torch.tensor([2, 0, 1, 3, 1, 0, 1])
    repeated = KCL(0.0)(z1.repeat_interleave(times, 0), z2.repeat_interleave(times, 0))
    torch.testing.assert_close(KCL(0.0)(z1, z2, weight=times), repeated)


def test_arguments_that_make_no_sense_are_named():
    with pytest.raises(InputError, match="gamma must be >= 0, since it weighs the repulsion; got -1"):
        KCL(-1.0)
    with pytest.raises(InputError, match=r"the kernel must be one of distances; got SoftplusKernel"):
        KCL(kernel=SoftplusKernel())
    with pytest.raises(InputError, match="weight must be finite, >= 0 and above 0 for an anchor"):
        KCL()(A, B, weight=torch.zeros(4))


def test_it_prints_what_it_is():
    assert repr(KCL(2.0)) == "KCL(gamma=2, kernel=GaussianKernel(t=2.0))"
