import math

import pytest
import torch
import torch.nn.functional as F

from graphcl.errors import InputError
from graphcl.kernels import Rule
from graphcl.losses import coupled
from graphcl.negatives import HCL, ClusterRestricted, ColumnBias, Debiased, Exact, HardTopK, Meow, Queue

F64 = torch.float64
A = F.normalize(torch.tensor([[1, 0, 0], [1, 1, 0], [0, 1, 1], [1, 1, 1]], dtype=F64), dim=1)
B = F.normalize(torch.tensor([[2, 1, 0], [1, 2, 0], [0, 1, 2], [1, 1, 2]], dtype=F64), dim=1)


def unit(n, d, seed=0):
    torch.manual_seed(seed)
    return F.normalize(torch.randn(n, d, dtype=F64), dim=1)


def two_views(a, b):
    """Candidates of the other view and of the own, and the rule that names the positive and leaves out the anchor."""
    ids = torch.arange(len(a))
    return torch.cat([b, a]), Rule(ids, different=(ids, torch.cat([ids, ids])))


def by_hand(a, z, scale, prior, positive, keep, beta=0.0, floor=-1.0):
    """Plain exponentials."""
    logits = scale * a @ z.T
    weights = keep.double()
    count = weights.sum(1)
    hard = (weights * (beta * logits).exp()).sum(1)
    total = count * (weights * ((1 + beta) * logits).exp()).sum(1) / hard
    false = count * prior * logits.gather(1, positive[:, None]).squeeze(1).exp()
    return torch.maximum((total - false) / (1 - prior), count * math.exp(scale * floor)).log()


@pytest.mark.parametrize(("inside", "golden"), [(None, 1.3636620832), (HCL(1.0), 1.5220732894)])
def test_golden_values_of_both_views_and_directions(inside, golden):
    losses = []
    for a, b in ((A, B), (B, A)):
        candidates, rule = two_views(a, b)
        log_z = Debiased(0.1, inside).log_z(a, candidates, scale=2.0, rule=rule)
        losses.append(coupled(2.0 * (a * b).sum(1), log_z).mean())
    assert (sum(losses) / 2).item() == pytest.approx(golden, abs=1e-9)


@pytest.mark.parametrize("beta", [0.0, 1.5])
@pytest.mark.parametrize("prior", [0.05, torch.tensor([0.0, 0.02, 0.1, 0.3, 0.2, 0.9, 0.01], dtype=F64)])
def test_it_is_the_formula_with_its_gradients(beta, prior):
    a, z = unit(7, 3).requires_grad_(), unit(9, 3, 1).requires_grad_()
    positive = torch.tensor([8, 0, 3, 3, 1, 2, 5])
    keep = torch.ones(7, 9, dtype=torch.bool).scatter(1, positive[:, None], False)
    out = Debiased(prior, HCL(beta)).log_z(a, z, scale=2.0, rule=Rule(positive))
    want = by_hand(a, z, 2.0, prior, positive, keep, beta)
    torch.testing.assert_close(out, want)
    torch.testing.assert_close(torch.autograd.grad(out.sum(), (a, z)), torch.autograd.grad(want.sum(), (a, z)))


def test_every_anchor_counts_its_own_negatives():
    a, z, ids = unit(5, 3), unit(5, 3, 1), torch.tensor([0, 0, 0, 1, 2])
    keep = ids[:, None] != ids
    out = Debiased(0.02).log_z(a, z, scale=2.0, rule=Rule(torch.arange(5), different=(ids, ids)))
    torch.testing.assert_close(out, by_hand(a, z, 2.0, 0.02, torch.arange(5), keep))


@pytest.mark.parametrize("inside", [Exact(), HCL(2.0), HardTopK(2)])
def test_without_false_negatives_it_is_the_estimator_inside_with_a_finite_gradient(inside):
    a, z, rule = unit(6, 3).requires_grad_(), unit(6, 3, 1), Rule(torch.arange(6))
    out, want = (e.log_z(a, z, scale=2.0, rule=rule) for e in (Debiased(0.0, inside), inside))
    torch.testing.assert_close(out, want)
    torch.testing.assert_close(torch.autograd.grad(out.sum(), a), torch.autograd.grad(want.sum(), a))


def test_what_is_clamped_has_the_floor_and_no_gradient_at_all():
    a = torch.tensor([[1.0, 0.0], [0.0, 1.0]], dtype=F64, requires_grad=True)
    z = torch.tensor([[1.0, 0.0], [-1.0, 0.0]], dtype=F64, requires_grad=True)
    # The negative of anchor 0 points away from it, the positive is itself; anchor 1 is far from its clamp.
    out = Debiased(0.3).log_z(a, z, scale=2.0, rule=Rule(torch.tensor([0, 1])))
    assert out[0].item() == pytest.approx(-2.0)
    assert out[1].item() == pytest.approx(0.0)
    for grad in torch.autograd.grad(out[0], (a, z), retain_graph=True):
        assert torch.count_nonzero(grad) == 0
    assert torch.count_nonzero(torch.autograd.grad(out[1], a)[0])
    none = Debiased(0.3, floor=None).log_z(a, z, scale=2.0, rule=Rule(torch.tensor([0, 1])))
    assert none[0].item() == -torch.inf
    assert all(g.isfinite().all() for g in torch.autograd.grad(none.sum(), (a, z)))


