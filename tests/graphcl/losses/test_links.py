import pytest
import torch
import torch.nn.functional as F

from graphcl.losses import Reweighted, coupled, decoupled, shared

F64 = torch.float64


def logits(n, spread=3.0):
    torch.manual_seed(0)
    return spread * torch.randn(n, dtype=F64), spread * torch.randn(n, dtype=F64)


@pytest.mark.parametrize("n", [1, 7])
def test_links_are_their_formulas(n):
    positive, log_z = logits(n)
    p, z = positive.exp(), log_z.exp()
    torch.testing.assert_close(coupled(positive, log_z), -(p / (p + z)).log())
    torch.testing.assert_close(decoupled(positive, log_z), -(p / z).log())


@pytest.mark.parametrize("spread", [1.0, 100.0])
def test_coupled_is_the_softplus_of_decoupled(spread):
    positive, log_z = logits(31, spread)
    torch.testing.assert_close(coupled(positive, log_z), F.softplus(decoupled(positive, log_z)))


@pytest.mark.parametrize("link", [coupled, decoupled])
def test_gradients_are_right(link):
    assert torch.autograd.gradcheck(link, tuple(t.requires_grad_() for t in logits(5)))


def test_coupling_multiplies_the_gradient_by_the_probability_of_error():
    positive, log_z = (t.requires_grad_() for t in logits(5))
    ours = torch.autograd.grad(coupled(positive, log_z).sum(), (positive, log_z))
    plain = torch.autograd.grad(decoupled(positive, log_z).sum(), (positive, log_z))
    factor = torch.sigmoid(log_z - positive).detach()
    for mine, theirs in zip(ours, plain, strict=True):
        torch.testing.assert_close(mine, factor * theirs)


def test_no_negatives_are_no_loss_when_coupled():
    positive, log_z = torch.zeros(1, requires_grad=True), torch.full((1,), -torch.inf, requires_grad=True)
    out = coupled(positive, log_z)
    assert out.item() == 0
    out.backward()
    assert positive.grad.item() == log_z.grad.item() == 0


@pytest.mark.parametrize("size", [1e4, -1e4])
def test_logits_of_ten_thousand_stay_finite(size):
    positive, log_z = torch.tensor([size], requires_grad=True), torch.tensor([-size], requires_grad=True)
    for link in (coupled, decoupled):
        gradients = torch.autograd.grad(link(positive, log_z).sum(), (positive, log_z))
        assert link(positive, log_z).isfinite().all()
        assert all(gradient.isfinite().all() for gradient in gradients)
    assert coupled(positive, log_z).item() == max(0, -2 * size)


def test_two_shared_halves_are_one_decoupled_positive():
    positive, log_z = logits(7)
    torch.testing.assert_close(shared(positive, log_z) + shared(positive, 2 * log_z), decoupled(positive, 3 * log_z))
    assert torch.autograd.gradcheck(shared, tuple(t.requires_grad_() for t in logits(5)))


@pytest.mark.parametrize("n", [1, 7])
def test_reweighting_takes_weights_of_mean_one_from_positives(n):
    positive, log_z = logits(n)
    weight = 2 - n * torch.softmax(positive * 0.4, 0)
    torch.testing.assert_close(Reweighted(0.4)(positive, log_z), log_z - weight * positive)
    assert weight.mean().item() == pytest.approx(1)


def test_weights_let_a_gradient_through_only_when_asked():
    positive, log_z = (t.requires_grad_() for t in logits(5))
    (fixed,) = torch.autograd.grad(Reweighted(0.4)(positive, log_z).sum(), positive)
    torch.testing.assert_close(fixed, 5 * torch.softmax(positive * 0.4, 0) - 2)
    assert torch.autograd.gradcheck(Reweighted(0.4, detach=False), (positive, log_z))
