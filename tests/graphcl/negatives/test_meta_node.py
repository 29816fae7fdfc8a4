import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from graphcl.errors import InputError
from graphcl.kernels import Columns, Rule, pair_lse
from graphcl.negatives import Exact, MetaNode

F64 = torch.float64
# Golden vectors: log-partition of the first row of A over B, rows of unit length, temperature 0.5.
A = F.normalize(torch.tensor([[1, 0, 0], [1, 1, 0], [0, 1, 1], [1, 1, 1]], dtype=F64), dim=1)
B = F.normalize(torch.tensor([[2, 1, 0], [1, 2, 0], [0, 1, 2], [1, 1, 2]], dtype=F64), dim=1)


def unit(n, d, seed=0):
    torch.manual_seed(seed)
    return F.normalize(torch.randn(n, d, dtype=F64), dim=1)


def by_hand(a, z, assignment, scale, exclude=None):
    """Sum over clusters with the means recomputed from the members that each anchor has."""
    rows = []
    for i in range(len(a)):
        keep = torch.ones(len(z), dtype=torch.bool)
        if exclude is not None:
            keep[exclude[i]] = False
        terms = []
        for cluster in assignment.unique():
            members = z[keep & (assignment == cluster)]
            if len(members):
                terms.append(scale * (a[i] @ members.mean(0)) + math.log(len(members)))
        rows.append(torch.stack(terms).logsumexp(0))
    return torch.stack(rows)


def test_golden_value_of_the_mean_proxy_and_of_the_exact_sum():
    proxy = MetaNode(torch.tensor([0, 0, 1, 1]), 2).log_z(A[:1], B, scale=2.0, rule=Rule())
    assert proxy.item() == pytest.approx(2.3664037562, abs=1e-9)
    assert Exact().log_z(A[:1], B, scale=2.0, rule=Rule()).item() == pytest.approx(2.4588268720, abs=1e-9)


@pytest.mark.parametrize(("n", "m", "d", "k"), [(1, 1, 1, 1), (7, 5, 3, 2), (13, 31, 4, 5)])
def test_it_is_the_formula_over_sizes_and_means(n, m, d, k):
    a, z = unit(n, d), unit(m, d, seed=1)
    assignment = torch.randint(k, (m,))
    out = MetaNode(assignment, k).log_z(a, z, scale=1.7, rule=Rule())
    torch.testing.assert_close(out, by_hand(a, z, assignment, 1.7))


@pytest.mark.parametrize("scale", [0.5, 2.0, 20.0])
def test_it_is_exact_when_all_members_of_each_cluster_agree(scale):
    assignment = torch.tensor([0, 2, 2, 1, 0, 2, 1, 2, 0, 1, 2])
    z = unit(3, 4)[assignment]
    for rule in (Rule(), Rule(torch.arange(11))):
        out = MetaNode(assignment, 3).log_z(z, z, scale=scale, rule=rule)
        torch.testing.assert_close(out, Exact().log_z(z, z, scale=scale, rule=rule))


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(2, 25),
    d=st.integers(1, 6),
    k=st.integers(1, 6),
    scale=st.floats(0.1, 10),
    excluding=st.booleans(),
    seed=st.integers(0, 2**16),
)
def test_it_never_exceeds_the_exact_value_and_misses_it_by_no_more_than_hoeffding_allows(n, d, k, scale, excluding, seed):
    z, a = unit(n, d, seed), unit(n, d, seed + 1)
    assignment = torch.randint(k, (n,))
    rule = Rule(torch.arange(n)) if excluding else Rule()
    gap = Exact().log_z(a, z, scale=scale, rule=rule) - MetaNode(assignment, k).log_z(a, z, scale=scale, rule=rule)
    assert (gap >= -1e-10).all()
    similarity = a @ z.T
    spread = [similarity[:, assignment == c].aminmax(dim=1) for c in assignment.unique()]
    widest = torch.stack([extremes.max - extremes.min for extremes in spread]).amax(0)
    assert (gap <= scale**2 * widest**2 / 8 + 1e-10).all()


@pytest.mark.parametrize("n", [1, 2, 7])
def test_a_cluster_for_every_node_is_exact_for_any_data(n):
    a, z = unit(n, 3), unit(n, 3, seed=1)
    out = MetaNode(torch.randperm(n), n).log_z(a, z, scale=5.0, rule=Rule())
    torch.testing.assert_close(out, Exact().log_z(a, z, scale=5.0, rule=Rule()))
    rule = Rule(torch.arange(n))
    if n > 1:
        out = MetaNode(torch.arange(n), n).log_z(a, z, scale=5.0, rule=rule)
        torch.testing.assert_close(out, Exact().log_z(a, z, scale=5.0, rule=rule))


