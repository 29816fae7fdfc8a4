import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from graphcl.errors import InputError
from graphcl.losses.binary import BCE, JSD, softplus

F64 = torch.float64


def scores(n, m, seed=0):
    torch.manual_seed(seed)
    return torch.randn(n, dtype=F64), torch.randn(m, dtype=F64)


def worked_scores():
    """Cosines of two small sets of rows: the diagonal is positive, the rest negative."""
    a = torch.tensor([[1, 0, 0], [1, 1, 0], [0, 1, 1], [1, 1, 1]], dtype=F64)
    b = torch.tensor([[2, 1, 0], [1, 2, 0], [0, 1, 2], [1, 1, 2]], dtype=F64)
    s = (a / a.norm(dim=1, keepdim=True)) @ (b / b.norm(dim=1, keepdim=True)).T
    return s.diagonal(), s[~torch.eye(4, dtype=torch.bool)]


def test_worked_values():
    assert BCE()(*worked_scores()).item() == pytest.approx(1.3578968383, abs=1e-9)
    assert JSD()(*worked_scores()).item() == pytest.approx(-0.0283975228, abs=1e-9)


@pytest.mark.parametrize(("n", "m"), [(1, 1), (7, 3), (2, 31)])
def test_values_match_the_formula(n, m):
    positive, negative = scores(n, m)
    want = (1 + (-positive).exp()).log().mean() + (1 + negative.exp()).log().mean()
    torch.testing.assert_close(BCE()(positive, negative), want)
    torch.testing.assert_close(BCE(half=True)(positive, negative), want / 2)
    torch.testing.assert_close(JSD()(positive, negative), want - 2 * math.log(2))


def test_halved_is_the_mean_over_labelled_scores_where_both_sides_are_equally_many():
    positive, negative = scores(5, 5)
    labels = torch.tensor([1.0] * 5 + [0.0] * 5, dtype=F64)
    want = torch.nn.functional.binary_cross_entropy_with_logits(torch.cat([positive, negative]), labels)
    torch.testing.assert_close(BCE(half=True)(positive, negative), want)


def test_scores_that_tell_nothing():
    nothing = torch.zeros(3, dtype=F64)
    assert BCE()(nothing, nothing).item() == pytest.approx(2 * math.log(2))
    assert JSD()(nothing, nothing).item() == pytest.approx(0, abs=1e-15)


def test_perfect_scores_reach_the_lower_bounds():
    good = torch.full((3,), 50.0, dtype=F64)
    assert BCE()(good, -good).item() == pytest.approx(0, abs=1e-15)
    assert JSD()(good, -good).item() == pytest.approx(-2 * math.log(2))


def test_shapes_do_not_matter_and_neither_does_order():
    positive, negative = scores(6, 8)
    want = BCE()(positive, negative)
    torch.testing.assert_close(BCE()(positive.view(2, 3), negative.view(2, 2, 2)), want)
    torch.testing.assert_close(BCE()(positive.flip(0), negative.flip(0)), want)
    torch.testing.assert_close(BCE()(-negative, -positive), want)  # both sides exchanged


@given(st.integers(1, 6), st.integers(1, 6), st.integers(0, 10_000))
@settings(max_examples=30, deadline=None)
def test_whole_weights_are_repetitions(n, m, seed):
    positive, negative = scores(n, m, seed)
    times, again = torch.randint(1, 4, (n,)), torch.randint(1, 4, (m,))
    weighted = BCE()(positive, negative, positive_weight=times.to(F64), negative_weight=again.to(F64))
    torch.testing.assert_close(weighted, BCE()(positive.repeat_interleave(times), negative.repeat_interleave(again)))


def test_only_proportions_of_weights_count_and_a_zero_leaves_out():
    positive, negative = scores(3, 4)
    weight = torch.tensor([1.0, 2.0, 0.0], dtype=F64)
    loss = JSD()(positive, negative, positive_weight=weight)
    torch.testing.assert_close(JSD()(positive, negative, positive_weight=10 * weight), loss)
    torch.testing.assert_close(JSD()(positive[:2], negative, positive_weight=weight[:2]), loss)


@pytest.mark.parametrize("loss", [BCE(), BCE(half=True), JSD()], ids=repr)
def test_gradients_are_right(loss):
    positive, negative = (s.requires_grad_() for s in scores(5, 3))
    weight = torch.rand(5, dtype=F64).requires_grad_()
    assert torch.autograd.gradcheck(lambda p, n, w: loss(p, n, positive_weight=w), (positive, negative, weight))
    assert torch.autograd.gradgradcheck(loss, (positive, negative))


def test_the_gradient_is_the_sigmoid_less_the_label():
    positive, negative = (s.requires_grad_() for s in scores(5, 3))
    BCE()(positive, negative).backward()
    torch.testing.assert_close(positive.grad, (positive.sigmoid() - 1).detach() / 5)
    torch.testing.assert_close(negative.grad, negative.sigmoid().detach() / 3)


@pytest.mark.parametrize("size", [1e4, -1e4])
def test_extreme_scores_stay_finite(size):
    positive = torch.full((2,), size, requires_grad=True)
    loss = BCE()(positive, positive)
    loss.backward()
    assert loss.item() == pytest.approx(1e4)
    assert positive.grad.tolist() == [0.5, 0.5] if size > 0 else [-0.5, -0.5]


def test_softplus_keeps_its_digits_where_torchs_turns_linear():
    x = torch.tensor([-800.0, -30.0, 0.0, 25.0, 800.0], dtype=F64)
    want = [0.0, math.log1p(math.exp(-30)), math.log(2), 25 + math.log1p(math.exp(-25)), 800.0]
    assert softplus(x).tolist() == pytest.approx(want, rel=1e-15)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(dtype):
    positive, negative = (s.to(dtype).requires_grad_() for s in scores(7, 5))
    loss = BCE()(positive, negative)
    loss.backward()
    assert loss.dtype == torch.float32
    assert positive.grad.dtype == dtype
    torch.testing.assert_close(loss, BCE()(positive.float(), negative.float()), rtol=0, atol=0)


def test_what_cannot_be_used_is_named():
    good, weight = torch.zeros(3), torch.ones(3)
    for bad, message in [
        (torch.zeros(3, dtype=torch.long), "must be floating point; got torch.int64"),
        (torch.zeros(0, 2), r"is empty, shape \(0, 2\)"),
        (torch.tensor([0.0, torch.nan]), r"has a value that is not finite at \(1,\)"),
    ]:
        with pytest.raises(InputError, match=f"positive {message}"):
            BCE()(bad, good)
        with pytest.raises(InputError, match=f"negative {message}"):
            JSD()(good, bad)
    with pytest.raises(InputError, match=r"positive_weight must have the shape of the scores, \(3,\); got \(2,\)"):
        BCE()(good, good, positive_weight=weight[:2])
    for wrong in (0 * weight, torch.tensor([1.0, -1.0, 1.0])):
        with pytest.raises(InputError, match="negative_weight must be >= 0 and somewhere > 0; got values from"):
            BCE()(good, good, negative_weight=wrong)


def test_it_prints_what_it_is():
    assert repr(BCE(half=True)) == "BCE(half=True)"
    assert repr(JSD()) == "JSD()"
