from __future__ import annotations

import pytest
import torch

from graphcl.errors import InputError
from graphcl.kernels import Rule
from graphcl.kernels.ranks import Ranks
from graphcl.negatives import Exact, MetaNode
from graphcl.negatives.across_ranks import ShardedMetaNode, SplitExact

F64 = torch.float64
N, D, K = 13, 4, 3


def everything():
    torch.manual_seed(0)
    a, z = torch.randn(N, D, dtype=F64), torch.randn(N, D, dtype=F64)
    mask = torch.rand(N, N) < 0.3
    seen = torch.cat([torch.zeros(1, dtype=torch.int64), mask.sum(1).cumsum(0)]), mask.nonzero()[:, 1]
    labels, groups = torch.randint(2, (N,)), torch.randint(3, (N, 2))
    rules = {
        "plain": Rule(exclude=torch.arange(N)),
        "ids": Rule(exclude=torch.arange(N), different=(labels, labels)),
        "names": Rule(different=(labels, labels), clusters=(groups, groups)),
        "parts": Rule(seen=seen, same=(labels, labels), clusters=(torch.randint(3, (N, 2)), torch.randint(3, (N, 2)))),
    }
    clusters = torch.randint(K, (N,)).index_fill(0, torch.tensor([2]), 3)  # one of four has a single member
    return a, z, torch.rand(N, dtype=F64) + 0.5, rules, clusters


def losses(estimator, a, z, scale, rule):
    """Both forms, as sums with weights of their own."""
    there, back = estimator.log_z_both(a, z, scale=scale, rule=rule)
    alone = estimator.log_z(a, a, scale=scale, rule=rule)
    itself = estimator.log_z(a, a, scale=scale[:1], rule=rule)  # one scale: each pair is met once where the rule allows it
    weight = torch.arange(1.0, N + 1, dtype=F64)
    return (there * weight).sum() + (back.exp() * weight).mean() + (alone * weight.flip(0)).sum() + (itself * weight).mean()


def estimate():
    ranks, found = Ranks.of(), {}
    a, z, scale, rules, clusters = everything()
    for name, rule in rules.items():
        leaves = [tensor.clone().requires_grad_() for tensor in (a, z, scale)]
        value = losses(SplitExact(ranks), *leaves, rule)
        found[name] = value.detach(), torch.autograd.grad(value, leaves)
    few = a[:1].clone().requires_grad_()  # fewer anchors than ranks: everybody does all
    value = SplitExact(ranks).log_z(few, z, scale=1.0, rule=Rule()).sum()
    found["few"] = value.detach(), torch.autograd.grad(value, few)
    mine = [part[ranks.rank] for part in (torch.split(tensor, [5, 8]) for tensor in (a, z, clusters))]
    for order in ("mean", "isotropic"):
        for exclude in (None, torch.arange(len(mine[0]))):
            leaves = [tensor.clone().requires_grad_() for tensor in mine[:2]]
            estimator = ShardedMetaNode(mine[2], K + 1, ranks, order=order)
            out = estimator.log_z(*leaves, scale=0.9, rule=Rule(exclude=exclude))
            found[order, exclude is None] = out.detach(), torch.autograd.grad(out.sum(), leaves)
    return found


@pytest.fixture(scope="module")
def found(on_ranks):
    return on_ranks(__file__, "estimate", 2)


@pytest.mark.parametrize("name", ["plain", "ids", "names", "parts"])
def test_split_anchors_give_every_rank_the_loss_and_on_average_its_gradients(found, name):
    a, z, scale, rules, _ = everything()
    leaves = [tensor.clone().requires_grad_() for tensor in (a, z, scale)]
    want = losses(Exact(), *leaves, rules[name])
    for one in found:
        torch.testing.assert_close(one[name][0], want.detach())
    for at, gradient in enumerate(torch.autograd.grad(want, leaves)):
        torch.testing.assert_close(sum(one[name][1][at] for one in found) / 2, gradient)


def test_fewer_anchors_than_ranks_are_met_by_everybody(found):
    a, z, *_ = everything()
    few = a[:1].clone().requires_grad_()
    want = Exact().log_z(few, z, scale=1.0, rule=Rule()).sum()
    for one in found:
        torch.testing.assert_close(one["few"], (want.detach(), torch.autograd.grad(want, few, retain_graph=True)))


@pytest.mark.parametrize("order", ["mean", "isotropic"])
@pytest.mark.parametrize("whole", [False, True])
def test_sums_of_clusters_over_ranks_are_those_of_all_candidates(found, order, whole):
    a, z, _, _, clusters = everything()
    leaves = [tensor.clone().requires_grad_() for tensor in (a, z)]
    rule = Rule(exclude=None if whole else torch.arange(N))
    want = MetaNode(clusters, K + 1, order=order).log_z(*leaves, scale=0.9, rule=rule)
    torch.testing.assert_close(torch.cat([one[order, whole][0] for one in found]), want.detach())
    for at, gradient in enumerate(torch.autograd.grad(want.sum(), leaves)):
        torch.testing.assert_close(torch.cat([one[order, whole][1][at] for one in found]), gradient)


def test_meta_nodes_that_are_no_plain_sums_are_refused():
    ranks, clusters = Ranks(0, 2), torch.zeros(3, dtype=torch.int64)
    with pytest.raises(InputError, match=r"one cluster for each candidate.*got order='full'"):
        ShardedMetaNode(clusters, 2, ranks, order="full")
    with pytest.raises(InputError, match=r"an assignment of torch\.float32"):
        ShardedMetaNode(torch.ones(3, 2), 2, ranks)
    rows = torch.zeros(3, 2)
    with pytest.raises(InputError, match="names \\(3,\\) candidates but this rank has 2"):
        ShardedMetaNode(clusters, 2, ranks).log_z(rows, rows[:2], scale=1.0, rule=Rule())
    with pytest.raises(InputError, match="by exclude, and nothing else"):
        ShardedMetaNode(clusters, 2, ranks).log_z(rows, rows, scale=1.0, rule=Rule(different=(clusters, clusters)))