@settings(max_examples=40, deadline=None)
@given(n=st.integers(2, 20), k=st.integers(1, 6), seed=st.integers(0, 2**16))
def test_leaving_a_node_out_is_taking_the_means_without_it(n, k, seed):
    z = unit(n, 3, seed)
    assignment, exclude = torch.randint(k, (n,)), torch.randint(n, (n,))
    out = MetaNode(assignment, k).log_z(z, z, scale=2.5, rule=Rule(exclude))
    torch.testing.assert_close(out, by_hand(z, z, assignment, 2.5, exclude))


def test_anchors_need_not_be_as_many_as_candidates():
    a, z = unit(3, 4), unit(8, 4, seed=1)
    assignment, exclude = torch.tensor([0, 1, 1, 0, 2, 1, 0, 1]), torch.tensor([4, 7, 0])
    out = MetaNode(assignment, 3).log_z(a, z, scale=1.0, rule=Rule(exclude))
    torch.testing.assert_close(out, by_hand(a, z, assignment, 1.0, exclude))


def test_a_cluster_of_one_disappears_for_its_member():
    z = unit(5, 3)
    assignment = torch.tensor([0, 0, 1, 0, 0])
    out = MetaNode(assignment, 2).log_z(z, z, scale=2.0, rule=Rule(torch.arange(5)))
    rest = z[[0, 1, 3, 4]]
    torch.testing.assert_close(out[2], 2 * z[2] @ rest.mean(0) + math.log(4))
    torch.testing.assert_close(out[0], by_hand(z, z, assignment, 2.0, torch.arange(5))[0])


@pytest.mark.parametrize("empty", [[0], [2], [4], [0, 2, 4]])
@pytest.mark.parametrize("excluding", [False, True])
def test_empty_clusters_are_skipped_wherever_they_are(empty, excluding):
    used = torch.tensor([c for c in range(5) if c not in empty])
    dense = torch.arange(9) % len(used)
    rule = Rule(torch.arange(9)) if excluding else Rule()
    results = []
    for negatives in (MetaNode(used[dense], 5), MetaNode(dense, len(used))):
        z = unit(9, 3).requires_grad_()
        out = negatives.log_z(z, z, scale=2.0, rule=rule)
        results.append((out, *torch.autograd.grad(out.sum(), z)))
    for with_empty, without in zip(*results, strict=True):
        assert with_empty.isfinite().all()
        torch.testing.assert_close(with_empty, without)


def test_one_cluster_is_the_mean_of_all():
    z = unit(7, 3)
    out = MetaNode(torch.zeros(7, dtype=torch.int64), 1).log_z(z, z, scale=2.0, rule=Rule())
    torch.testing.assert_close(out, 2 * z @ z.mean(0) + math.log(7))
    others = MetaNode(torch.zeros(7, dtype=torch.int64), 1).log_z(z, z, scale=2.0, rule=Rule(torch.arange(7)))
    torch.testing.assert_close(others, 2 * (z * (z.sum(0) - z) / 6).sum(1) + math.log(6))


@settings(max_examples=30, deadline=None)
@given(n=st.integers(2, 20), k=st.integers(1, 7), seed=st.integers(0, 2**16))
def test_names_of_clusters_order_of_nodes_and_rotations_do_not_matter(n, k, seed):
    z = unit(n, 4, seed)
    assignment, rule = torch.randint(k, (n,)), Rule(torch.arange(n))
    out = MetaNode(assignment, k).log_z(z, z, scale=3.0, rule=rule)
    renamed = torch.randperm(k)[assignment]
    torch.testing.assert_close(MetaNode(renamed, k).log_z(z, z, scale=3.0, rule=rule), out)
    order = torch.randperm(n)
    torch.testing.assert_close(MetaNode(assignment[order], k).log_z(z[order], z[order], scale=3.0, rule=rule), out[order])
    turn = torch.linalg.qr(torch.randn(4, 4, dtype=F64)).Q
    torch.testing.assert_close(MetaNode(assignment, k).log_z(z @ turn, z @ turn, scale=3.0, rule=rule), out)


