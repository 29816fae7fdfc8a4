import math

import pytest
import torch
import torch.nn.functional as F
from torch.autograd import gradcheck

from graphcl.errors import InputError
from graphcl.kernels import Adjacency, Rule
from graphcl.losses.pamc_loss import PamCLoss
from graphcl.negatives import Exact, MetaNode

F64 = torch.float64
PROXIES = ("pamc", "cluster", "node")


def graph(n=11, d=4, k=3, seed=0, order=1):
    """Embeddings, the summed powers of a row-normalised adjacency with self-loops, clusters without a gap."""
    torch.manual_seed(seed)
    edges = torch.cat([torch.stack([torch.arange(n - 1), torch.arange(1, n)]), torch.randint(n, (2, n))], 1)
    edges = torch.cat([edges, edges.flip(0)], 1)
    hop = Adjacency.from_edge_index(edges, n, edge_weight=torch.ones(edges.shape[1], dtype=F64), normalize="row").to_dense()
    weights = sum(torch.linalg.matrix_power(hop, r) for r in range(1, order + 1))
    assignment = torch.cat([torch.arange(k), torch.randint(k, (n - k,))])
    return torch.randn(n, d, dtype=F64), sparse(weights), assignment


def sparse(weights):
    target, source = weights.nonzero().T
    index, values = torch.stack([source, target]), weights[target, source]
    return Adjacency.from_edge_index(index, len(weights), edge_weight=values, normalize=None, self_loops=False)


def published(z, weights, assignment, tau):
    """Both parts as the authors' code writes them, on dense arrays; tau multiplies."""
    away = ~torch.eye(len(z), dtype=torch.bool)
    cosine = F.cosine_similarity(z[:, None], z[None], dim=-1) * away
    attraction = -((weights * (tau * cosine).exp()).sum(1) + 1e-10).log().mean()
    one_hot = F.one_hot(assignment).to(z.dtype)
    c = (z[:, None] * one_hot[:, :, None]).sum(0)
    between = F.cosine_similarity(c[:, None], c[None], dim=-1) * ~torch.eye(len(c), dtype=torch.bool)
    return attraction, ((tau * between).exp().sum(1) + 1e-10).log().mean()


@pytest.mark.parametrize("tau", [0.25, 0.5, 2.25, 20.0])
@pytest.mark.parametrize("order", [1, 3])
def test_it_is_the_published_formula_in_value_and_gradient(tau, order):
    z, positives, assignment = graph(order=order)
    z.requires_grad_()
    attraction, repulsion = published(z, positives.to_dense(), assignment, tau)
    terms = PamCLoss(1 / tau).terms(z, positives, assignment)
    torch.testing.assert_close(terms, {"attraction": attraction, "repulsion": repulsion}, rtol=1e-9, atol=1e-9)
    got = PamCLoss(1 / tau)(z, positives, assignment)
    want = torch.autograd.grad(attraction + repulsion, z)
    torch.testing.assert_close(torch.autograd.grad(got, z), want, rtol=1e-8, atol=1e-9)


def test_a_worked_value():
    # Two pairs on two axes, each node joined to itself and to its partner by a half: only the self pair counts as e^0.
    z = torch.tensor([[1, 0], [3, 0], [0, 1], [0, 2]], dtype=F64)
    half = torch.block_diag(*[torch.full((2, 2), 0.5, dtype=F64)] * 2)
    terms = PamCLoss(2.0).terms(z, sparse(half), torch.tensor([0, 0, 1, 1]))
    assert terms["attraction"].item() == pytest.approx(-math.log(0.5 + 0.5 * math.exp(0.5)), abs=1e-9)
    assert terms["repulsion"].item() == pytest.approx(math.log(2), abs=1e-9)
    terms = PamCLoss(2.0, self_terms=False).terms(z, sparse(half), torch.tensor([0, 0, 1, 1]))
    assert terms["attraction"].item() == pytest.approx(-math.log(0.5) - 0.5)
    assert terms["repulsion"].item() == pytest.approx(0, abs=1e-12)


def test_one_cluster_repels_nobody_under_the_published_proxy():
    z, positives, _ = graph()
    z.requires_grad_()
    repulsion = PamCLoss(0.5).terms(z, positives, torch.zeros(11, dtype=torch.int64))["repulsion"]
    assert repulsion.item() == pytest.approx(0, abs=1e-9)
    (slope,) = torch.autograd.grad(repulsion, z)
    assert (slope == 0).all()


def exact(u, scale, self_terms):
    rule = Rule() if self_terms else Rule(exclude=torch.arange(len(u)))
    return Exact().log_z(u, u, scale=scale, rule=rule).mean()


