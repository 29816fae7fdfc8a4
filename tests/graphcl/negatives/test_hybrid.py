import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from graphcl.errors import InputError
from graphcl.kernels import Columns, Rule, pair_lse
from graphcl.kernels.pair_reference import pair_logits_reference
from graphcl.losses import PairLoss
from graphcl.losses.links import decoupled
from graphcl.negatives import Exact, MetaNode
from graphcl.negatives.hybrid import Certificate, Hybrid

F64 = torch.float64


def points(n, k, d=16, variance=0.1, seed=0, dtype=F64):
    """Two views of unit rows around ``k`` directions, with the variance within a cluster; and the clusters."""
    generator = torch.Generator().manual_seed(seed)
    centres = F.normalize(torch.randn(k, d, dtype=F64, generator=generator), dim=1)
    cluster = torch.randint(k, (n,), generator=generator)
    noise = [math.sqrt(variance / d) * torch.randn(n, d, dtype=F64, generator=generator) for _ in range(2)]
    one, two = (F.normalize(centres[cluster] + part, dim=1).to(dtype) for part in noise)
    return one, two, cluster


def dense(a, z, scale, rule):
    return pair_logits_reference(a.double(), Columns(z.double()), scale=scale, rule=rule).logsumexp(1)


def estimate(a, z, cluster, k, tolerance, scale, rule):
    hybrid = Hybrid(cluster, k, tolerance=tolerance, fallback=False)
    out = hybrid.log_z(a, z, scale=scale, rule=rule)
    assert hybrid.certificate is not None
    return out, hybrid.certificate


@pytest.mark.parametrize("temperature", [0.1, 0.2, 0.5])
@pytest.mark.parametrize("tolerance", [0.0, 0.001, 0.01, 0.1, math.inf])
@pytest.mark.parametrize("variance", [0.02, 0.4, 50.0])  # the last is no cluster at all
def test_the_error_is_within_the_certificate_and_that_within_the_tolerance(temperature, tolerance, variance):
    a, z, cluster = points(300, 12, variance=variance)
    rule = Rule(torch.arange(300))
    out, certificate = estimate(a, z, cluster, 12, tolerance, 1 / temperature, rule)
    error = dense(a, z, 1 / temperature, rule) - out
    assert (error >= -1e-9).all()
    assert (error <= certificate.errors + 1e-9).all()
    assert certificate.largest <= tolerance * (1 + 1e-9)
    assert certificate.exact == (tolerance == 0)


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(1, 20),
    m=st.integers(2, 30),
    k=st.integers(1, 8),
    tolerance=st.floats(1e-4, 3),
    scale=st.floats(0.1, 50),
    parts=st.sets(st.sampled_from(["exclude", "different", "seen"])),
    seed=st.integers(0, 2**16),
)
def test_the_certificate_holds_under_any_rule_scale_and_length_of_rows(n, m, k, tolerance, scale, parts, seed):
    torch.manual_seed(seed)
    a, z, cluster = torch.randn(n, 4, dtype=F64), torch.randn(m, 4, dtype=F64), torch.randint(k, (m,))
    crow = torch.cat([torch.zeros(1, dtype=torch.int64), torch.randint(3, (n,)).cumsum(0)])
    whole = {
        "exclude": torch.randint(-1, m + 1, (n,)),
        "different": (torch.randint(3, (n,)), torch.randint(5, (m,))),
        "seen": (crow, torch.randint(m, (int(crow[-1]),))),
    }
    rule = Rule(**{part: whole[part] for part in parts})
    scales = scale * (0.1 + torch.rand(n, dtype=F64))
    out, certificate = estimate(a, z, cluster, k, tolerance, scales, rule)
    exact = dense(a, z, scales, rule)
    error = torch.where(exact == out, 0.0, exact - out)  # where nothing is left, both are -inf
    assert (error >= -1e-9).all()
    assert (error <= certificate.errors + 1e-9).all()
    assert certificate.largest <= tolerance * (1 + 1e-9)