@pytest.mark.parametrize("excluding", [False, True])
def test_gradients_reach_anchors_candidates_and_scale(excluding):
    # Cluster 1 is empty and cluster 3 has one member.
    assignment, rule = torch.tensor([0, 0, 2, 3, 2, 2]), Rule(torch.arange(6) if excluding else None)
    inputs = tuple(t.requires_grad_() for t in (unit(6, 3), unit(6, 3, seed=1), torch.tensor(2.0, dtype=F64)))
    negatives = MetaNode(assignment, 4)
    assert torch.autograd.gradcheck(lambda a, z, s: negatives.log_z(a, z, scale=s, rule=rule), inputs)
    same = unit(6, 3).requires_grad_()
    assert torch.autograd.gradcheck(lambda z: negatives.log_z(z, z, scale=2.0, rule=rule), (same,))


def test_members_share_the_gradient_of_their_mean():
    a, z = unit(4, 3), unit(6, 3, seed=1).requires_grad_()
    assignment = torch.tensor([0, 0, 1, 1, 1, 0])
    MetaNode(assignment, 2).log_z(a, z, scale=2.0, rule=Rule()).sum().backward()
    for cluster in (0, 1):
        members = z.grad[assignment == cluster]
        torch.testing.assert_close(members, members[:1].expand_as(members))


def test_far_fewer_than_all_pairs_are_met(monkeypatch):
    seen = []

    def spy(a, columns: Columns, **options):
        seen.append(len(columns.z))
        return pair_lse(a, columns, **options)

    monkeypatch.setattr("graphcl.negatives.meta_node.pair_lse", spy)
    z = unit(50, 3)
    for rule in (Rule(), Rule(torch.arange(50))):
        MetaNode(torch.arange(50) % 4, 4).log_z(z, z, scale=1.0, rule=rule)
    assert seen == [4, 4]


def test_an_assignment_of_another_batch_is_named():
    with pytest.raises(InputError, match=r"names \(5,\) candidates but there are 4: was it made for another batch\?"):
        MetaNode(torch.zeros(5, dtype=torch.int64), 1).log_z(torch.ones(4, 2), torch.ones(4, 2), scale=1.0, rule=Rule())


def test_a_cluster_out_of_range_is_named():
    with pytest.raises(InputError, match=r"must lie in 0 .. 1; got 0 .. 2"):
        MetaNode(torch.tensor([0, 1, 2]), 2).log_z(torch.ones(3, 2), torch.ones(3, 2), scale=1.0, rule=Rule())


def test_it_prints_its_number_of_clusters():
    assert repr(MetaNode(torch.zeros(3, dtype=torch.int64), 4)) == "MetaNode(num_clusters=4)"


def second_order_by_hand(a, z, weights, scale, exclude=None):
    """Weighted means and variances, recomputed from the members that each anchor has."""
    rows = []
    for i in range(len(a)):
        left = weights.clone()
        if exclude is not None:
            left[exclude[i]] = 0
        terms = []
        for q in left.T[left.sum(0) > 0]:
            mean = q @ z / q.sum()
            variance = q @ (z - mean).square().sum(1) / q.sum()
            terms.append(scale * (a[i] @ mean) + scale**2 * (a[i] @ a[i]) * variance / (2 * z.shape[1]) + q.sum().log())
        rows.append(torch.stack(terms).logsumexp(0))
    return torch.stack(rows)


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("excluding", [False, True])
def test_the_second_order_adds_half_the_variance_of_the_exponent(soft, excluding):
    torch.manual_seed(2)
    a, z = 2 * unit(9, 3), unit(9, 3, seed=1) * (1 + torch.rand(9, 1, dtype=F64))
    hard = torch.randint(3, (9,))
    assignment = torch.rand(9, 3, dtype=F64).softmax(1) if soft else hard
    weights = assignment if soft else F.one_hot(hard, 3).double()
    exclude = torch.arange(9) if excluding else None
    out = MetaNode(assignment, 3, order="isotropic").log_z(a, z, scale=1.3, rule=Rule(exclude))
    torch.testing.assert_close(out, second_order_by_hand(a, z, weights, 1.3, exclude))


def test_the_variance_of_unit_members_is_what_their_mean_lacks_and_it_brings_the_value_nearer():
    a, z, assignment = unit(50, 8), unit(60, 8, seed=1), torch.arange(60) % 6
    mean, second = (MetaNode(assignment, 6, order=o).log_z(a, z, scale=2.0, rule=Rule()) for o in ("mean", "isotropic"))
    centres = torch.stack([z[assignment == c].mean(0) for c in range(6)])
    want = (2.0 * a @ centres.T + 4.0 * (1 - centres.square().sum(1)) / 16 + math.log(10)).logsumexp(1)
    torch.testing.assert_close(second, want)
    exact = Exact().log_z(a, z, scale=2.0, rule=Rule())
    assert (second - exact).abs().mean() < 0.3 * (mean - exact).abs().mean()


