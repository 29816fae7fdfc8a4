import math

import pytest
import torch
import torch.nn.functional as F

from graphcl.errors import InputError
from graphcl.kernels import cached_adjacency
from graphcl.models.clustering.cluster_contrast import ClusterContrast, attraction, repulsion
from graphcl.negatives import Exact

T = 0.8


def made(proxy="node", **options):
    return ClusterContrast(3, **{"temperature": T, "proxy": proxy, **options})


def embeddings(n, seed=1, unit=False):
    torch.manual_seed(seed)
    z, q = torch.randn(n, 4, dtype=torch.float64), torch.rand(n, 3, dtype=torch.float64).softmax(1)
    return (F.normalize(z, dim=1) if unit else z).requires_grad_(), q


def in_double(data):
    data.edge_weight = (data.edge_weight if "edge_weight" in data else torch.ones(data.edge_index.shape[1])).double()
    return data


def similarities(z):
    u = F.normalize(z, dim=1)
    return (u @ u.T).fill_diagonal_(0) / T


def by_hand(z, q, proxy, soft):
    """The repulsion of every node in the filled form: a node counts itself with its own cluster, in "exact" with e^0."""
    u, s = F.normalize(z, dim=1), similarities(z)
    own = q.argmax(1)
    w = q if soft else F.one_hot(own, 3).double()
    count, means = w.sum(0), (w.T @ u) / w.sum(0)[:, None]
    if proxy == "exact":
        return s.exp().sum(1).log().mean()
    if proxy == "node":
        return (count * (u @ means.T / T).exp()).sum(1).log().mean()
    if proxy == "cluster":
        return (count / len(z) * (count * (means @ means.T / T).exp()).sum(1).log()).sum()
    sums = F.normalize(F.one_hot(own, 3).double().T @ z, dim=1)
    return ((sums @ sums.T).fill_diagonal_(0) / T).exp().sum(1).log().mean()


@pytest.mark.parametrize(
    ("proxy", "soft"),
    [("pamc", False), ("cluster", False), ("cluster", True), ("node", False), ("node", True), ("exact", False)],
)
@pytest.mark.parametrize("order", [1, 3])
def test_the_filled_form_has_powers_inside_the_logarithm(proxy, soft, order, blocks, operator):
    data = in_double(blocks(weighted=True, isolated=1))
    z, q = embeddings(data.num_nodes)
    a = operator(data)
    m = sum(torch.linalg.matrix_power(a, r) for r in range(1, order + 1))
    want = by_hand(z, q, proxy, soft) - (m * similarities(z).exp()).sum(1).log().mean()
    got = made(proxy, soft=soft, order=order, filled=True)(z, data, q)
    torch.testing.assert_close(got, want)
    torch.testing.assert_close(torch.autograd.grad(got, z), torch.autograd.grad(want, z), rtol=1e-6, atol=1e-9)


def test_the_last_power_may_stand_alone(blocks, operator):
    data = in_double(blocks())
    z, q = embeddings(data.num_nodes)
    m = torch.linalg.matrix_power(operator(data), 3)
    want = by_hand(z, q, "exact", False) - (m * similarities(z).exp()).sum(1).log().mean()
    torch.testing.assert_close(made("exact", order=3, filled=True, cumulative=False)(z, data, q), want)


@pytest.mark.parametrize("filled", [False, True])
def test_without_clusters_everyone_is_met(filled, blocks):
    data = in_double(blocks())
    z, q = embeddings(data.num_nodes, unit=True)
    want = made("exact", filled=filled)(z, data, q)
    for proxy in ("pamc", "cluster", "node", "hybrid"):
        torch.testing.assert_close(made(proxy, filled=filled)(z, data, None), want)


@pytest.mark.parametrize("filled", [False, True])
def test_clusters_of_means_never_exceed_everyone_and_a_hybrid_keeps_its_tolerance(filled, blocks):
    data = in_double(blocks())
    z, q = embeddings(data.num_nodes, unit=True)
    exact, node, close = (made(proxy, filled=filled, tolerance=0.02)(z, data, q) for proxy in ("exact", "node", "hybrid"))
    assert node < exact
    assert -1e-9 <= exact - close <= 0.02 + 1e-9


def test_the_plain_form_leaves_the_node_itself_out_of_its_cluster(blocks, operator):
    data = in_double(blocks())
    z, q = embeddings(data.num_nodes, unit=True)
    own, rows = q.argmax(1), []
    for i in range(len(z)):
        others = [z[(own == c) & (torch.arange(len(z)) != i)] for c in range(3)]
        rows.append(torch.stack([z[i] @ o.mean(0) / T + math.log(len(o)) for o in others if len(o)]).logsumexp(0))
    positive = (operator(data, self_loops=False) * (z @ z.T / T)).sum(1)
    torch.testing.assert_close(made()(z, data, q), (torch.stack(rows) - positive).mean())


@pytest.mark.parametrize("proxy", ["pamc", "cluster", "node", "hybrid"])
@pytest.mark.parametrize("filled", [False, True])
def test_assignments_are_constants(proxy, filled, blocks):
    data = in_double(blocks())
    z, q = embeddings(data.num_nodes, unit=True)
    q = q.requires_grad_()
    loss = made(proxy, filled=filled)(z, data, q)
    found = torch.autograd.grad(loss, [z, q], allow_unused=True)
    assert found[0].isfinite().all()
    assert found[1] is None


def test_the_two_parts_are_those_of_the_whole(blocks):
    data = in_double(blocks())
    z, _ = embeddings(data.num_nodes)
    adj = cached_adjacency(data.edge_index, data.num_nodes, edge_weight=data.edge_weight, normalize="row", self_loops=True)
    whole = attraction(z, adj, T) + repulsion(z, Exact(), T)
    torch.testing.assert_close(made("exact", filled=True)(z, data, None), whole)


def test_what_a_bound_on_the_fill_cuts_off_is_told(blocks):
    data = in_double(blocks())
    z, q = embeddings(data.num_nodes)
    whole, cut = made(order=3, filled=True), made(order=3, filled=True, max_fill=2)
    assert whole.dropped(data) == made(order=3).dropped(data) == {}
    assert 0 < cut.dropped(data)["dropped"] < 1
    assert whole(z, data, q) != cut(z, data, q)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"proxy": "nodes"}, "proxy must be one of pamc, cluster, node, hybrid, exact.*got 'nodes'"),
        ({"proxy": "pamc", "soft": True, "filled": True}, "proxy 'pamc' takes one cluster for each node"),
        ({"proxy": "cluster", "soft": True}, "proxy 'cluster' takes one cluster for each node"),
        ({"proxy": "hybrid", "soft": True}, "proxy 'hybrid' takes one cluster"),
        ({"temperature": 0.0}, "temperature must be > 0"),
    ],
)
def test_settings_that_do_not_go_together_are_named(options, message):
    with pytest.raises(InputError, match=message):
        made(**options)
