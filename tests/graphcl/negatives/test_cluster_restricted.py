import pytest
import torch
import torch.nn.functional as F

from graphcl.errors import InputError
from graphcl.kernels import Rule
from graphcl.negatives import HCL, ClusterRestricted, Exact

F64 = torch.float64


def unit(n, d, seed=0):
    torch.manual_seed(seed)
    return F.normalize(torch.randn(n, d, dtype=F64), dim=1)


def by_hand(a, z, scale, allowed):
    return (scale * a @ z.T).masked_fill(~allowed, -torch.inf).logsumexp(1)


@pytest.mark.parametrize("stages", [1, 2])
def test_it_is_the_sum_over_the_own_cluster_with_gradients(stages):
    a, z = unit(12, 3).requires_grad_(), unit(12, 3, 1).requires_grad_()
    clusters = torch.stack([torch.arange(12) % 2, torch.arange(12) // 6], 1)[:, :stages]
    allowed = (clusters[:, None] == clusters).all(2) & ~torch.eye(12, dtype=torch.bool)
    out = ClusterRestricted(clusters.squeeze(1)).log_z(a, z, scale=2.0, rule=Rule(torch.arange(12)))
    want = by_hand(a, z, 2.0, allowed)
    torch.testing.assert_close(out, want)
    torch.testing.assert_close(torch.autograd.grad(out.sum(), (a, z)), torch.autograd.grad(want.sum(), (a, z)))


def test_it_holds_together_with_all_parts_of_the_rule():
    a, z = unit(12, 3), unit(12, 3, 1)
    clusters, same, labels = torch.arange(12) % 2, torch.arange(12) // 6, torch.arange(12) % 5
    rule = Rule(torch.arange(12), same=(same, same.flip(0)), different=(labels, labels))
    allowed = (clusters[:, None] == clusters) & (same[:, None] == same.flip(0)) & (labels[:, None] != labels)
    out = ClusterRestricted(clusters).log_z(a, z, scale=2.0, rule=rule)
    torch.testing.assert_close(out, by_hand(a, z, 2.0, allowed))
    assert rule.same[0] is same


def test_one_cluster_restricts_nothing_and_more_never_give_more():
    a, z, rule = unit(8, 3), unit(8, 3, 1), Rule(torch.arange(8))
    exact = Exact().log_z(a, z, scale=2.0, rule=rule)
    assert torch.equal(ClusterRestricted(torch.zeros(8, dtype=torch.int64)).log_z(a, z, scale=2.0, rule=rule), exact)
    assert (ClusterRestricted(torch.arange(8) % 2).log_z(a, z, scale=2.0, rule=rule) < exact).all()


def test_another_estimator_may_be_inside():
    z, clusters = unit(8, 3), torch.arange(8) // 4
    out = ClusterRestricted(clusters, HCL(1.0)).log_z(z, z, scale=2.0, rule=Rule())
    half = torch.cat([HCL(1.0).log_z(part, part, scale=2.0, rule=Rule()) for part in (z[:4], z[4:])])
    torch.testing.assert_close(out, half)


def test_an_anchor_alone_has_minus_infinity_and_no_gradient():
    z = unit(3, 3).requires_grad_()
    out = ClusterRestricted(torch.tensor([0, 0, 1])).log_z(z, z, scale=1.0, rule=Rule(torch.arange(3)))
    assert torch.isneginf(out).tolist() == [False, False, True]
    grad = torch.autograd.grad(out.sum(), z)[0]
    assert grad.isfinite().all()
    assert torch.count_nonzero(grad[2]) == 0


@pytest.mark.parametrize("assignment", [torch.ones(3), torch.ones(1, 2, 3, dtype=torch.int64)])
def test_an_assignment_that_is_none_is_named(assignment):
    with pytest.raises(InputError, match=r"assignment must be integers \(N,\) or \(N, T\).*\.argmax\(1\)"):
        ClusterRestricted(assignment)


def test_an_assignment_of_another_batch_is_named():
    with pytest.raises(InputError, match=r"clusters of 5 nodes but there are 4 anchors and 4 candidates"):
        ClusterRestricted(torch.arange(5)).log_z(unit(4, 2), unit(4, 2), scale=1.0, rule=Rule())


def test_it_prints_what_is_inside():
    assert repr(ClusterRestricted(torch.arange(3))) == "ClusterRestricted(Exact())"
