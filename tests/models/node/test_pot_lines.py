from __future__ import annotations

import pytest
import torch

from graphcl.models.node.pot_lines import Parts, relu_lines

F64 = torch.float64


@pytest.fixture
def bounds():
    """Lower and upper inputs of either sign, and both of one."""
    torch.manual_seed(0)
    middle, half = torch.randn(6, 5, dtype=F64), torch.rand(6, 5, dtype=F64)
    return middle - half, middle + half


def test_parts_are_those_above_and_below_zero_and_sum_to_the_whole(bounds):
    x = bounds[0]
    above, below = Parts.of(x)
    assert torch.equal(above, x.clamp(min=0))
    assert torch.equal(below, x.clamp(max=0))
    assert bool(below.lt(0).any() and above.gt(0).any())


@pytest.mark.parametrize("used", [(1.0, 1.0), (1.0, 0.0), (0.0, 1.0)])
def test_a_gradient_reaches_the_part_that_it_belongs_to(bounds, used):
    x = bounds[0].clone().requires_grad_()
    parts = [weight * part.square() for weight, part in zip(used, Parts.of(x), strict=True) if weight]
    sum(part.sum() for part in parts).backward()
    want = sum(weight * 2 * part for weight, part in zip(used, (x.detach().clamp(min=0), x.detach().clamp(max=0)), strict=True))
    torch.testing.assert_close(x.grad, want)


def test_at_zero_neither_part_has_a_gradient():
    x = torch.zeros(3, dtype=F64, requires_grad=True)
    above, below = Parts.of(x)
    (above + 2 * below).sum().backward()
    assert torch.equal(x.grad, torch.zeros(3, dtype=F64))


def test_the_chord_meets_relu_at_both_ends_and_its_parallel_goes_through_zero(bounds):
    low, high = bounds
    crossing = (low < 0) & (high > 0)
    assert bool(crossing.any())
    chord, offset = relu_lines(low.clamp(max=0), high.clamp(min=0))
    for end in (low, high):
        torch.testing.assert_close((chord * end + offset)[crossing], end.clamp(min=0)[crossing])
    assert torch.equal(chord[low > 0], torch.ones_like(chord[low > 0]))
    assert torch.equal(chord[high < 0], torch.zeros_like(chord[high < 0]))
    assert torch.equal(offset[~crossing], torch.zeros_like(offset[~crossing]))


def test_parts_and_lines_have_the_derivatives_of_differences(bounds):
    """As they are used: lines of the parts of both bounds."""

    def lines(low, high):
        return relu_lines(Parts.of(low).below, Parts.of(high).above)

    assert torch.autograd.gradcheck(lines, [bound.clone().requires_grad_() for bound in bounds])


@pytest.mark.parametrize("dtype", [torch.float32, F64])
def test_an_input_that_is_zero_for_certain_has_lines_and_gradients_of_zero(dtype):
    zeros = [torch.zeros(4, dtype=dtype, requires_grad=True) for _ in range(2)]
    chord, offset = relu_lines(Parts.of(zeros[0]).below, Parts.of(zeros[1]).above)
    (1e6 * (chord + offset)).sum().backward()
    for value in (chord, offset, *(zero.grad for zero in zeros)):
        assert torch.equal(value, torch.zeros(4, dtype=dtype))
