import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from graphcl.errors import InputError
from graphcl.losses import self_training, student_t, target_distribution

F64 = torch.float64


def points(n, k, d, seed=0):
    torch.manual_seed(seed)
    return torch.randn(n, d, dtype=F64), torch.randn(k, d, dtype=F64)


@pytest.mark.parametrize(("n", "k", "d"), [(1, 1, 1), (7, 3, 2), (31, 5, 8)])
@pytest.mark.parametrize("dof", [0.5, 1.0, 4.0])
def test_assignments_are_the_formula_and_rows_sum_to_one(n, k, d, dof):
    z, centres = points(n, k, d)
    weight = (1 + (z[:, None] - centres).square().sum(2) / dof) ** (-(dof + 1) / 2)
    q = student_t(z, centres, dof=dof)
    torch.testing.assert_close(q, weight / weight.sum(1, keepdim=True))
    torch.testing.assert_close(q.sum(1), torch.ones(n, dtype=F64))


def test_a_worked_assignment():
    # Squared distances 0 and 4: weights 1 and 1 / 5.
    q = student_t(torch.tensor([[0.0]]), torch.tensor([[0.0], [2.0]]))
    torch.testing.assert_close(q, torch.tensor([[5 / 6, 1 / 6]]))


def test_many_degrees_of_freedom_approach_the_gaussian():
    z, centres = points(7, 3, 2)
    gaussian = (-(z[:, None] - centres).square().sum(2) / 2).softmax(1)
    torch.testing.assert_close(student_t(z, centres, dof=1e7), gaussian, rtol=1e-5, atol=1e-6)


@settings(max_examples=30, deadline=None)
@given(n=st.integers(1, 12), k=st.integers(1, 5), d=st.integers(1, 5), seed=st.integers(0, 2**16))
def test_turning_and_moving_points_and_centres_together_changes_nothing(n, k, d, seed):
    z, centres = points(n, k, d, seed)
    q = student_t(z, centres)
    turn, shift = torch.linalg.qr(torch.randn(d, d, dtype=F64)).Q, torch.randn(d, dtype=F64)
    torch.testing.assert_close(student_t(z @ turn + shift, centres @ turn + shift), q)
    order = torch.randperm(k)
    torch.testing.assert_close(student_t(z, centres[order]), q[:, order])


@pytest.mark.parametrize("dof", [0.5, 1.0, 3.0])
def test_assignment_gradients_are_right(dof):
    z, centres = (t.requires_grad_() for t in points(5, 3, 4))
    assert torch.autograd.gradcheck(lambda z, centres: student_t(z, centres, dof=dof), (z, centres))


def test_a_point_on_its_centre_has_a_finite_gradient():
    z, centres = points(3, 3, 2)
    z = centres.clone().requires_grad_()
    centres.requires_grad_()
    student_t(z, centres)[:, 0].sum().backward()
    assert z.grad.isfinite().all()
    assert centres.grad.isfinite().all()


def test_a_single_centre_takes_everything():
    z, centres = points(5, 1, 3)
    q = student_t(z, centres)
    assert torch.equal(q, torch.ones(5, 1, dtype=F64))
    assert self_training(q).item() == 0


@pytest.mark.parametrize(("z", "centres"), [((5, 3), (2, 4)), ((5,), (2, 5)), ((5, 3), (3,))])
def test_widths_that_differ_are_named(z, centres):
    with pytest.raises(InputError, match=r"z \(N, D\) and centres \(K, D\) must share D") as error:
        student_t(torch.ones(z), torch.ones(centres))
    assert f"got {z} and {centres}" in str(error.value)


@pytest.mark.parametrize("dof", [0.0, -1.0])
def test_degrees_of_freedom_are_positive(dof):
    with pytest.raises(InputError, match=f"dof must be > 0; got {dof}"):
        student_t(torch.ones(2, 3), torch.ones(2, 3), dof=dof)