@pytest.mark.parametrize("self_terms", [True, False])
@pytest.mark.parametrize("t", [0.2, 1.0])
@pytest.mark.parametrize("seed", range(5))
def test_the_repulsion_of_means_bounds_that_of_nodes_and_this_the_exact_one(self_terms, t, seed):
    z, positives, assignment = graph(19, 3, 4, seed=seed)
    low, middle = (
        PamCLoss(t, proxy=proxy, self_terms=self_terms).terms(z, positives, assignment)["repulsion"]
        for proxy in ("cluster", "node")
    )
    high = exact(F.normalize(z, dim=1), 1 / t, self_terms)
    assert low < middle < high


@pytest.mark.parametrize("self_terms", [True, False])
@pytest.mark.parametrize("proxy", ["cluster", "node"])
def test_singletons_and_clusters_of_one_direction_are_exact(proxy, self_terms):
    z, positives, assignment = graph()
    loss = PamCLoss(0.3, proxy=proxy, self_terms=self_terms)
    want = exact(F.normalize(z, dim=1), 1 / 0.3, self_terms)
    torch.testing.assert_close(loss.terms(z, positives, torch.randperm(11))["repulsion"], want)
    same = F.normalize(z, dim=1)[:3].index_select(0, assignment)
    lengths = torch.rand(11, 1, dtype=F64) + 0.5
    torch.testing.assert_close(loss.terms(lengths * same, positives, assignment)["repulsion"], exact(same, 1 / 0.3, self_terms))


@pytest.mark.parametrize("soft", [False, True])
def test_means_and_nodes_are_the_formulas_with_sizes(soft):
    z, positives, assignment = graph()
    weights = torch.rand(11, 3, dtype=F64).softmax(1) if soft else F.one_hot(assignment).to(F64)
    u, n = F.normalize(z, dim=1), weights.sum(0)
    m = (weights.T @ u) / n[:, None]
    between = (n * (m @ m.T / 0.4).exp()).sum(1).log()
    given = weights if soft else assignment
    got = PamCLoss(0.4, proxy="cluster").terms(z, positives, given)["repulsion"]
    torch.testing.assert_close(got, (n / 11 * between).sum())
    got = PamCLoss(0.4, proxy="node").terms(z, positives, given)["repulsion"]
    torch.testing.assert_close(got, (n * (u @ m.T / 0.4).exp()).sum(1).log().mean())
    got = PamCLoss(0.4, proxy="node", self_terms=False).terms(z, positives, given)["repulsion"]
    rule = Rule(exclude=torch.arange(11))
    torch.testing.assert_close(got, MetaNode(given, 3).log_z(u, u, scale=2.5, rule=rule).mean())


def test_without_self_terms_means_leave_each_node_out_of_its_own_cluster():
    z, positives, assignment = graph()
    u, n = F.normalize(z, dim=1), torch.bincount(assignment)
    means = torch.stack([u[assignment == a].mean(0) for a in range(3)])
    want = torch.zeros((), dtype=F64)
    for a in range(3):
        members = u[assignment == a]
        rest = [(x @ (members.sum(0) - x)) / (n[a] - 1) for x in members]
        logits = means[a] @ means.T / 0.4 + n.log()
        logits[a] = sum(rest) / len(rest) / 0.4 + (n[a] - 1).log() if n[a] > 1 else -torch.inf
        want = want + n[a] / 11 * logits.logsumexp(0)
    got = PamCLoss(0.4, proxy="cluster", self_terms=False).terms(z, positives, assignment)["repulsion"]
    torch.testing.assert_close(got, want)


def test_without_self_terms_positives_are_others_and_lonely_nodes_are_left_out():
    z, _, assignment = graph()
    weights = torch.rand(11, 11, dtype=F64) * (torch.rand(11, 11) < 0.3)
    weights[4] = 0
    weights[4, 4] = 0.7
    weights[9] = 0
    others = (weights * (F.cosine_similarity(z[:, None], z[None], dim=-1) / 0.3).exp()).fill_diagonal_(0).sum(1)
    assert (others == 0).sum() == 2
    got = PamCLoss(0.3, self_terms=False).terms(z, sparse(weights), assignment)["attraction"]
    torch.testing.assert_close(got, -others[others > 0].log().mean())
    got = PamCLoss(0.3).terms(z, sparse(weights), assignment)["attraction"]
    torch.testing.assert_close(got, published(z, weights, assignment, 1 / 0.3)[0])


def test_dropped_edges_are_no_positives():
    z, positives, assignment = graph()
    keep = torch.rand(positives.num_edges) < 0.6
    dropped = positives.drop_edges(keep)
    got = PamCLoss().terms(z, dropped, assignment)["attraction"]
    torch.testing.assert_close(got, published(z, dropped.to_dense(), assignment, 0.5)[0])


