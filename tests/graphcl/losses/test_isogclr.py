import copy
import math

import pytest
import torch
import torch.nn.functional as F

from graphcl.errors import InputError
from graphcl.losses import DCL
from graphcl.losses.isogclr import ISogCLR

F64 = torch.float64


def rows(n, d, seed=0):
    torch.manual_seed(seed)
    return torch.randn(n, d, dtype=F64)


def negatives(z1, z2, ids):
    """Similarities of the anchors of both views to the negatives of both, and which pairs they are."""
    u1, u2 = F.normalize(z1, dim=1), F.normalize(z2, dim=1)
    keep = (ids[:, None] != torch.cat([ids, ids])).double()
    return (u1 @ torch.cat([u2, u1]).T, u2 @ torch.cat([u1, u2]).T), keep, (u1 * u2).sum(1)


def divergence(similarity, keep, temperature):
    """Of the softmax over the negatives from uniform weights."""
    p = (similarity / temperature).masked_fill(keep == 0, -torch.inf).softmax(0)
    return (p * (p * keep.sum()).clamp(min=1e-300).log()).sum()


def bisect(function, low, high):
    """Where a decreasing function is zero."""
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if function(middle) > 0 else (low, middle)
    return (low + high) / 2


def test_with_nothing_remembered_it_is_the_decoupled_loss_times_the_temperature():
    z1, z2, ids = rows(6, 3).requires_grad_(), rows(6, 3, 1).requires_grad_(), torch.tensor([9, 3, 0, 4, 7, 1])
    loss = ISogCLR(10, temperature=0.2, gamma=1.0, rate=0.0, radius=0.0)(z1, z2, ids=ids)
    want = 0.2 * (DCL(0.2)(z1, z2) - math.log(10))  # a mean over ten negatives
    torch.testing.assert_close(loss, want, atol=1e-6, rtol=0)
    got = torch.autograd.grad(loss, (z1, z2))
    torch.testing.assert_close(got, torch.autograd.grad(want, (z1, z2)), atol=1e-6, rtol=1e-6)