@pytest.mark.parametrize(("n", "k"), [(1, 1), (7, 3), (31, 5)])
def test_the_target_is_the_formula_and_rows_sum_to_one(n, k):
    q = student_t(*points(n, k, 2))
    weight = q**2 / q.sum(0)
    p = target_distribution(q)
    torch.testing.assert_close(p, weight / weight.sum(1, keepdim=True))
    torch.testing.assert_close(p.sum(1), torch.ones(n, dtype=F64))


def test_a_worked_target():
    # Masses 1.5 and 0.5; squares over masses 0.81 / 1.5 : 0.01 / 0.5 and 0.36 / 1.5 : 0.16 / 0.5.
    p = target_distribution(torch.tensor([[0.9, 0.1], [0.6, 0.4]], dtype=F64))
    want = torch.tensor([[0.54 / 0.56, 0.02 / 0.56], [0.24 / 0.56, 0.32 / 0.56]], dtype=F64)
    torch.testing.assert_close(p, want)


def test_balanced_assignments_are_sharpened():
    q = torch.tensor([[0.7, 0.3], [0.3, 0.7]], dtype=F64)
    p = target_distribution(q)
    assert p[0, 0] > 0.7
    torch.testing.assert_close(p.sum(0), torch.ones(2, dtype=F64))


def test_certain_and_uniform_assignments_are_their_own_target():
    for q in (torch.eye(3, dtype=F64), torch.full((5, 4), 0.25, dtype=F64)):
        torch.testing.assert_close(target_distribution(q), q)
        assert self_training(q).item() == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, F64])
def test_a_cluster_without_mass_keeps_none(dtype):
    q = torch.tensor([[0.5, 0, 0.5], [1, 0, 0], [0.25, 0, 0.75]], dtype=dtype, requires_grad=True)
    p = target_distribution(q)
    assert p[:, 1].tolist() == [0, 0, 0]
    torch.testing.assert_close(p.sum(1), torch.ones(3, dtype=dtype))
    torch.testing.assert_close(p[:, [0, 2]], target_distribution(q[:, [0, 2]]))
    loss = self_training(q)
    assert loss.isfinite()
    loss.backward()
    assert q.grad.isfinite().all()
    assert torch.count_nonzero(q.grad[:, 1]) == 0


def test_no_gradient_flows_through_the_target():
    z, centres = (t.requires_grad_() for t in points(7, 3, 2))
    q = student_t(z, centres)
    assert not target_distribution(q).requires_grad
    ours = torch.autograd.grad(self_training(q), (z, centres), retain_graph=True)
    fixed = torch.autograd.grad(self_training(q, target_distribution(q)), (z, centres), retain_graph=True)
    for mine, theirs in zip(ours, fixed, strict=True):
        assert torch.equal(mine, theirs)
    # With respect to q the gradient of a divergence from a constant is -p / (N q).
    (dq,) = torch.autograd.grad(self_training(q), q)
    torch.testing.assert_close(dq, -target_distribution(q) / (7 * q.detach()))


@settings(max_examples=40, deadline=None)
@given(n=st.integers(1, 12), k=st.integers(1, 6), seed=st.integers(0, 2**16))
def test_the_divergence_is_the_formula_and_never_negative(n, k, seed):
    torch.manual_seed(seed)
    q, p = torch.randn(n, k, dtype=F64).softmax(1), (3 * torch.randn(n, k, dtype=F64)).softmax(1)
    torch.testing.assert_close(self_training(q, p), (p * (p / q).log()).sum() / n)
    assert self_training(q, p) >= -1e-12
    assert self_training(q) >= -1e-12
    assert self_training(p, p).abs() < 1e-12


def test_a_target_of_one_gives_the_negative_logarithm():
    q = torch.tensor([[0.25, 0.75], [0.5, 0.5]], dtype=F64)
    p = torch.tensor([[1.0, 0], [0, 1]], dtype=F64)
    assert self_training(q, p).item() == pytest.approx((math.log(4) + math.log(2)) / 2)


def test_self_training_gradients_are_right():
    z, centres = (t.requires_grad_() for t in points(5, 3, 4))
    p = target_distribution(student_t(z, centres))
    assert torch.autograd.gradcheck(lambda z, centres: self_training(student_t(z, centres), p), (z, centres))
