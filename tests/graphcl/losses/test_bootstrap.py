import copy

import pytest
import torch
from torch import nn

from graphcl.errors import InputError
from graphcl.losses.bootstrap import Bootstrap, cosine_momentum, update_target

F64 = torch.float64


def rows(count, n=5, d=4, seed=0):
    torch.manual_seed(seed)
    return tuple(torch.randn(n, d, dtype=F64) for _ in range(count))


def networks():
    torch.manual_seed(0)
    online = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2)).double()
    target = copy.deepcopy(online)
    with torch.no_grad():
        for parameter in online.parameters():
            parameter.add_(torch.randn_like(parameter))
    return target, online


def test_a_worked_value():
    a = torch.tensor([[1, 0, 0], [1, 1, 0], [0, 1, 1], [1, 1, 1]], dtype=F64)
    b = torch.tensor([[2, 1, 0], [1, 2, 0], [0, 1, 2], [1, 1, 2]], dtype=F64)
    assert Bootstrap()(a, b, b, a).item() == pytest.approx(0.1326985857, abs=1e-9)


@pytest.mark.parametrize(("n", "d"), [(1, 1), (7, 5), (31, 8)])
def test_values_match_the_formula(n, d):
    q1, t2, q2, t1 = rows(4, n, d)
    there, back = (2 - 2 * torch.cosine_similarity(*pair).mean() for pair in ((q1, t2), (q2, t1)))
    torch.testing.assert_close(Bootstrap()(q1, t2), there)
    torch.testing.assert_close(Bootstrap()(q1, t2, q2, t1), (there + back) / 2)
    torch.testing.assert_close(Bootstrap(symmetric="sum")(q1, t2, q2, t1), there + back)


def test_closed_forms():
    (z,) = rows(1)
    assert Bootstrap()(z, 3 * z).item() == pytest.approx(0, abs=1e-15)
    assert Bootstrap()(z, -z).item() == pytest.approx(4)
    assert Bootstrap()(torch.eye(4), torch.eye(4).roll(1, 0)).item() == pytest.approx(2)


def test_rotation_scale_order_and_exchange_change_nothing():
    q1, t2, q2, t1 = rows(4)
    rotation = torch.linalg.qr(torch.randn(4, 4, dtype=F64)).Q
    want = Bootstrap()(q1, t2, q2, t1)
    torch.testing.assert_close(Bootstrap()(q2, t1, q1, t2), want)
    torch.testing.assert_close(Bootstrap()(*(z @ rotation for z in (q1, t2, q2, t1))), want)
    torch.testing.assert_close(Bootstrap()(*(7 * z.flip(0) for z in (q1, t2, q2, t1))), want)


@pytest.mark.parametrize("symmetric", ["mean", "sum"])
def test_gradients_are_right_and_none_reaches_the_target(symmetric):
    loss, (q1, t2, q2, t1) = Bootstrap(symmetric=symmetric), (z.requires_grad_() for z in rows(4))
    assert torch.autograd.gradcheck(lambda a, b: loss(a, t2.detach(), b, t1.detach()), (q1, q2))
    loss(q1, t2, q2, t1).backward()
    assert t1.grad is None
    assert t2.grad is None
    assert q1.grad.abs().sum() > 0


def test_weights_make_it_a_weighted_mean_of_both_directions():
    q1, t2, q2, t1 = rows(4, 9)
    times, loss = torch.tensor([2, 0, 1, 3, 1, 0, 1, 1, 2]), Bootstrap()
    torch.testing.assert_close(loss(q1, t2, q2, t1, weight=torch.full((9,), 3.0)), loss(q1, t2, q2, t1))
    repeated = loss(*(z.repeat_interleave(times, 0) for z in (q1, t2, q2, t1)))
    torch.testing.assert_close(loss(q1, t2, q2, t1, weight=times), repeated)
    inputs = tuple(x.requires_grad_() for x in (q1, q2, torch.rand(9, dtype=F64)))
    assert torch.autograd.gradcheck(lambda a, b, w: loss(a, t2, b, t1, weight=w), inputs)
    with pytest.raises(InputError, match=r"weight must be \(9,\), one for each anchor; got \(4,\)"):
        loss(q1, t2, weight=torch.ones(4))