def test_value_gradient_and_state_follow_the_average_of_both_directions():
    criterion, ids, tau = ISogCLR(8, temperature=0.25, gamma=0.3, rate=0.0, radius=0.5), torch.tensor([2, 7, 0, 5]), 0.25

    def means(z1, z2):
        both, keep, positive = negatives(z1, z2, ids)
        return [(keep * (s / tau).exp()).sum(1) / keep.sum(1) for s in both], positive

    first = rows(4, 3), rows(4, 3, 1)
    criterion(*first, ids=ids)
    u = sum(means(*first)[0]) / 2
    z1, z2 = rows(4, 3, 2).requires_grad_(), rows(4, 3, 3).requires_grad_()
    loss = criterion(z1, z2, ids=ids)
    g, positive = means(z1, z2)
    blends = [0.7 * u + 0.3 * part.detach() for part in g]
    value = sum(tau * (blend.log() + 0.5) for blend in blends) / 2 - positive
    torch.testing.assert_close(loss, value.mean(), atol=1e-6, rtol=0)
    surrogate = (sum(tau * part / blend for part, blend in zip(g, blends, strict=True)) / 2 - positive).mean()
    want = torch.autograd.grad(surrogate, (z1, z2))
    torch.testing.assert_close(torch.autograd.grad(loss, (z1, z2)), want, atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(criterion.average.log_u[ids].double().exp(), sum(blends) / 2, atol=1e-5, rtol=1e-6)
    assert criterion.temperatures.tolist() == [0.25] * 8


def test_temperatures_come_to_rest_where_two_valued_negatives_have_the_divergence():
    # Orthonormal pairs: every anchor has two negatives of similarity 1 (the other node of its pair) and four of 0.
    z, ids = torch.eye(3, dtype=F64).repeat_interleave(2, 0), torch.arange(6)
    # Two of ten: itself is left out in both views.
    criterion = ISogCLR(6, temperature=0.1, bounds=(0.05, 5.0), radius=0.3, gamma=1.0, rate=0.3)
    for _ in range(120):
        criterion(z, z, ids=ids)

    def gap(tau):
        share = 2 * math.exp(1 / tau) / (2 * math.exp(1 / tau) + 8)
        return share * math.log(share / 0.2) + (1 - share) * math.log((1 - share) / 0.8) - 0.3

    assert criterion.temperatures.tolist() == pytest.approx([bisect(gap, 0.05, 5.0)] * 6, abs=1e-4)


def test_each_instance_comes_to_rest_at_its_own_temperature():
    z1, z2, ids = rows(5, 4), rows(5, 4, 1), torch.tensor([4, 0, 2, 6, 5])
    criterion = ISogCLR(7, temperature=0.3, bounds=(0.01, 5.0), radius=0.4, gamma=1.0, rate=0.2)
    for _ in range(250):
        criterion(z1, z2, ids=ids)
    both, keep, _ = negatives(z1, z2, ids)
    want = [bisect(lambda tau, i=i: sum(divergence(s[i], keep[i], tau) for s in both) / 2 - 0.4, 0.01, 5.0) for i in range(5)]
    assert criterion.temperatures[ids].tolist() == pytest.approx(want, abs=1e-4)
    assert max(want) - min(want) > 0.01
    assert criterion.temperatures[[1, 3]].tolist() == pytest.approx([0.3, 0.3])


def test_one_step_moves_by_the_clipped_slope_and_stays_within_bounds():
    z1, z2, ids = rows(5, 4), rows(5, 4, 1), torch.arange(5)
    both, keep, _ = negatives(z1, z2, ids)
    slope = 2.0 - torch.stack([sum(divergence(s[i], keep[i], 0.2) for s in both) / 2 for i in range(5)])
    for clip in (3.0, 0.5):
        criterion = ISogCLR(5, temperature=0.2, radius=2.0, rate=0.01, beta=0.6, clip=clip)
        criterion(z1, z2, ids=ids)
        moved = 0.2 - 0.01 * 0.6 * slope.clamp(-clip, clip)
        torch.testing.assert_close(criterion.temperatures.double(), moved, atol=1e-6, rtol=0)
    for radius, end in ((50.0, 0.15), (0.0, 0.3)):
        criterion = ISogCLR(5, temperature=0.2, bounds=(0.15, 0.3), radius=radius, rate=1.0)
        for _ in range(3):
            criterion(z1, z2, ids=ids)
        assert criterion.temperatures.tolist() == pytest.approx([end] * 5)


def test_instances_drawn_twice_move_once_by_their_mean_slope():
    z1, z2, ids = rows(4, 4), rows(4, 4, 1), torch.tensor([0, 1, 1, 2])
    criterion = ISogCLR(3, temperature=0.2, radius=1.0, rate=0.01, beta=1.0)
    criterion(z1, z2, ids=ids)
    both, keep, _ = negatives(z1, z2, ids)
    slope = 1.0 - torch.stack([sum(divergence(s[i], keep[i], 0.2) for s in both) / 2 for i in range(4)])
    want = 0.2 - 0.01 * torch.stack([slope[0], slope[1:3].mean(), slope[3]])
    torch.testing.assert_close(criterion.temperatures.double(), want, atol=1e-6, rtol=0)


def test_it_moves_without_a_gradient_in_training_and_never_in_evaluation():
    z1, z2, ids = rows(4, 3), rows(4, 3, 1), torch.arange(4)
    recorded, silent = ISogCLR(4), ISogCLR(4)
    with torch.no_grad():
        value = silent(z1, z2, ids=ids)
    torch.testing.assert_close(recorded(z1.requires_grad_(), z2, ids=ids).detach(), value)
    assert not value.requires_grad
    assert torch.equal(recorded.temperatures, silent.temperatures)
    before = copy.deepcopy(recorded.state_dict())
    with torch.inference_mode():
        recorded.eval()(z1.detach(), z2, ids=ids)
    assert all(torch.equal(before[name], value) for name, value in recorded.state_dict().items())


def test_a_saved_state_goes_on_where_it_was():
    one, other, ids = ISogCLR(6), ISogCLR(6), torch.tensor([5, 0, 3])
    one(rows(3, 4), rows(3, 4, 1), ids=ids)
    other.load_state_dict(copy.deepcopy(one.state_dict()))
    losses = [criterion(rows(3, 4, 2), rows(3, 4, 3), ids=ids) for criterion in (one, other)]
    assert torch.equal(*losses)
    assert all(torch.equal(x, y) for x, y in zip(one.buffers(), other.buffers(), strict=True))
    assert not list(one.parameters())


def test_views_may_change_places_and_rows_their_order_and_length():
    ids, order = torch.tensor([5, 0, 3, 1]), torch.tensor([2, 3, 1, 0])
    z1, z2, losses = rows(4, 3), rows(4, 3, 1), []
    for views, names in (((z1, z2), ids), ((z2, 3 * z1), ids), ((z1[order], z2[order]), ids[order])):
        criterion = ISogCLR(6, gamma=0.5)
        losses.append(torch.stack([criterion(*views, ids=names) for _ in range(3)]))
    for other in losses[1:]:
        torch.testing.assert_close(other, losses[0], atol=1e-6, rtol=0)


def test_half_precision_is_computed_in_single_and_weights_weigh_anchors():
    z1, z2, ids = rows(4, 3).half(), rows(4, 3, 1).half(), torch.arange(4)
    half, single = ISogCLR(4)(z1, z2, ids=ids), ISogCLR(4)(z1.float(), z2.float(), ids=ids)
    torch.testing.assert_close(half, single)
    weight = torch.tensor([1.0, 0, 0, 0])
    alone = ISogCLR(4)(z1.float(), z2.float(), ids=ids, weight=weight)
    assert alone.item() != pytest.approx(single.item())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"temperature": 0.01}, "temperature must start within its bounds, 0.05 to 0.7; got 0.01"),
        ({"bounds": (0.0, 1.0)}, "temperature must be > 0"),
        ({"radius": -1.0}, "radius must be >= 0; got -1.0"),
        ({"rate": math.nan}, "rate must be >= 0"),
        ({"beta": 0.0}, r"beta must be in \(0, 1\]"),
        ({"clip": math.inf}, "clip must be > 0; got inf"),
        ({"gamma": 0.0}, r"gamma must be in \(0, 1\]"),
    ],
)
def test_what_is_out_of_range_is_named(arguments, message):
    with pytest.raises(InputError, match=message):
        ISogCLR(3, **arguments)


def test_ids_that_do_not_fit_are_named():
    z = rows(3, 2)
    with pytest.raises(InputError, match=r"ids must lie in 0 .. 2"):
        ISogCLR(3)(z, z, ids=torch.tensor([0, 1, 3]))
    with pytest.raises(InputError, match="ids are all equal"):
        ISogCLR(3)(z, z, ids=torch.zeros(3, dtype=torch.int64))
    with pytest.raises(InputError, match="must both be"):
        ISogCLR(3)(z, rows(2, 2), ids=torch.arange(3))
