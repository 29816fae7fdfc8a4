import math

import pytest
import torch
import torch.nn.functional as F
from torch.autograd import gradcheck

from graphcl.errors import InputError
from graphcl.kernels import pair_tiles
from graphcl.losses import NTXent
from graphcl.losses.cclk import CCLK

F64 = torch.float64
A = torch.tensor([[1, 0, 0], [1, 1, 0], [0, 1, 1], [1, 1, 1]], dtype=F64)
B = torch.tensor([[2, 1, 0], [1, 2, 0], [0, 1, 2], [1, 1, 2]], dtype=F64)
Y = torch.tensor([0, 0, 1, 1])
LABELS = torch.tensor([4, 0, 4, -1, 0, 0, -1, 4, 4, 2, 2, 0, 4])


def views(n, d):
    torch.manual_seed(0)
    return torch.randn(n, d, dtype=F64), torch.randn(n, d, dtype=F64)


def dense(z1, z2, labels, t, form, regulariser):
    """The kernel form: weights come from a solve with the matrix of equal labels."""
    n = len(z1)
    u1, u2 = F.normalize(z1, dim=1), F.normalize(z2, dim=1)
    kernel = (labels[:, None] == labels).to(F64)
    weights = torch.linalg.solve(kernel + regulariser * torch.eye(n, dtype=F64), kernel).fill_diagonal_(0.0)
    both = (u1 @ u2.T / t).exp() + (u1 @ u1.T / t).exp().masked_fill(torch.eye(n, dtype=torch.bool), 0.0)
    conditional = (both @ weights).diagonal()
    if form == "weak":
        return -(conditional / (conditional + both.sum(1))).log()
    pull = (u1 * u2).sum(1) / t
    return (pull.exp() + (n - 1) * conditional).log() - pull


def test_it_has_its_golden_value():
    assert CCLK(0.5, symmetric="off")(A, B, labels=Y).item() == pytest.approx(1.1487801840, abs=1e-9)


@pytest.mark.parametrize("form", ["fair", "weak"])
@pytest.mark.parametrize("regulariser", [0.01, 3.0])
def test_it_is_the_solve_with_weights(form, regulariser):
    z1, z2 = views(13, 5)
    weight = torch.rand(13, dtype=F64)
    there, back = (
        (weight * dense(*pair, LABELS, 0.3, form, regulariser)).sum() / weight.sum() for pair in ((z1, z2), (z2, z1))
    )
    for symmetric, want in (("off", there), ("sum", there + back), ("mean", (there + back) / 2)):
        loss = CCLK(0.3, form=form, regulariser=regulariser, symmetric=symmetric)
        torch.testing.assert_close(loss(z1, z2, labels=LABELS, weight=weight), want)


def test_one_label_for_all_is_ntxent_whose_negatives_are_a_little_fewer():
    z1, z2 = views(7, 5)
    labels = torch.zeros(7, dtype=torch.int64)
    value = CCLK(0.5, regulariser=0.0)(z1, z2, labels=labels)
    plain = NTXent(0.5)
    terms = []
    for pair in ((z1, z2), (z2, z1)):
        u1, u2 = (F.normalize(z, dim=1) for z in pair)
        pull = 2 * (u1 * u2).sum(1)
        e = torch.cat([(2 * u1 @ u.T).exp().fill_diagonal_(0.0) for u in (u1, u2)], 1).sum(1)
        terms.append((pull.exp() + 6 / 7 * e).log() - pull)
    torch.testing.assert_close(value, torch.stack(terms).mean())
    assert plain(z1, z2) - math.log(7 / 6) < value < plain(z1, z2)


def test_all_equal_rows_have_closed_forms():
    z = torch.ones(6, 3, dtype=F64)
    labels = torch.tensor([0, 0, 0, 1, 1, 1])
    loss = CCLK(regulariser=1.0)(z, z.clone(), labels=labels)
    assert loss.item() == pytest.approx(math.log(1 + 5 * 4 / 4))
    weak = CCLK(form="weak", regulariser=1.0)(z, z.clone(), labels=labels)
    assert weak.item() == pytest.approx(math.log(1 + 11))


def test_an_anchor_alone_with_its_label_counts_as_zero_in_the_fair_form():
    z1, z2 = (z.requires_grad_() for z in views(5, 4))
    labels = torch.tensor([0, 0, 1, 2, 2])
    loss = CCLK(symmetric="off")(z1, z2, labels=labels)
    torch.testing.assert_close(loss, dense(z1, z2, labels, 0.5, "fair", 0.01).mean())
    slope = torch.autograd.grad(loss, (z1, z2))
    assert (slope[0][2] == 0).all()
    assert (slope[1][2] == 0).all()