def test_a_row_of_zeros_is_worth_two_and_gets_no_gradient():
    q = torch.zeros(2, 3, requires_grad=True)
    loss = Bootstrap()(q, torch.ones(2, 3))
    loss.backward()
    assert loss.item() == 2
    assert q.grad.abs().sum() == 0


@pytest.mark.parametrize("size", [1e4, 1e-4])
def test_extreme_rows_stay_finite(size):
    q, t = (size * z.float() for z in rows(2))
    torch.testing.assert_close(Bootstrap()(q, t), Bootstrap()(q / size, t / size))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(dtype):
    q, t = (z.to(dtype) for z in rows(2))
    torch.testing.assert_close(Bootstrap()(q, t), Bootstrap()(q.float(), t.float()), rtol=0, atol=0)


@pytest.mark.parametrize("momentum", [0.0, 0.3, 0.99, 1.0])
def test_the_target_moves_by_the_formula_and_the_online_network_does_not(momentum):
    target, online = networks()
    before, other = copy.deepcopy(target), copy.deepcopy(online)
    update_target(target, online, momentum)
    for now, old, fast, kept in zip(*(list(m.parameters()) for m in (target, before, online, other)), strict=True):
        torch.testing.assert_close(now, momentum * old + (1 - momentum) * fast)
        assert torch.equal(fast, kept)
        assert now.grad_fn is None
    for now, old in zip(target.buffers(), before.buffers(), strict=True):
        assert torch.equal(now, old)


def test_a_target_at_rest_is_untouched_and_one_without_memory_is_the_online_network():
    target, online = networks()
    before = copy.deepcopy(target)
    update_target(target, online, 1.0)
    assert all(torch.equal(a, b) for a, b in zip(target.parameters(), before.parameters(), strict=True))
    update_target(target, online, 0.0)
    assert all(torch.equal(a, b) for a, b in zip(target.parameters(), online.parameters(), strict=True))


def test_the_schedule_rises_from_its_base_to_one():
    values = [cosine_momentum(step, 10, 0.996) for step in range(11)]
    assert values[0] == pytest.approx(0.996, abs=1e-15)
    assert values[5] == pytest.approx(0.998)
    assert values[10] == 1
    assert values == sorted(values)


def test_what_cannot_be_used_is_named():
    (z,) = rows(1)
    with pytest.raises(InputError, match=r"symmetric must be 'mean' or 'sum'; got 'off'. For one direction call"):
        Bootstrap(symmetric="off")
    with pytest.raises(InputError, match=r"got \(5, 4\) and \(5, 3\). The predictor must map back"):
        Bootstrap()(z, z[:, :3])
    with pytest.raises(InputError, match="both directions take four tensors"):
        Bootstrap()(z, z, z)
    with pytest.raises(InputError, match="prediction is empty"):
        Bootstrap()(z[:0], z[:0])
    with pytest.raises(InputError, match=r"target has a value that is not finite at \(0, 0\)"):
        Bootstrap()(z, z / 0)
    target, online = networks()
    with pytest.raises(InputError, match=r"momentum must lie in 0 .. 1, the share that the target keeps; got 1.5"):
        update_target(target, online, 1.5)
    with pytest.raises(InputError, match=r"only one of them has '2.bias'"):
        update_target(target[:2], online, 0.9)
    with pytest.raises(InputError, match=r"share '0.weight': make the target by copy.deepcopy"):
        update_target(online, online, 0.9)
    with pytest.raises(InputError, match=r"'weight' is \(2, 3\) in the target and \(4, 3\) in the online"):
        update_target(nn.Linear(3, 2, bias=False), nn.Linear(3, 4, bias=False), 0.9)
    for step, total in [(-1, 5), (6, 5), (0, 0)]:
        with pytest.raises(InputError, match=f"got step {step} of {total}"):
            cosine_momentum(step, total)
    with pytest.raises(InputError, match=r"base must lie in 0 .. 1; got 2"):
        cosine_momentum(0, 1, 2)


def test_it_prints_what_it_is():
    assert repr(Bootstrap()) == "Bootstrap(symmetric=mean)"