@pytest.mark.parametrize("order", ["mean", "isotropic"])
@pytest.mark.parametrize("excluding", [False, True])
def test_a_soft_assignment_of_ones_and_zeros_is_the_hard_one(order, excluding):
    z, hard = unit(7, 3), torch.tensor([0, 0, 2, 3, 2, 2, 0])  # cluster 1 is empty and cluster 3 has one member
    rule = Rule(torch.arange(7) if excluding else None)
    soft = MetaNode(F.one_hot(hard, 4).double(), 4, order=order).log_z(z, z, scale=2.0, rule=rule)
    torch.testing.assert_close(soft, MetaNode(hard, 4, order=order).log_z(z, z, scale=2.0, rule=rule))


@pytest.mark.parametrize("excluding", [False, True])
def test_a_soft_mean_proxy_never_exceeds_the_exact_value(excluding):
    a, z = unit(20, 3), unit(20, 3, seed=1)
    rule = Rule(torch.arange(20) if excluding else None)
    proxy = MetaNode((4 * torch.rand(20, 5, dtype=F64)).softmax(1), 5).log_z(a, z, scale=5.0, rule=rule)
    assert (proxy < Exact().log_z(a, z, scale=5.0, rule=rule)).all()


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("excluding", [False, True])
def test_gradients_of_the_second_order_and_of_soft_assignments(soft, excluding):
    hard, rule = torch.tensor([0, 0, 2, 3, 2, 2]), Rule(torch.arange(6) if excluding else None)
    torch.manual_seed(4)
    assignment = torch.rand(6, 4, dtype=F64).softmax(1) if soft else hard
    inputs = tuple(t.requires_grad_() for t in (unit(6, 3), unit(6, 3, seed=1), torch.tensor(2.0, dtype=F64)))
    negatives = MetaNode(assignment, 4, order="isotropic")
    assert torch.autograd.gradcheck(lambda a, z, s: negatives.log_z(a, z, scale=s, rule=rule), inputs)


def test_clusters_of_one_have_no_variance():
    a, z = unit(5, 3), unit(5, 3, seed=1)
    out = MetaNode(torch.arange(5), 5, order="isotropic").log_z(a, z, scale=5.0, rule=Rule(torch.arange(5)))
    torch.testing.assert_close(out, Exact().log_z(a, z, scale=5.0, rule=Rule(torch.arange(5))))


def test_a_rule_that_meta_nodes_cannot_keep_is_refused():
    ids = torch.arange(3)
    for rule in (Rule(same=(ids, ids)), Rule(different=(ids, ids)), Rule(clusters=(ids[:, None], ids[:, None]))):
        with pytest.raises(InputError, match="by exclude, and nothing else; use Exact"):
            MetaNode(ids, 3).log_z(unit(3, 2), unit(3, 2), scale=1.0, rule=rule)


def test_golden_value_of_the_full_second_order():
    proxy = MetaNode(torch.tensor([0, 0, 1, 1]), 2, order="full").log_z(A[:1], B, scale=2.0, rule=Rule())
    assert proxy.item() == pytest.approx(2.4617278747, abs=1e-9)


def with_covariance_by_hand(a, z, assignment, scale, exclude=None):
    """Means and covariances recomputed from the members that each anchor has."""
    rows = []
    for i in range(len(a)):
        keep = torch.ones(len(z), dtype=torch.bool)
        if exclude is not None:
            keep[exclude[i]] = False
        terms = []
        for cluster in assignment[keep].unique():
            members = z[keep & (assignment == cluster)]
            along = scale * members @ a[i]
            terms.append(along.mean() + along.var(correction=0) / 2 + math.log(len(members)))
        rows.append(torch.stack(terms).logsumexp(0))
    return torch.stack(rows)


@pytest.mark.parametrize("order", [{"order": "full"}, {"order": "low-rank", "rank": 3}])
@pytest.mark.parametrize("excluding", [False, True])
@pytest.mark.parametrize("chunk", [2**22, 30])
def test_a_covariance_gives_the_variance_of_the_exponent(monkeypatch, order, excluding, chunk):
    monkeypatch.setattr("graphcl.negatives.meta_node._CHUNK", chunk)
    a, z = 2 * unit(9, 3).requires_grad_(), 1.5 * unit(9, 3, seed=1).requires_grad_()
    assignment = torch.tensor([0, 0, 2, 3, 2, 2, 0, 4, 0])  # cluster 1 is empty, clusters 3 and 4 have one member
    exclude = torch.tensor([0, 1, 2, 3, 4, 5, 3, 7, 8]) if excluding else None
    out = MetaNode(assignment, 5, **order).log_z(a, z, scale=1.3, rule=Rule(exclude))
    want = with_covariance_by_hand(a, z, assignment, 1.3, exclude)
    torch.testing.assert_close(out, want)
    if order["order"] == "full":
        torch.testing.assert_close(torch.autograd.grad(out.sum(), (a, z)), torch.autograd.grad(want.sum(), (a, z)))