def test_an_anchor_alone_with_its_label_is_left_out_of_the_weak_form_where_asked():
    z1, z2 = views(5, 4)
    labels = torch.tensor([0, 0, 1, 2, 2])
    kept = torch.tensor([0, 1, 3, 4])
    skip = CCLK(form="weak", missing_positive="skip", symmetric="off")
    want = dense(z1, z2, labels, 0.5, "weak", 0.01)
    torch.testing.assert_close(skip(z1, z2, labels=labels), want[kept].mean())
    assert gradcheck(lambda a, b: skip(a, b, labels=labels), (z1.requires_grad_(), z2.requires_grad_()))
    with pytest.raises(InputError, match=r"row 2 is the only one with label 1, so it has no positive.*missing_positive='skip'"):
        CCLK(form="weak")(z1, z2, labels=labels)


@pytest.mark.parametrize("form", ["fair", "weak"])
def test_order_rotation_length_and_the_names_of_labels_do_not_matter(form):
    z1, z2 = views(13, 5)
    loss, order = CCLK(form=form), torch.randperm(13)
    turn = torch.linalg.qr(torch.randn(5, 5, dtype=F64)).Q
    got = loss(3 * z2[order] @ turn, z1[order] @ turn, labels=90 - 7 * LABELS[order])
    torch.testing.assert_close(got, loss(z1, z2, labels=LABELS))


@pytest.mark.parametrize("form", ["fair", "weak"])
def test_gradients_are_right(form):
    inputs = tuple(t.requires_grad_() for t in (*views(5, 4), torch.rand(5, dtype=F64)))
    loss, labels = CCLK(0.5, form=form), torch.tensor([0, 1, 0, 1, 0])
    assert gradcheck(lambda z1, z2, weight: loss(z1, z2, labels=labels, weight=weight), inputs)


@pytest.mark.parametrize("form", ["fair", "weak"])
@pytest.mark.parametrize("rows", [1, 3, 16])
def test_blocks_of_any_size_give_the_same(monkeypatch, form, rows):
    z1, z2 = views(13, 5)
    want = CCLK(form=form)(z1, z2, labels=LABELS)
    monkeypatch.setattr(pair_tiles, "TILE_BYTES", 1)
    monkeypatch.setattr(pair_tiles, "MIN_ROWS", rows)
    torch.testing.assert_close(CCLK(form=form)(z1, z2, labels=LABELS), want)


@pytest.mark.parametrize("form", ["fair", "weak"])
def test_rows_of_zeros_and_small_temperatures_stay_finite(form):
    z1, z2 = (z.float() for z in views(13, 5))
    z1[1] = 0
    z1.requires_grad_()
    loss = CCLK(1e-3, form=form)(z1, z2, labels=LABELS)
    (slope,) = torch.autograd.grad(loss, z1)
    assert loss.isfinite()
    assert slope.isfinite().all()
    assert (slope[1] == 0).all()


@pytest.mark.parametrize("form", ["fair", "weak"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_single(form, dtype):
    z1, z2 = views(13, 8)
    got = CCLK(form=form)(z1.to(dtype), z2.to(dtype), labels=LABELS)
    assert got.dtype == torch.float32
    torch.testing.assert_close(got.double(), CCLK(form=form)(z1, z2, labels=LABELS), rtol=2e-2, atol=2e-2)


def test_what_makes_no_sense_is_named():
    for form in ("fair", "weak"):
        with pytest.raises(InputError, match="all labels differ, so no pair meets a condition"):
            CCLK(form=form, missing_positive="skip")(A, B, labels=torch.arange(4))
    with pytest.raises(InputError, match=r"form must be 'fair'.*got 'hard'"):
        CCLK(form="hard")
    with pytest.raises(InputError, match=r"regulariser must be a finite number >= 0.*got -1"):
        CCLK(regulariser=-1.0)
    with pytest.raises(InputError, match="missing_positive must be 'error' or 'skip'; got 'zero'"):
        CCLK(missing_positive="zero")
    with pytest.raises(InputError, match="symmetric must be 'mean', 'sum' or 'off'; got 'both'"):
        CCLK(symmetric="both")
    with pytest.raises(InputError, match="temperature must be > 0"):
        CCLK(0.0)
    with pytest.raises(InputError, match=r"labels must be \(4,\)"):
        CCLK()(A, B, labels=torch.zeros(3, dtype=torch.int64))
    with pytest.raises(InputError, match="labels must be integers"):
        CCLK()(A, B, labels=torch.zeros(4))
    with pytest.raises(InputError, match="at least 2 rows"):
        CCLK()(A[:1], B[:1], labels=Y[:1])


def test_it_prints_what_it_is():
    assert repr(CCLK()) == "CCLK(temperature=0.5, form='fair', regulariser=0.01, symmetric='mean')"