@pytest.mark.parametrize("tolerance", [0.01, 0.1])
def test_in_single_precision_only_rounding_comes_on_top(tolerance):
    a, z, cluster = points(400, 10, dtype=torch.float32)
    rule = Rule(torch.arange(400))
    out, certificate = estimate(a, z, cluster, 10, tolerance, 5.0, rule)
    error = dense(a, z, 5.0, rule) - out
    assert out.dtype == torch.float32
    assert (error >= -3e-6).all()
    assert (error <= certificate.errors + 3e-6).all()
    assert certificate.near < 0.5


@pytest.mark.parametrize("fallback", [True, False])
def test_tolerance_0_is_exact(fallback):
    a, z, cluster = points(50, 5)
    rule = Rule(torch.arange(50))
    hybrid = Hybrid(cluster, 5, tolerance=0, fallback=fallback)
    out = hybrid.log_z(a, z, scale=2.0, rule=rule)
    assert torch.equal(out, Exact().log_z(a, z, scale=2.0, rule=rule))
    assert str(hybrid.certificate) == "exact: tolerance 0 was asked for"
    assert hybrid.certificate.largest == 0


@pytest.mark.parametrize("excluding", [False, True])
def test_singletons_and_clusters_whose_members_agree_are_exact(excluding):
    a, z, _ = points(30, 3)
    rule = Rule(torch.arange(30)) if excluding else Rule()
    together = torch.arange(30) % 4
    for candidates, cluster, k in ((z, torch.randperm(30), 30), (z[:4][together], together, 4)):
        out, certificate = estimate(a, candidates, cluster, k, 0.1, 9.0, rule)
        torch.testing.assert_close(out, dense(a, candidates, 9.0, rule))
        assert certificate.largest < 1e-9
        if not excluding:
            assert certificate.near == 0


def test_without_near_clusters_it_is_the_mean_proxy_and_its_certificate_bounds_that():
    a, z, cluster = points(60, 6)
    out, certificate = estimate(a, z, cluster, 6, math.inf, 2.0, Rule())
    torch.testing.assert_close(out, MetaNode(cluster, 6).log_z(a, z, scale=2.0, rule=Rule()))
    assert certificate.near == 0
    assert (dense(a, z, 2.0, Rule()) - out <= certificate.errors).all()
    assert certificate.largest < 0.5


def test_a_smaller_tolerance_brings_more_near():
    a, z, cluster = points(200, 20, variance=0.2)
    shares = [estimate(a, z, cluster, 20, t, 5.0, Rule())[1].near for t in (1.0, 0.1, 0.01, 0.001)]
    assert shares == sorted(shares)
    assert shares[0] < 0.1 < 0.6 < shares[-1]


def test_gradients_are_those_of_the_formula_with_near_and_far_fixed():
    a, z, cluster = points(9, 4, d=3, variance=0.3)
    rule = Rule(torch.arange(9))
    scale = torch.full((9,), 3.0, dtype=F64)
    inputs = tuple(t.requires_grad_() for t in (a, z, scale))
    hybrid = Hybrid(cluster, 4, tolerance=0.3, fallback=False)
    out = hybrid.log_z(*inputs[:2], scale=scale, rule=rule)
    assert 0 < hybrid.certificate.near < 0.9
    assert (dense(a, z, 3.0, rule) - out > 1e-4).any()
    assert torch.autograd.gradcheck(lambda a, z, s: hybrid.log_z(a, z, scale=s, rule=rule), inputs)
    shared = points(9, 4, d=3, variance=0.3)[0].requires_grad_()
    assert torch.autograd.gradcheck(lambda z: hybrid.log_z(z, z, scale=3.0, rule=rule), (shared,))


def test_an_anchor_that_leaves_out_everything_has_minus_infinity_and_no_gradient():
    a, z, cluster = points(6, 2)
    a.requires_grad_()
    z.requires_grad_()
    different = (torch.tensor([0, 1, 1, 1, 1, 1]), torch.zeros(6, dtype=torch.int64))
    out, certificate = estimate(a, z, cluster, 2, 0.5, 2.0, Rule(different=different))
    assert out[0] == -torch.inf
    assert certificate.errors[0] == 0
    gradients = torch.autograd.grad(out[1:].sum(), (a, z))
    assert all(gradient.isfinite().all() for gradient in gradients)
    assert not gradients[0][0].any()


