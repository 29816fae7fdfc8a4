import pytest
import torch
import torch.nn.functional as F
from torch.autograd import gradcheck

from graphcl.errors import InputError
from graphcl.losses import DecoupledSoftmax, InfoNCE

F64 = torch.float64
A = torch.tensor([[1, 0, 0], [1, 1, 0], [0, 1, 1], [1, 1, 1]], dtype=F64)
B = torch.tensor([[2, 1, 0], [1, 2, 0], [0, 1, 2], [1, 1, 2]], dtype=F64)


def views(n, d):
    torch.manual_seed(0)
    return torch.randn(n, d, dtype=F64), torch.randn(n, d, dtype=F64)


def dense(z1, z2, labels, t):
    logits = F.normalize(z1, dim=1) @ F.normalize(z2, dim=1).T / t
    own = labels[:, None] == labels
    log_z = logits.masked_fill(own, -torch.inf).logsumexp(1, keepdim=True)
    return (torch.logaddexp(log_z - logits, torch.zeros_like(logits)) * own).sum(1) / own.sum(1)


def test_it_has_its_golden_value():
    loss = DecoupledSoftmax(0.5, symmetric="off")
    assert loss(A, B, labels=torch.tensor([0, 0, 1, 1])).item() == pytest.approx(0.7081651027, abs=1e-9)


@pytest.mark.parametrize("t", [0.05, 2.0])
def test_it_matches_the_masked_formula_with_weights(t):
    z1, z2 = views(13, 5)
    labels, weight = torch.tensor([4, 0, 4, -1, 0, 0, 7, 4, 4, 2, 2, 0, 4]), torch.rand(13, dtype=F64)
    there, back = ((dense(*pair, labels, t) * weight).sum() / weight.sum() for pair in ((z1, z2), (z2, z1)))
    for symmetric, want in (("off", there), ("sum", there + back), ("mean", (there + back) / 2)):
        torch.testing.assert_close(DecoupledSoftmax(t, symmetric=symmetric)(z1, z2, labels=labels, weight=weight), want)


@pytest.mark.parametrize("symmetric", ["off", "sum", "mean"])
def test_one_positive_is_infonce(symmetric):
    z1, z2 = views(7, 5)
    loss = DecoupledSoftmax(0.2, symmetric=symmetric)
    for labels in (None, torch.randperm(7)):
        torch.testing.assert_close(loss(z1, z2, labels=labels), InfoNCE(0.2, symmetric=symmetric)(z1, z2))


def test_the_order_of_rows_and_the_names_of_labels_do_not_matter():
    z1, z2 = views(7, 5)
    labels, order = torch.tensor([0, 1, 1, 2, 0, 1, 0]), torch.randperm(7)
    loss = DecoupledSoftmax()
    torch.testing.assert_close(loss(z1[order], z2[order], labels=90 - 7 * labels[order]), loss(z2, z1, labels=labels))


def test_gradients_are_right():
    inputs = tuple(t.requires_grad_() for t in (*views(5, 4), torch.rand(5, dtype=F64)))
    labels = torch.tensor([0, 1, 0, 2, 0])
    loss = DecoupledSoftmax(0.5)
    assert gradcheck(lambda z1, z2, weight: loss(z1, z2, labels=labels, weight=weight), inputs)


def test_single_and_half_precision_are_close():
    z1, z2 = views(31, 8)
    labels = torch.arange(31) % 4
    want = DecoupledSoftmax(0.05)(z1, z2, labels=labels)
    torch.testing.assert_close(
        DecoupledSoftmax(0.05)(z1.float(), z2.float(), labels=labels).double(), want, rtol=1e-5, atol=1e-5
    )
    loss = DecoupledSoftmax(0.5)
    half = loss(z1.bfloat16(), z2.bfloat16(), labels=labels).double()
    torch.testing.assert_close(half, loss(z1, z2, labels=labels), rtol=2e-2, atol=2e-2)


def test_arguments_that_make_no_sense_are_named():
    with pytest.raises(InputError, match="labels are all equal to 2, so no anchor has a negative"):
        DecoupledSoftmax()(A, B, labels=torch.full((4,), 2))
    with pytest.raises(InputError, match="symmetric must be 'mean', 'sum' or 'off'; got 'both'"):
        DecoupledSoftmax(symmetric="both")
    with pytest.raises(InputError, match="temperature must be > 0"):
        DecoupledSoftmax(-1.0)


def test_it_prints_what_it_is():
    assert repr(DecoupledSoftmax()) == "DecoupledSoftmax(temperature=0.05, symmetric='mean')"