@pytest.mark.parametrize("proxy", PROXIES)
@pytest.mark.parametrize("self_terms", [True, False])
def test_what_the_loss_does_not_see(proxy, self_terms):
    z, positives, assignment = graph()
    loss = PamCLoss(0.4, proxy=proxy, self_terms=self_terms)
    want, order = loss(z, positives, assignment), torch.randperm(11)
    turn = torch.linalg.qr(torch.randn(4, 4, dtype=F64)).Q
    torch.testing.assert_close(loss(z @ turn, positives, assignment), want)
    torch.testing.assert_close(loss(z, positives, 50 - 7 * assignment), want)  # names, and gaps between them
    torch.testing.assert_close(loss(z[order], sparse(positives.to_dense()[order][:, order]), assignment[order]), want)
    stretched = loss(z * (torch.rand(11, 1, dtype=F64) + 0.1), positives, assignment)
    assert torch.isclose(stretched, want).item() == (proxy != "pamc")


@pytest.mark.parametrize("proxy", PROXIES)
def test_soft_assignments_are_constants_and_certain_ones_are_hard(proxy):
    z, positives, assignment = graph()
    certain = F.one_hot(assignment, 5).to(F64)  # two clusters without a node
    loss = PamCLoss(0.4, proxy=proxy)
    torch.testing.assert_close(loss(z, positives, certain), loss(z, positives, assignment))
    weights = torch.rand(11, 3, dtype=F64).softmax(1).requires_grad_()
    loss(z.requires_grad_(), positives, weights).backward()
    assert weights.grad is None
    assert torch.isfinite(z.grad).all()


@pytest.mark.parametrize("proxy", PROXIES)
@pytest.mark.parametrize("self_terms", [True, False])
def test_gradients_are_right(proxy, self_terms):
    z, positives, _ = graph(7, 3)
    loss, assignment = PamCLoss(0.5, proxy=proxy, self_terms=self_terms), torch.tensor([0, 1, 1, 0, 2, 1, 0])
    assert gradcheck(lambda z: loss(z, positives, assignment), (z.requires_grad_(),))


@pytest.mark.parametrize("proxy", PROXIES)
@pytest.mark.parametrize("t", [1e-3, 0.02, 1e3])
def test_small_and_large_temperatures_duplicates_and_zero_rows_stay_finite(proxy, t):
    z, positives, assignment = graph()
    z = z.float()
    z[3], z[5] = z[4], 0
    z.requires_grad_()
    loss = PamCLoss(t, proxy=proxy, self_terms=False)
    value = loss(z, positives.to(dtype=torch.float32), assignment)
    value.backward()
    assert torch.isfinite(value)
    assert torch.isfinite(z.grad).all()
    torch.testing.assert_close(value.double(), loss(z.detach().double(), positives, assignment), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("proxy", PROXIES)
def test_half_precision_is_computed_in_single(proxy, dtype):
    z, positives, assignment = graph()
    low = PamCLoss(proxy=proxy)(z.to(dtype), positives, assignment)
    assert low.dtype == torch.float32
    torch.testing.assert_close(low.double(), PamCLoss(proxy=proxy)(z, positives, assignment), rtol=2e-2, atol=2e-2)


def test_arguments_that_make_no_sense_are_named():
    z, positives, assignment = graph()
    with pytest.raises(InputError, match=r"proxy must be 'pamc', 'cluster' or 'node'.*got 'mean'"):
        PamCLoss(proxy="mean")
    with pytest.raises(InputError, match="temperature must be > 0"):
        PamCLoss(0.0)
    with pytest.raises(InputError, match="positives speak of 11 nodes, the embeddings of 10"):
        PamCLoss()(z[:10], positives, assignment)
    with pytest.raises(InputError, match=r"assignment must be \(11,\) integers, or \(11, K\) weights; got \(10,\)"):
        PamCLoss()(z, positives, assignment[:10])
    with pytest.raises(InputError, match=r"got \(11,\) torch.float64. One cluster for each node is .long"):
        PamCLoss()(z, positives, assignment.double())
    with pytest.raises(InputError, match=r"must be >= 0 and sum to 1 in each row; got sums from .* Logits"):
        PamCLoss(proxy="node")(z, positives, torch.randn(11, 3))
    with pytest.raises(InputError, match="weights of positives must be >= 0"):
        PamCLoss()(z, positives.reweight(-positives.values), assignment)
    with pytest.raises(InputError, match="all nodes are in one cluster"):
        PamCLoss(self_terms=False)(z, positives, torch.zeros(11, dtype=torch.int64))
    with pytest.raises(InputError, match="soft clusters of means cannot leave out a node"):
        PamCLoss(proxy="cluster", self_terms=False)(z, positives, torch.full((11, 2), 0.5))
    with pytest.raises(InputError, match="no node has a positive other than itself"):
        PamCLoss(self_terms=False)(z, sparse(torch.eye(11, dtype=F64)), assignment)
    with pytest.raises(InputError, match="not finite"):
        PamCLoss()(z / 0, positives, assignment)


def test_it_prints_what_it_is():
    assert repr(PamCLoss()) == "PamCLoss(temperature=2, proxy='pamc', self_terms=True)"