def test_empty_clusters_names_of_clusters_and_order_of_candidates_do_not_matter():
    a, z, cluster = points(40, 4)
    out, _ = estimate(a, z, cluster, 4, 0.05, 4.0, Rule(torch.arange(40)))
    renamed = torch.tensor([7, 2, 9, 4])[cluster]
    torch.testing.assert_close(estimate(a, z, renamed, 11, 0.05, 4.0, Rule(torch.arange(40)))[0], out)
    order = torch.randperm(40)
    place = torch.empty_like(order).index_copy(0, order, torch.arange(40))
    torch.testing.assert_close(estimate(a, z[order], cluster[order], 4, 0.05, 4.0, Rule(place))[0], out)


def test_two_calls_give_the_same_bits():
    a, z, cluster = points(100, 8, dtype=torch.float32)
    results = []
    for _ in range(2):
        leaves = a.clone().requires_grad_(), z.clone().requires_grad_()
        out, _ = estimate(*leaves, cluster, 8, 0.05, 5.0, Rule(torch.arange(100)))
        results.append((out, *torch.autograd.grad(out.sum(), leaves)))
    assert all(torch.equal(one, other) for one, other in zip(*results, strict=True))


def test_no_anchor_and_ids_of_another_width_are_no_special_case():
    a, z, cluster = points(20, 3)
    for fallback in (True, False):
        assert Hybrid(cluster, 3, fallback=fallback).log_z(a[:0], z, scale=1.0, rule=Rule()).shape == (0,)
    rule = Rule(torch.arange(20, dtype=torch.int32), different=(torch.arange(20, dtype=torch.int32), torch.arange(20) % 7))
    out, certificate = estimate(a, z, cluster, 3, 0.3, 2.0, rule)
    error = dense(a, z, 2.0, rule) - out
    assert (error >= -1e-9).all()
    assert (error <= certificate.errors + 1e-9).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_single(dtype):
    a, z, cluster = points(60, 6, dtype=dtype)
    a.requires_grad_()
    out, certificate = estimate(a, z, cluster, 6, 0.05, 3.0, Rule())
    assert out.dtype == certificate.errors.dtype == torch.float32
    error = dense(a, z, 3.0, Rule()) - out
    assert (error.abs() <= 0.05).all()
    assert torch.autograd.grad(out.sum(), a)[0].dtype == dtype


def test_where_bounds_are_loose_it_meets_all_pairs_and_says_so():
    a, z, cluster = points(2000, 20, variance=0.41, d=8, dtype=torch.float32)
    rule = Rule(torch.arange(2000))
    hybrid = Hybrid(cluster, 20, tolerance=0.001)
    out = hybrid.log_z(a.requires_grad_(), z, scale=10.0, rule=rule)
    assert torch.equal(out, pair_lse(a, Columns(z), scale=10.0, rule=rule))
    assert hybrid.certificate.exact
    assert hybrid.certificate.cost > 1
    assert hybrid.certificate.largest == 0
    assert str(hybrid.certificate).startswith("exact is cheaper here and was taken: tolerance 0.001 would cost")


def test_labels_that_leave_out_much_and_clusters_without_number_go_to_exact_at_once():
    a, z, cluster = points(3000, 10, dtype=torch.float32)
    labels = torch.arange(3000) % 2
    rule = Rule(different=(labels, labels))
    for hybrid in (Hybrid(cluster, 10, tolerance=1.0), Hybrid(torch.arange(3000), 3000, tolerance=1.0)):
        out = hybrid.log_z(a, z, scale=2.0, rule=rule)
        assert hybrid.certificate.exact
        assert torch.equal(out, pair_lse(a, Columns(z), scale=2.0, rule=rule))


def test_where_bounds_are_tight_it_stays_hybrid_and_says_what_it_costs():
    a, z, cluster = points(6000, 40, variance=0.02, dtype=torch.float32)
    hybrid = Hybrid(cluster, 40, tolerance=0.05)
    a.requires_grad_()
    hybrid.log_z(a, z, scale=2.0, rule=Rule(torch.arange(6000)))
    certificate = hybrid.certificate
    assert not certificate.exact
    assert certificate.near < 0.03
    assert certificate.cost < 0.25
    assert "tolerance 0.05); 2." in str(certificate)


