import math

import pytest
import torch
import torch.nn.functional as F
from torch.autograd import gradcheck

from graphcl.errors import InputError
from graphcl.losses import NTXent, SupCon

F64 = torch.float64
A = torch.tensor([[1, 0, 0], [1, 1, 0], [0, 1, 1], [1, 1, 1]], dtype=F64)
B = torch.tensor([[2, 1, 0], [1, 2, 0], [0, 1, 2], [1, 1, 2]], dtype=F64)
Y = torch.tensor([0, 0, 1, 1])


def views(n, d, seed=0):
    torch.manual_seed(seed)
    return torch.randn(n, d, dtype=F64), torch.randn(n, d, dtype=F64)


def dense(z, labels, positives, t):
    """Per anchor, by masks; NaN or infinite where an anchor has no positive."""
    u = F.normalize(z, dim=1)
    itself = torch.eye(len(z), dtype=torch.bool)
    logits = (u @ u.T / t).masked_fill(itself, -torch.inf)
    own = (labels[:, None] == labels) & ~itself
    if positives == "out":
        return logits.logsumexp(1) - torch.where(own, logits, 0.0).sum(1) / own.sum(1)
    return logits.logsumexp(1) - logits.masked_fill(~own, -torch.inf).logsumexp(1) + own.sum(1).log()


@pytest.mark.parametrize(("positives", "value"), [("out", 1.6409833098), ("in", 1.6150935631)])
def test_it_has_its_golden_values(positives, value):
    assert SupCon(0.5, positives=positives)(A, B, labels=Y).item() == pytest.approx(value, abs=1e-9)


@pytest.mark.parametrize("positives", ["out", "in"])
@pytest.mark.parametrize("n", [2, 7, 31])
def test_two_views_match_the_masked_formula_with_weights(positives, n):
    z1, z2 = views(n, 5)
    labels, weight = torch.randint(-2, 2, (n,)), torch.rand(n, dtype=F64)
    terms = dense(torch.cat([z1, z2]), labels.repeat(2), positives, 0.3)
    loss = SupCon(0.3, positives=positives)
    torch.testing.assert_close(loss(z1, z2, labels=labels), terms.mean())
    torch.testing.assert_close(loss(z1, z2, labels=labels, weight=weight), (terms * weight.repeat(2)).sum() / weight.sum() / 2)


@pytest.mark.parametrize("positives", ["out", "in"])
def test_one_set_of_rows_skips_who_is_alone_with_its_label(positives):
    z = views(7, 5)[0]
    labels = torch.tensor([5, 0, 5, 1, 0, 0, 2])
    has = torch.tensor([1, 1, 1, 0, 1, 1, 0], dtype=torch.bool)
    terms, weight = dense(z, labels, positives, 0.3)[has], torch.rand(7, dtype=F64)
    loss = SupCon(0.3, positives=positives, missing_positive="skip")
    torch.testing.assert_close(loss(z, labels=labels), terms.mean())
    torch.testing.assert_close(loss(z, labels=labels, weight=weight), (terms * weight[has]).sum() / weight[has].sum())
    z.requires_grad_()
    assert gradcheck(lambda z: loss(z, labels=labels), (z,))


@pytest.mark.parametrize("positives", ["out", "in"])
def test_instances_as_labels_are_ntxent(positives):
    z1, z2 = views(7, 5)
    loss = SupCon(0.3, positives=positives)
    for labels in (None, torch.randperm(7)):
        torch.testing.assert_close(loss(z1, z2, labels=labels), NTXent(0.3)(z1, z2))


@pytest.mark.parametrize("seed", range(5))
def test_out_is_never_below_in(seed):
    z1, z2 = views(11, 3, seed)
    labels = torch.randint(3, (11,))
    out, inside = (SupCon(0.1, positives=positives)(z1, z2, labels=labels) for positives in ("out", "in"))
    assert out > inside


@pytest.mark.parametrize("positives", ["out", "in"])
@pytest.mark.parametrize("t", [0.05, 0.5, 2.0])
def test_collapsed_orthonormal_classes_have_a_closed_form(positives, t):
    classes, m = 3, 4
    z = torch.eye(classes, dtype=F64).repeat_interleave(m, 0)
    want = math.log((m - 1) + (classes - 1) * m * math.exp(-1 / t))
    labels = torch.arange(classes).repeat_interleave(m)
    assert SupCon(t, positives=positives)(z, labels=labels).item() == pytest.approx(want, abs=1e-12)


@pytest.mark.parametrize("positives", ["out", "in"])
def test_one_class_is_legal_and_equal_rows_count_the_others(positives):
    z = torch.ones(5, 3, dtype=F64)
    loss = SupCon(positives=positives)
    assert loss(z, labels=torch.ones(5, dtype=torch.int64)).item() == pytest.approx(math.log(4))


@pytest.mark.parametrize("positives", ["out", "in"])
def test_the_order_of_rows_and_the_names_of_labels_do_not_matter(positives):
    z1, z2 = views(7, 5)
    labels, order = torch.tensor([0, 1, 1, 2, 0, 1, 0]), torch.randperm(7)
    loss = SupCon(positives=positives)
    torch.testing.assert_close(loss(z1[order], z2[order], labels=90 - 7 * labels[order]), loss(z2, z1, labels=labels))


@pytest.mark.parametrize("positives", ["out", "in"])
def test_gradients_are_right(positives):
    inputs = tuple(t.requires_grad_() for t in (*views(5, 4), torch.rand(5, dtype=F64)))
    loss = SupCon(0.5, positives=positives)
    labels = torch.tensor([0, 1, 0, 2, 0])
    assert gradcheck(lambda z1, z2, weight: loss(z1, z2, labels=labels, weight=weight), inputs)


@pytest.mark.parametrize("positives", ["out", "in"])
def test_a_small_temperature_and_half_precision_stay_finite(positives):
    z1, z2 = views(7, 5)
    labels = torch.tensor([0, 1, 1, 2, 0, 1, 0])
    assert SupCon(1e-3, positives=positives)(z1.float(), z2.float(), labels=labels).isfinite()
    loss = SupCon(0.5, positives=positives)
    half = loss(z1.bfloat16(), z2.bfloat16(), labels=labels)
    torch.testing.assert_close(half.double(), loss(z1, z2, labels=labels), rtol=2e-2, atol=2e-2)


def test_anchors_without_positives_are_named():
    z = views(4, 3)[0]
    with pytest.raises(InputError, match=r"row 1 is the only one with label 8, .* missing_positive='skip'"):
        SupCon()(z, labels=torch.tensor([3, 8, 3, 3]))
    for policy in ("error", "skip"):
        with pytest.raises(InputError, match="no anchor has a positive: all labels differ"):
            SupCon(missing_positive=policy)(z, labels=torch.arange(4))
    with pytest.raises(InputError, match="one set of rows has no positives without labels"):
        SupCon()(z)


def test_arguments_out_of_range_are_named():
    with pytest.raises(InputError, match=r"positives must be 'out' or 'in'.*got 'mid'"):
        SupCon(positives="mid")
    with pytest.raises(InputError, match="missing_positive must be 'error' or 'skip'; got 'zero'"):
        SupCon(missing_positive="zero")
    with pytest.raises(InputError, match="temperature must be > 0"):
        SupCon(0.0)
    with pytest.raises(InputError, match=r"labels must be \(4,\)"):
        SupCon()(A, B, labels=torch.arange(8))


def test_it_prints_what_it_is():
    assert repr(SupCon(0.25)) == "SupCon(temperature=0.25, positives='out', missing_positive='error')"