@pytest.mark.parametrize("excluding", [False, True])
def test_gradients_of_the_full_second_order(excluding):
    assignment, rule = torch.tensor([0, 0, 2, 3, 2, 2]), Rule(torch.arange(6) if excluding else None)
    inputs = tuple(t.requires_grad_() for t in (unit(6, 3), unit(6, 3, seed=1), torch.tensor(2.0, dtype=F64)))
    negatives = MetaNode(assignment, 4, order="full")
    assert torch.autograd.gradcheck(lambda a, z, s: negatives.log_z(a, z, scale=s, rule=rule), inputs)


def test_the_full_second_order_misses_the_exact_value_by_no_more_than_the_third_moment_allows():
    for seed in range(5):
        a, assignment = unit(20, 6, seed), torch.arange(90) % 5
        z = F.normalize(unit(5, 6, seed + 10)[assignment] + 0.3 * unit(90, 6, seed + 20), dim=1)
        radius = max((z[assignment == c] - z[assignment == c].mean(0)).norm(dim=1).max() for c in range(5))
        gap = Exact().log_z(a, z, scale=4.0, rule=Rule()) - MetaNode(assignment, 5, order="full").log_z(
            a, z, scale=4.0, rule=Rule()
        )
        assert gap.abs().max() <= (8 * radius) ** 3 / (36 * 3**0.5)


def test_each_order_comes_nearer_than_the_last():
    a, assignment = unit(40, 8), torch.arange(200) % 5
    wide = torch.linspace(0.05, 0.6, 8, dtype=F64)
    z = F.normalize(unit(5, 8, 1)[assignment] + wide * unit(200, 8, 2), dim=1)
    exact = Exact().log_z(a, z, scale=3.0, rule=Rule())
    orders = ({}, {"order": "isotropic"}, {"order": "low-rank", "rank": 3}, {"order": "full"})
    errors = [(MetaNode(assignment, 5, **o).log_z(a, z, scale=3.0, rule=Rule()) - exact).abs().mean() for o in orders]
    assert errors[0] > errors[1] > errors[2] > errors[3]


def test_scales_of_the_anchors_reach_the_second_order():
    a, z, assignment, scale = unit(5, 3), unit(9, 3, 1), torch.arange(9) % 2, torch.tensor([1.0, 2, 3, 0.5, 4], dtype=F64)
    out = MetaNode(assignment, 2, order="full").log_z(a, z, scale=scale, rule=Rule())
    want = torch.cat([with_covariance_by_hand(a[i : i + 1], z, assignment, scale[i]) for i in range(5)])
    torch.testing.assert_close(out, want)


def test_nobody_is_left_by_the_only_candidate():
    z = unit(1, 3).requires_grad_()
    out = MetaNode(torch.tensor([0]), 1, order="full").log_z(z, z, scale=2.0, rule=Rule(torch.tensor([0])))
    assert out.tolist() == [-torch.inf]
    assert torch.count_nonzero(torch.autograd.grad(out.sum(), z)[0]) == 0


def test_an_order_or_a_soft_assignment_that_is_none_is_named():
    with pytest.raises(InputError, match="order must be one of 'mean', 'isotropic', 'full', 'low-rank'; got 'third'"):
        MetaNode(torch.arange(3), 3, order="third")
    with pytest.raises(InputError, match=r"rank must be >= 1.*got 0"):
        MetaNode(torch.arange(3), 3, order="low-rank", rank=0)
    with pytest.raises(InputError, match=r"order 'full' takes one cluster for each candidate; use .argmax\(1\)"):
        MetaNode(torch.ones(3, 2), 2, order="full")
    with pytest.raises(InputError, match=r"a soft assignment must be \(M, 3\)"):
        MetaNode(torch.ones(4, 2), 3)
    assert repr(MetaNode(torch.arange(3), 3, order="isotropic")) == "MetaNode(num_clusters=3, order='isotropic')"
    assert repr(MetaNode(torch.arange(3), 3, order="low-rank")) == "MetaNode(num_clusters=3, order='low-rank', rank=4)"