def test_equality_of_sum_and_share_is_clamped_without_a_gradient_that_is_not_a_number():
    a, z = torch.ones(1, 1, dtype=F64, requires_grad=True), torch.tensor([[1.0], [1.0], [-1e4]], dtype=F64)
    out = Debiased(0.5, floor=None).log_z(a, z, scale=2.0, rule=Rule(torch.tensor([0])))
    assert out.tolist() == [-torch.inf]
    assert torch.autograd.grad(out.sum(), a)[0].isfinite().all()


def test_gradients_of_everything_that_has_one():
    a, z, scale = unit(5, 3).requires_grad_(), unit(5, 3, 1).requires_grad_(), torch.tensor(1.3, dtype=F64, requires_grad=True)
    rule = Rule(torch.arange(5))
    assert torch.autograd.gradcheck(lambda *x: Debiased(0.05).log_z(x[0], x[1], scale=x[2], rule=rule), (a, z, scale))


def test_large_logits_stay_finite_in_single_precision():
    a, z = (40 * unit(6, 3, s).float() for s in (0, 1))
    out = Debiased(0.1, floor=None).log_z(a, z, scale=50.0, rule=Rule(torch.arange(6)))
    assert not out.isnan().any()
    assert out.isfinite().any()


def test_a_queue_is_counted_by_its_keys():
    queue, keys, a, z = Queue(6, 3), unit(4, 3, 5), unit(3, 3).float(), unit(3, 3, 1).float()
    queue.update(keys, torch.tensor([0, 7, 8, 9]))
    ids = torch.arange(3)
    rule = Rule(torch.arange(3), different=(ids, ids))
    logits = 2.0 * a @ keys.float().T
    logits[0, 0] = -torch.inf
    count = torch.tensor([3.0, 4, 4])
    want = ((logits.exp().sum(1) - count * 0.01 * (2.0 * (a * z).sum(1)).exp()) / 0.99).log()
    torch.testing.assert_close(Debiased(0.01, queue).log_z(a, z, scale=2.0, rule=rule), want)


def test_the_cluster_of_the_anchor_may_be_chosen_inside_or_outside():
    z, clusters, rule = unit(6, 3), torch.tensor([0, 0, 0, 1, 1, 1]), Rule(torch.tensor([1, 2, 0, 4, 5, 3]))
    inside = Debiased(0.05, ClusterRestricted(clusters)).log_z(z, z, scale=2.0, rule=rule)
    outside = ClusterRestricted(clusters, Debiased(0.05)).log_z(z, z, scale=2.0, rule=rule)
    torch.testing.assert_close(inside, outside)
    kept = (clusters[:, None] == clusters) & (rule.exclude[:, None] != torch.arange(6))
    torch.testing.assert_close(inside, by_hand(z, z, 2.0, 0.05, rule.exclude, kept))


def test_weights_of_clusterings_are_counted():
    z, clusterings, rule = unit(4, 3), torch.tensor([[0, 0], [1, 1], [0, 1], [1, 0]]), Rule(torch.arange(4).roll(1))
    weights = (clusterings[:, None] != clusterings).sum(2).double()
    weights[torch.arange(4), rule.exclude] = 0
    logits = 2.0 * z @ z.T
    share = 0.01 * weights.sum(1) * logits[torch.arange(4), rule.exclude].exp()
    want = (((weights * logits.exp()).sum(1) - share) / 0.99).log()
    torch.testing.assert_close(Debiased(0.01, Meow(clusterings)).log_z(z, z, scale=2.0, rule=rule), want)


def test_it_and_what_holds_it_say_what_they_read():
    clusters = torch.zeros(3, dtype=torch.int64)
    assert Debiased().reads_positive
    assert not Debiased().reads_ids
    assert Debiased(0.1, Queue(3, 3)).reads_ids
    for outer in (ClusterRestricted(clusters, Debiased()), ColumnBias(torch.ones(3), Debiased(), correct_positive=False)):
        assert outer.reads_positive
        assert not outer.reads_ids
    assert not ClusterRestricted(clusters).reads_positive
    assert ClusterRestricted(clusters, Queue(3, 3)).reads_ids


@pytest.mark.parametrize("prior", [-0.1, 1.0, math.nan, torch.tensor([0.1, 1.5])])
def test_a_prior_that_is_none_is_named(prior):
    with pytest.raises(InputError, match=r"prior must be a probability in \[0, 1\).*got .*1 / C"):
        Debiased(prior)


def test_what_does_not_go_together_is_named():
    with pytest.raises(InputError, match=r"write ColumnBias\(bias, Debiased\(prior\)\)"):
        Debiased(0.1, ColumnBias(torch.ones(3)))
    with pytest.raises(InputError, match="floor must be a finite similarity"):
        Debiased(floor=math.nan)
    with pytest.raises(InputError, match=r"speaks of 3 anchors but there are 4: was it made for another batch\?"):
        Debiased(torch.full((3,), 0.1)).log_z(A, B, scale=1.0, rule=Rule(torch.arange(4)))
    with pytest.raises(InputError, match="the positive of each anchor must be named"):
        Debiased().log_z(A, B, scale=1.0, rule=Rule())


def test_it_prints_its_prior_and_what_is_inside():
    assert repr(Debiased(0.1, HCL(0.5))) == "Debiased(0.1, HCL(beta=0.5))"
    assert repr(Debiased(torch.tensor([0.1]))) == "Debiased(by anchor, Exact())"
