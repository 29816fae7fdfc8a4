import copy

import pytest
import torch
import torch.nn.functional as F

from graphcl.errors import InputError
from graphcl.kernels import Rule
from graphcl.losses import PairLoss, decoupled
from graphcl.negatives import Exact, GlobalAverage

F64 = torch.float64


def unit(n, d, seed=0):
    torch.manual_seed(seed)
    return F.normalize(torch.randn(n, d, dtype=F64), dim=1)


def batch(ids):
    return Rule(torch.arange(len(ids)), different=(ids, ids))


def mean_exp(a, z, ids, scale):
    """Mean of the exponentials over the negatives of each anchor."""
    keep = (ids[:, None] != ids).double()
    return (keep * (scale * a @ z.T).exp()).sum(1) / keep.sum(1)


def test_with_nothing_remembered_it_is_the_exact_sum_with_its_gradient():
    a, z, ids = unit(5, 3).requires_grad_(), unit(5, 3, 1).requires_grad_(), torch.tensor([3, 9, 3, 0, 5])
    negatives = GlobalAverage(10, gamma=1.0)
    for _ in range(2):
        out, want = (e.log_z(a, z, scale=2.0, rule=batch(ids)) for e in (negatives, Exact()))
        torch.testing.assert_close(out, want)
        torch.testing.assert_close(torch.autograd.grad(out.sum(), (a, z)), torch.autograd.grad(want.sum(), (a, z)))


def test_value_and_gradient_are_those_of_the_moving_average():
    negatives, ids = GlobalAverage(8, gamma=0.3), torch.tensor([6, 1, 4, 2])
    first = unit(4, 3), unit(4, 3, 1)
    a, z = unit(4, 3, 2).requires_grad_(), unit(4, 3, 3).requires_grad_()
    negatives.log_z(*first, scale=2.0, rule=batch(ids))
    out = negatives.log_z(a, z, scale=2.0, rule=batch(ids))
    g = mean_exp(a, z, ids, 2.0)
    u = 0.7 * mean_exp(*first, ids, 2.0) + 0.3 * g.detach()
    torch.testing.assert_close(out, (3 * u).log(), atol=1e-6, rtol=0)
    # Each negative pulls with its exponential over the average of the sum.
    want = torch.autograd.grad((g / u).sum(), (a, z))
    torch.testing.assert_close(torch.autograd.grad(out.sum(), (a, z)), want, atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(negatives.average.log_u[ids].double().exp(), u, atol=1e-6, rtol=1e-6)


def test_the_order_of_a_batch_does_not_matter_and_each_instance_has_its_own_average():
    ids, order = torch.tensor([5, 0, 3, 7]), torch.tensor([2, 0, 3, 1])
    straight, mixed = GlobalAverage(8), GlobalAverage(8)
    for seed in (0, 2):
        a, z = unit(4, 3, seed), unit(4, 3, seed + 1)
        out = straight.log_z(a, z, scale=2.0, rule=batch(ids))
        other = mixed.log_z(a[order], z[order], scale=2.0, rule=batch(ids[order]))
        torch.testing.assert_close(other, out[order])
    torch.testing.assert_close(mixed.average.log_u, straight.average.log_u)
    assert straight.average.visited.nonzero().squeeze(1).tolist() == [0, 3, 5, 7]


def test_instances_drawn_twice_leave_their_mean():
    negatives, ids, a, z = GlobalAverage(4), torch.tensor([2, 2, 1]), unit(3, 3), unit(3, 3, 1)
    negatives.log_z(a, z, scale=2.0, rule=batch(ids))
    g = mean_exp(a, z, ids, 2.0)
    torch.testing.assert_close(negatives.average.log_u.exp()[1:3].double(), torch.stack([g[2], (g[0] + g[1]) / 2]))


def test_two_directions_visit_one_after_the_other():
    negatives, ids, z1, z2 = GlobalAverage(5, gamma=0.4), torch.arange(5), unit(5, 3), unit(5, 3, 1)
    PairLoss(decoupled, negatives=negatives)(z1, z2, ids=ids)
    there, back = mean_exp(z1, z2, ids, 2.0), mean_exp(z2, z1, ids, 2.0)
    torch.testing.assert_close(negatives.average.log_u.double().exp(), 0.6 * there + 0.4 * back, atol=1e-6, rtol=0)


def test_both_views_of_a_pair_loss_count_as_negatives():
    ids, z1, z2 = torch.tensor([4, 0, 2]), unit(3, 3), unit(3, 3, 1)
    losses = [PairLoss(decoupled, negatives=e, intra=True)(z1, z2, ids=ids) for e in (GlobalAverage(5, gamma=1.0), Exact())]
    torch.testing.assert_close(*losses)


def test_evaluation_blends_and_stores_nothing():
    negatives, ids, a, z = GlobalAverage(3, gamma=0.5), torch.arange(3), unit(3, 3), unit(3, 3, 1)
    negatives.log_z(a, z, scale=2.0, rule=batch(ids))
    before = copy.deepcopy(negatives.state_dict())
    training = copy.deepcopy(negatives).log_z(z, a, scale=2.0, rule=batch(ids))
    negatives.eval()
    for _ in range(2):
        torch.testing.assert_close(negatives.log_z(z, a, scale=2.0, rule=batch(ids)), training)
    assert all(torch.equal(before[name], value) for name, value in negatives.state_dict().items())


def test_a_saved_average_goes_on_where_it_was():
    one, other, ids = GlobalAverage(4), GlobalAverage(4), torch.tensor([3, 1, 0])
    one.log_z(unit(3, 3), unit(3, 3, 1), scale=2.0, rule=batch(ids))
    other.load_state_dict(copy.deepcopy(one.state_dict()))
    out = [e.log_z(unit(3, 3, 4), unit(3, 3, 5), scale=2.0, rule=batch(ids)) for e in (one, other)]
    assert torch.equal(*out)
    assert all(torch.equal(x, y) for x, y in zip(one.buffers(), other.buffers(), strict=True))


def test_small_batches_come_near_the_log_of_the_mean_over_all():
    torch.manual_seed(3)
    a, z = unit(1, 4), unit(200, 4, 1)
    exact = (4.0 * z @ a[0]).exp().mean().log()
    negatives, single = GlobalAverage(201, gamma=0.01), []
    for _ in range(800):
        drawn = torch.randperm(200)[:4]
        rule = Rule(different=(torch.tensor([200]), drawn))
        value = negatives.log_z(a, z[drawn], scale=4.0, rule=rule)
        single.append(Exact().log_z(a, z[drawn], scale=4.0, rule=rule))
    log_four = torch.tensor(4.0, dtype=F64).log()
    averaged = (value - log_four - exact).abs().item()
    assert averaged < 0.5 * (torch.cat(single).mean() - log_four - exact).abs().item()


def test_an_anchor_without_negatives_leaves_no_trace():
    negatives, a = GlobalAverage(3), unit(2, 3).requires_grad_()
    out = negatives.log_z(a, a, scale=2.0, rule=batch(torch.tensor([1, 1])))
    assert out.tolist() == [-torch.inf] * 2
    assert not negatives.average.visited.any()
    out.sum().backward()
    assert torch.count_nonzero(a.grad) == 0


def test_unknown_instances_are_named():
    a = unit(2, 3)
    with pytest.raises(InputError, match="pass ids to the loss"):
        GlobalAverage(3).log_z(a, a, scale=1.0, rule=Rule(torch.arange(2)))
    with pytest.raises(InputError, match=r"ids must lie in 0 .. 2"):
        GlobalAverage(3).log_z(a, a, scale=1.0, rule=batch(torch.tensor([0, 3])))