def test_the_certificate_reads_as_a_sentence():
    certificate = Certificate(0.01, torch.tensor([0.004, 0.008]), 0.004, 0.05, exact=False)
    assert str(certificate) == (
        "log-partitions are too low by at most 0.008 (mean bound 0.006, tolerance 0.01); 0.4% of the pairs met one by one, "
        "about 0.05 of the cost of the exact sweep"
    )


@pytest.mark.parametrize("intra", [False, True, "only"])
@pytest.mark.parametrize("named", [False, True])
def test_a_loss_with_it_is_within_the_tolerance_of_the_exact_loss(intra, named):
    z1, z2, cluster = points(80, 5, variance=0.1)
    ids = torch.arange(80) // 2 if named else None
    negatives = Hybrid(torch.cat([cluster, cluster]) if intra is True else cluster, 5, tolerance=0.05, fallback=False)
    losses, gradients = [], []
    for estimator in (negatives, Exact()):
        leaves = z1.clone().requires_grad_(), z2.clone().requires_grad_()
        loss = PairLoss(decoupled, negatives=estimator, temperature=0.5, intra=intra)(*leaves, ids=ids)
        losses.append(loss.item())
        gradients.append(torch.cat(torch.autograd.grad(loss, leaves)))
    assert 0 < losses[1] - losses[0] <= 0.05
    assert F.cosine_similarity(*gradients, dim=1).min() > 0.98
    assert negatives.certificate.near < 0.9


def test_what_it_cannot_do_is_named():
    a, z, cluster = points(10, 3)
    with pytest.raises(InputError, match=r"tolerance must be >= 0.*; got -0.1"):
        Hybrid(cluster, 3, tolerance=-0.1)
    with pytest.raises(InputError, match="tolerance must be >= 0"):
        Hybrid(cluster, 3, tolerance=math.nan)
    with pytest.raises(InputError, match=r"Soft assignments have no bound: take .argmax\(1\), or use MetaNode"):
        Hybrid(torch.rand(10, 3), 3)
    with pytest.raises(InputError, match=r"clusters must lie in 0 .. 1; got 0 .. 2"):
        Hybrid(torch.tensor([0, 2, 1]), 2)
    with pytest.raises(InputError, match=r"clusters must lie in 0 .. 2; got -1 .. 1"):
        Hybrid(torch.tensor([0, -1, 1]), 3)
    hybrid = Hybrid(cluster, 3)
    with pytest.raises(InputError, match=r"names 10 candidates but there are 20: .* With intra=True the cand"):
        hybrid.log_z(a, torch.cat([z, z]), scale=1.0, rule=Rule())
    with pytest.raises(InputError, match="a hybrid knows the rule parts exclude, different and seen"):
        hybrid.log_z(a, z, scale=1.0, rule=Rule(same=(cluster, cluster)))
    with pytest.raises(InputError, match="a hybrid knows the rule parts"):
        hybrid.log_z(a, z, scale=1.0, rule=Rule(clusters=(cluster[:, None], cluster[:, None])))
    with pytest.raises(InputError, match=r"one for each anchor, \(10,\); got a tensor of shape \(4,\)"):
        hybrid.log_z(a, z, scale=torch.ones(4), rule=Rule())
    with pytest.raises(InputError, match="must share D"):
        hybrid.log_z(a[:, :3], z, scale=1.0, rule=Rule())
    a[3, 1] = torch.nan
    with pytest.raises(InputError, match="anchors or candidates have values that are not finite"):
        Hybrid(cluster, 3, fallback=False).log_z(a, z, scale=1.0, rule=Rule())
    assert repr(hybrid) == "Hybrid(num_clusters=3, tolerance=0.01)"


def test_a_set_with_itself_costs_the_exact_sweep_half_and_the_estimate_knows_it():
    torch.manual_seed(0)
    z = torch.nn.functional.normalize(torch.randn(300, 4), dim=1)
    costs = []
    for candidates in (z.clone(), z):
        hybrid = Hybrid(torch.arange(300) // 30, 10, tolerance=0.1, fallback=False)
        hybrid.log_z(z, candidates, scale=2.0, rule=Rule(exclude=torch.arange(300)))
        costs.append(hybrid.certificate.cost)
    assert costs[1] == pytest.approx(2 * costs[0])
