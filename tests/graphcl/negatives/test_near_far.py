import math

import pytest
import torch
import torch.nn.functional as F

from graphcl.negatives import near_far as module
from graphcl.negatives.bennett import cluster_spread, log_excess
from graphcl.negatives.left_out import LeftOut
from graphcl.negatives.near_far import near_far

F64 = torch.float64


def problem(n=40, k=12, size=7, d=5, width=0.3, seed=0, lengths=False):
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape):
        return torch.randn(*shape, dtype=F64, generator=generator)

    sizes = torch.randint(1, size, (k,), generator=generator)
    centres = F.normalize(draw(k, d), dim=1)
    z = centres.repeat_interleave(sizes, 0) + width * draw(int(sizes.sum()), d)
    means = torch.stack([part.mean(0) for part in z.split(sizes.tolist())])
    a = F.normalize(draw(n, d), dim=1)
    if lengths:
        a = a * torch.logspace(-5, 1, n, dtype=F64)[:, None]
    return a, sizes, means, cluster_spread(z, sizes, means)


def lacks(a, scale, sizes, means, spread):
    """The bound of every cluster for every anchor, as a share of the proxies' sum."""
    proxies = scale[:, None] * (a @ means.T) + sizes.double().log()
    reach = (scale * a.norm(dim=1))[:, None] * spread.radius
    return (proxies + log_excess(spread.share, reach) - proxies.logsumexp(1, keepdim=True)).exp()


def mask(chosen, k):
    near = torch.zeros(len(chosen.crow) - 1, k, dtype=torch.bool)
    near[torch.arange(len(near)).repeat_interleave(chosen.crow.diff()), chosen.cluster] = True
    return near


@pytest.mark.parametrize("lengths", [False, True])
@pytest.mark.parametrize("budget", [1e-4, 0.01, 0.3, 1e6])
@pytest.mark.parametrize("sharpness", [1.0, 5.0, 200.0])
def test_what_is_left_far_stays_in_the_budget_and_is_what_slack_says(lengths, budget, sharpness):
    a, sizes, means, spread = problem(lengths=lengths)
    scale = torch.full((len(a),), sharpness, dtype=F64)
    chosen = near_far(a, scale, means, sizes, sizes + 3.0, spread, None, budget=budget, limit=math.inf)
    near = mask(chosen, len(sizes))
    left = lacks(a, scale, sizes, means, spread).masked_fill(near, 0.0).sum(1)
    assert (left <= budget).all()
    total = (sharpness * (a @ means.T) + sizes.double().log()).logsumexp(1)
    # Lengths are rounded up by a hundredth, or to a thousandth of the longest.
    slack = (chosen.slack - total).exp()
    assert (slack >= left * (1 - 1e-9)).all()
    if not lengths:
        torch.testing.assert_close(slack, left, rtol=1e-6, atol=1e-12)
    assert chosen.cost == pytest.approx(float((near * (sizes + 3.0)).sum()))


def test_it_is_nearly_the_cheapest_choice_by_one_threshold():
    a, sizes, means, spread = problem(n=60, k=40)
    scale, costs = torch.full((60,), 5.0, dtype=F64), sizes + 3.0
    chosen = mask(near_far(a, scale, means, sizes, costs, spread, None, budget=0.05, limit=math.inf), 40)
    each = lacks(a, scale, sizes, means, spread)
    order = torch.argsort(each / costs, dim=1)
    fits = each.gather(1, order).cumsum(1) <= 0.05
    best = (costs[order] * ~fits).sum()
    spent = (costs * chosen).sum()
    assert 0.99 * best <= spent <= 1.03 * best


def test_a_budget_that_everything_fits_into_leaves_nobody_near():
    a, sizes, means, spread = problem()
    chosen = near_far(a, torch.ones(40, dtype=F64), means, sizes, sizes + 1.0, spread, None, budget=1e9, limit=math.inf)
    assert len(chosen.cluster) == 0
    assert chosen.cost == 0


def test_clusters_with_something_left_out_are_near_and_not_relied_on():
    a, sizes, means, spread = problem(n=3, k=4)
    scale = torch.full((3,), 3.0, dtype=F64)
    member = means[2] + 0.1
    count = torch.tensor([int(sizes[2]), 1])
    dots = torch.stack([sizes[2] * (a[0] @ means[2]), a[2] @ member])
    left = LeftOut(torch.tensor([0, 1, 1, 2]), torch.tensor([2, 2]), count, dots)
    chosen = near_far(a, scale, means, sizes, sizes + 1.0, spread, left, budget=1e9, limit=math.inf)
    assert chosen.crow.tolist() == [0, 1, 1, 2]
    assert chosen.cluster.tolist() == [2, 2]
    total = (scale[:, None] * (a @ means.T) + sizes.double().log()).logsumexp(1, keepdim=True)
    each = lacks(a, scale, sizes, means, spread).log() + total
    far = torch.tensor([0, 1, 3])
    torch.testing.assert_close(chosen.slack[0], each[0, far].logsumexp(0))
    torch.testing.assert_close(chosen.slack[1], each[1].logsumexp(0))


def test_chunks_change_nothing_and_the_limit_ends_the_search(monkeypatch):
    a, sizes, means, spread = problem(n=200)
    scale, costs = torch.full((200,), 5.0, dtype=F64), sizes + 1.0
    whole = near_far(a, scale, means, sizes, costs, spread, None, budget=0.01, limit=math.inf)
    monkeypatch.setattr(module, "_CHUNK_BYTES", 1)
    parts = near_far(a, scale, means, sizes, costs, spread, None, budget=0.01, limit=math.inf)
    assert torch.equal(whole.crow, parts.crow)
    assert torch.equal(whole.cluster, parts.cluster)
    torch.testing.assert_close(whole.slack, parts.slack)
    short = near_far(a, scale, means, sizes, costs, spread, None, budget=0.01, limit=whole.cost / 2)
    assert whole.cost / 2 < short.cost < whole.cost
    assert len(short.slack) < 200


def test_zero_anchors_meet_means_only():
    _, sizes, means, spread = problem()
    a = torch.zeros(5, 5, dtype=F64)
    chosen = near_far(a, torch.ones(5, dtype=F64), means, sizes, sizes + 1.0, spread, None, budget=1e-3, limit=math.inf)
    assert len(chosen.cluster) == 0
    assert (chosen.slack < -600).all()
