import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from graphcl.errors import InputError
from graphcl.kernels import Adjacency
from graphcl.losses import (
    DCL,
    DCLW,
    DHEL,
    NSCL,
    DebiasedContrast,
    HardContrast,
    HardNegativeContrast,
    InfoNCE,
    MoCo,
    NeighborContrast,
    NTXent,
    PairLoss,
    SogCLR,
    coupled,
    decoupled,
    unit_rows,
)
from graphcl.negatives import Exact, MetaNode

F64 = torch.float64
# Golden vectors, temperature 0.5.
A = torch.tensor([[1, 0, 0], [1, 1, 0], [0, 1, 1], [1, 1, 1]], dtype=F64)
B = torch.tensor([[2, 1, 0], [1, 2, 0], [0, 1, 2], [1, 1, 2]], dtype=F64)


def graph(edges, n, weight=None, normalize="row"):
    """An undirected graph without loops, in double precision."""
    index = torch.tensor(edges, dtype=torch.int64).reshape(-1, 2).T
    weight = None if weight is None else torch.tensor(weight + weight, dtype=F64)
    adj = Adjacency.from_edge_index(
        torch.cat([index, index.flip(0)], 1), n, edge_weight=weight, normalize=normalize, self_loops=False
    )
    return adj.to(dtype=F64)


def neighbor_contrast(z, weights, temperature):
    """The formula on dense arrays; ``weights`` holds the mean of the powers, rows of zeros are left out of the mean."""
    u = F.normalize(z, dim=1)
    logits = u @ u.T / temperature
    others = logits.masked_fill(torch.eye(len(z), dtype=torch.bool), -torch.inf).logsumexp(1)
    return (others - (weights * logits).sum(1))[weights.sum(1) > 0].mean()


def random_graph(n, seed):
    """Random edges and embeddings; node 0 stays isolated."""
    torch.manual_seed(seed)
    edges = torch.randint(1, n, (2 * n, 2))
    edges = edges[edges[:, 0] != edges[:, 1]]
    return edges.tolist(), torch.randn(n, 4, dtype=F64)


@pytest.mark.parametrize(
    ("one", "two", "symmetric", "value"),
    [
        (A, B, "off", 0.9521125602),
        (B, A, "off", 0.9679842268),
        (A, B, "mean", 0.9600483935),
        (A, B, "sum", 0.9521125602 + 0.9679842268),
    ],
)
def test_infonce_has_its_golden_values(one, two, symmetric, value):
    assert InfoNCE(0.5, symmetric=symmetric)(one, two).item() == pytest.approx(value, abs=1e-9)


@pytest.mark.parametrize("n", [2, 3, 7])
@pytest.mark.parametrize("t", [0.05, 0.5, 2.0])
def test_infonce_of_orthonormal_and_of_equal_rows_has_its_closed_form(n, t):
    orthonormal = torch.linalg.qr(torch.randn(n, n, dtype=F64, generator=torch.Generator().manual_seed(0))).Q
    assert InfoNCE(t)(orthonormal, orthonormal.clone()).item() == pytest.approx(math.log1p((n - 1) * math.exp(-1 / t)))
    same = torch.ones(n, 3, dtype=F64)
    assert InfoNCE(t)(same, 2 * same).item() == pytest.approx(math.log(n))


@pytest.mark.parametrize(("n", "d"), [(2, 1), (7, 5), (64, 16)])
def test_infonce_is_the_cross_entropy_of_finding_the_same_row_in_both_directions(n, d):
    torch.manual_seed(0)
    z1, z2 = torch.randn(n, d, dtype=F64), torch.randn(n, d, dtype=F64)
    logits = F.cosine_similarity(z1[:, None], z2[None], dim=-1) / 0.2
    there, back = F.cross_entropy(logits, torch.arange(n)), F.cross_entropy(logits.T, torch.arange(n))
    torch.testing.assert_close(InfoNCE(0.2)(z1, z2), (there + back) / 2)
    torch.testing.assert_close(InfoNCE(0.2, symmetric="sum")(z1, z2), there + back)
    torch.testing.assert_close(InfoNCE(0.2, symmetric="off")(z1, z2), there)


def test_infonce_is_the_softplus_of_the_decoupled_loss_row_by_row():
    torch.manual_seed(0)
    z1, z2 = torch.randn(7, 4, dtype=F64), torch.randn(7, 4, dtype=F64)
    rows = PairLoss(lambda positive, log_z: F.softplus(decoupled(positive, log_z)), temperature=0.3)
    torch.testing.assert_close(InfoNCE(0.3)(z1, z2), rows(z1, z2))


def test_infonce_gradients_are_right():
    torch.manual_seed(0)
    z1, z2 = (torch.randn(5, 4, dtype=F64, requires_grad=True) for _ in range(2))
    assert torch.autograd.gradcheck(InfoNCE(0.5), (z1, z2))


@settings(max_examples=30, deadline=None)
@given(n=st.integers(2, 15), k=st.integers(1, 5), t=st.floats(0.1, 2), seed=st.integers(0, 2**16))
def test_meta_nodes_never_raise_a_loss_above_the_exact_one(n, k, t, seed):
    torch.manual_seed(seed)
    z1, z2, negatives = torch.randn(n, 4, dtype=F64), torch.randn(n, 4, dtype=F64), MetaNode(torch.randint(k, (n,)), k)
    assert InfoNCE(t, negatives=negatives)(z1, z2) <= InfoNCE(t)(z1, z2) + 1e-10
    ring = graph([(i, (i + 1) % n) for i in range(n)], n)
    exact = NeighborContrast(t)(z1, z1, positives=ring)
    assert NeighborContrast(t, negatives=negatives)(z1, z1, positives=ring) <= exact + 1e-10


@pytest.mark.parametrize("t", [0.1, 0.5, 2.0])
def test_meta_nodes_of_one_member_give_the_exact_loss(t):
    edges, z = random_graph(11, 0)
    adj, singles = graph(edges, 11), MetaNode(torch.randperm(11), 11)
    torch.testing.assert_close(
        NeighborContrast(t, negatives=singles)(z, z, positives=adj), NeighborContrast(t)(z, z, positives=adj)
    )
    torch.testing.assert_close(InfoNCE(t, negatives=singles)(z, z.flip(1)), InfoNCE(t)(z, z.flip(1)))


@pytest.mark.parametrize("n", [2, 7, 31])
@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("t", [0.2, 1.0])
def test_neighbor_contrast_matches_the_dense_formula(n, order, t):
    edges, z = random_graph(n, 0) if n > 2 else ([(0, 1)], torch.randn(2, 4, dtype=F64))
    adj = graph(edges, n)
    dense = adj.to_dense()
    weights = dense if order == 1 else (dense + dense @ dense) / 2
    torch.testing.assert_close(NeighborContrast(t)(z, z, positives=adj, order=order), neighbor_contrast(z, weights, t))


def test_neighbor_contrast_weighs_positives_by_their_edges():
    edges, weight = [(0, 1), (0, 2), (1, 2), (3, 4)], [1.0, 3.0, 0.5, 2.0]
    z = random_graph(6, 0)[1]
    table = torch.zeros(6, 6, dtype=F64)
    for (u, v), w in zip(edges, weight, strict=True):
        table[u, v] = table[v, u] = w
    weights = table / table.sum(1, keepdim=True).clamp(min=1e-300)
    adj = graph(edges, 6, weight)
    loss = NeighborContrast(0.5)
    torch.testing.assert_close(loss(z, z, positives=adj), neighbor_contrast(z, weights, 0.5))
    torch.testing.assert_close(loss(z, z, positives=adj, order=2), neighbor_contrast(z, (weights + weights @ weights) / 2, 0.5))
    doubled = graph(edges, 6, [2 * w for w in weight])
    torch.testing.assert_close(loss(z, z, positives=doubled), loss(z, z, positives=adj))


def test_isolated_nodes_are_negatives_but_have_no_say_themselves():
    edges, z = [(0, 1), (1, 2), (2, 0)], random_graph(5, 0)[1]
    adj = graph(edges, 5)
    z.requires_grad_()
    out = NeighborContrast(0.5)(z, z, positives=adj)
    u = F.normalize(z.detach(), dim=1)
    logits = 2 * u @ u.T
    rows = [
        logits[i, [j for j in range(5) if j != i]].logsumexp(0) - logits[i, [j for j in range(3) if j != i]].mean()
        for i in range(3)
    ]
    torch.testing.assert_close(out, torch.stack(rows).mean())
    out.backward()
    assert (z.grad[3:].abs().sum(1) > 0).all()


def test_equal_embeddings_give_the_logarithm_of_the_number_of_others():
    adj = graph([(0, 1), (1, 2), (3, 4)], 6)
    z = torch.ones(6, 3, dtype=F64)
    for order in (1, 2):
        assert NeighborContrast(0.3)(z, z, positives=adj, order=order).item() == pytest.approx(math.log(5))


def test_two_cliques_in_two_directions_have_a_closed_form():
    # Each of m members agrees fully with its clique and is orthogonal to the other.
    m, t = 4, 0.5
    edges = [(c * m + i, c * m + j) for c in range(2) for i in range(m) for j in range(i)]
    z = torch.eye(2, dtype=F64).repeat_interleave(m, 0)
    want = -1 / t + math.log((m - 1) * math.exp(1 / t) + m)
    adj = graph(edges, 2 * m)
    assert NeighborContrast(t)(z, z, positives=adj).item() == pytest.approx(want)
    meta = MetaNode(torch.tensor([0, 1]).repeat_interleave(m), 2)
    assert NeighborContrast(t, negatives=meta)(z, z, positives=adj).item() == pytest.approx(want)


@settings(max_examples=25, deadline=None)
@given(n=st.integers(3, 15), seed=st.integers(0, 2**16))
def test_neighbor_contrast_does_not_see_the_order_of_nodes(n, seed):
    edges, z = random_graph(n, seed)
    edges.append([1, 2])
    order = torch.randperm(n)
    place = order.argsort()
    moved = [(int(place[u]), int(place[v])) for u, v in edges]
    assignment = torch.randint(3, (n,))
    for negatives, theirs in ((Exact(), Exact()), (MetaNode(assignment, 3), MetaNode(assignment[order], 3))):
        torch.testing.assert_close(
            NeighborContrast(0.5, negatives=theirs)(z[order], z[order], positives=graph(moved, n), order=2),
            NeighborContrast(0.5, negatives=negatives)(z, z, positives=graph(edges, n), order=2),
        )


@pytest.mark.parametrize("negatives", [None, MetaNode(torch.tensor([0, 2, 2, 0, 2, 3]), 5)], ids=repr)
@pytest.mark.parametrize("order", [1, 2])
def test_neighbor_contrast_gradients_are_right(negatives, order):
    adj = graph([(0, 1), (1, 2), (3, 4)], 6)
    z = random_graph(6, 0)[1].requires_grad_()
    loss = NeighborContrast(0.5, negatives=negatives)
    assert torch.autograd.gradcheck(lambda z: loss(z, z, positives=adj, order=order), (z,))


@pytest.mark.parametrize("loss", [InfoNCE, NeighborContrast])
def test_a_temperature_that_does_not_divide_is_refused(loss):
    with pytest.raises(InputError, match="temperature must be > 0"):
        loss(0.0)


def test_one_row_and_no_edges_are_refused():
    with pytest.raises(InputError, match="at least 2 rows"):
        InfoNCE()(torch.ones(1, 3), torch.ones(1, 3))
    with pytest.raises(InputError, match="at least 2 rows"):
        NeighborContrast()(torch.ones(1, 3), torch.ones(1, 3), positives=graph([], 1))
    with pytest.raises(InputError, match="the graph has no edges"):
        NeighborContrast()(torch.ones(3, 2, dtype=F64), torch.ones(3, 2, dtype=F64), positives=graph([], 3))


@pytest.mark.parametrize(("loss", "value"), [(NTXent, 1.4416145766), (DCL, 1.1677766433), (DHEL, 2.8151586457)])
def test_losses_with_negatives_of_the_own_view_have_their_golden_values(loss, value):
    assert loss(0.5)(A, B).item() == pytest.approx(value, abs=1e-9)
    assert loss(0.5)(B, A).item() == pytest.approx(value, abs=1e-9)


@pytest.mark.parametrize("n", [2, 3, 7])
@pytest.mark.parametrize("t", [0.05, 0.5, 2.0])
def test_losses_with_negatives_of_the_own_view_have_their_closed_forms(n, t):
    orthonormal = torch.linalg.qr(torch.randn(n, n, dtype=F64, generator=torch.Generator().manual_seed(0))).Q
    same = torch.ones(n, 3, dtype=F64)
    for loss, apart, together in (
        (NTXent, math.log1p(2 * (n - 1) * math.exp(-1 / t)), math.log(2 * n - 1)),
        (DCL, -1 / t + math.log(2 * (n - 1)), math.log(2 * (n - 1))),
        (DHEL, -1 / t + 2 * math.log(n - 1), 1 / t + 2 * math.log(n - 1)),
    ):
        assert loss(t)(orthonormal, orthonormal.clone()).item() == pytest.approx(apart, abs=1e-12)
        assert loss(t)(same, 2 * same).item() == pytest.approx(together, abs=1e-12)


@pytest.mark.parametrize(("n", "d"), [(2, 1), (7, 5), (31, 8)])
def test_ntxent_is_the_cross_entropy_of_the_stacked_views_without_the_self_pair(n, d):
    torch.manual_seed(0)
    z1, z2 = torch.randn(n, d, dtype=F64), torch.randn(n, d, dtype=F64)
    u = F.normalize(torch.cat([z1, z2]), dim=1)
    logits = (u @ u.T / 0.3).fill_diagonal_(-torch.inf)
    want = F.cross_entropy(logits, torch.arange(2 * n).roll(n))
    torch.testing.assert_close(NTXent(0.3)(z1, z2), want)


def test_ntxent_is_the_softplus_of_dcl_row_by_row():
    torch.manual_seed(0)
    z1, z2 = torch.randn(7, 5, dtype=F64), torch.randn(7, 5, dtype=F64)
    softplus = PairLoss(lambda positive, log_z: F.softplus(decoupled(positive, log_z)), temperature=0.2, intra=True)
    torch.testing.assert_close(NTXent(0.2)(z1, z2), softplus(z1, z2))


@pytest.mark.parametrize("loss", [NTXent, DCL, DHEL])
def test_gradients_of_losses_with_negatives_of_the_own_view_are_right(loss):
    torch.manual_seed(0)
    inputs = tuple(torch.randn(5, 4, dtype=F64, requires_grad=True) for _ in range(2))
    weight = torch.rand(5, dtype=F64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda z1, z2, w: loss()(z1, z2, weight=w), (*inputs, weight))


def test_dclw_has_its_golden_value_and_prints_its_link():
    assert DCLW(0.5)(A, B).item() == pytest.approx(1.1697977371, abs=1e-9)
    assert "Reweighted(ratio=0.2, detach=True)" in repr(DCLW(0.1))


def test_dclw_of_equal_agreement_and_of_wide_weights_is_dcl():
    torch.manual_seed(0)
    z1, z2 = torch.randn(7, 5, dtype=F64), torch.randn(7, 5, dtype=F64)
    torch.testing.assert_close(DCLW(0.2, sigma=1e12)(z1, z2), DCL(0.2)(z1, z2))
    torch.testing.assert_close(DCLW(0.2)(z1, 3 * z1), DCL(0.2)(z1, z1))


def test_dclw_gradients_are_right_where_weights_let_them_through():
    torch.manual_seed(0)
    inputs = tuple(torch.randn(5, 4, dtype=F64, requires_grad=True) for _ in range(2))
    assert torch.autograd.gradcheck(DCLW(0.5, detach=False), inputs)


@pytest.mark.parametrize("sigma", [0.0, -1.0, math.inf])
def test_a_width_of_weights_that_is_none_is_refused(sigma):
    with pytest.raises(InputError, match="sigma must be > 0"):
        DCLW(sigma=sigma)


@pytest.mark.parametrize(("link", "value"), [(decoupled, 0.5047848411), (coupled, 0.9872349173)])
def test_nscl_has_its_golden_values(link, value):
    assert NSCL(0.5, link=link)(A, B, ids=torch.tensor([0, 0, 1, 1])).item() == pytest.approx(value, abs=1e-9)


@pytest.mark.parametrize("t", [0.2, 1.0])
@pytest.mark.parametrize("seed", range(4))
def test_nscl_lies_below_dcl_by_no_more_than_its_bound_and_equals_it_when_all_labels_differ(t, seed):
    torch.manual_seed(seed)
    z1, z2 = torch.randn(12, 4, dtype=F64), torch.randn(12, 4, dtype=F64)
    labels = torch.tensor([0, 1, 2, 3] * 2 + [0, 1, 2, 0])
    low, high = NSCL(t)(z1, z2, ids=labels).item(), DCL(t)(z1, z2).item()
    most = int(labels.bincount().max())
    assert low <= high <= low + math.log1p(most * math.exp(2 / t) / (12 - most))
    torch.testing.assert_close(NSCL(t)(z1, z2, ids=torch.randperm(12)), DCL(t)(z1, z2))
    torch.testing.assert_close(NSCL(t, link=coupled)(z1, z2, ids=torch.randperm(12)), NTXent(t)(z1, z2))


def test_nscl_of_one_class_has_no_negatives():
    with pytest.raises(InputError, match="no anchor has a negative"):
        NSCL()(A, B, ids=torch.zeros(4, dtype=torch.int64))


def test_reweighted_negatives_have_their_golden_values():
    assert DebiasedContrast(0.5)(A, B).item() == pytest.approx(1.3636620832, abs=1e-9)
    assert HardNegativeContrast(0.5, prior=0.0)(A, B).item() == pytest.approx(1.5745735432, abs=1e-9)
    assert HardNegativeContrast(0.5)(A, B).item() == pytest.approx(1.5220732894, abs=1e-9)
    hard = HardContrast(0.5, fraction=2 / 3, symmetric="off")(A, B)  # two of three
    assert hard.item() == pytest.approx(0.8102778842, abs=1e-9)


def test_reweighting_that_changes_nothing_is_ntxent():
    torch.manual_seed(0)
    z1, z2 = torch.randn(2, 7, 3, dtype=torch.float64)
    for loss in (DebiasedContrast(0.5, prior=0.0), HardNegativeContrast(0.5, beta=0.0, prior=0.0)):
        torch.testing.assert_close(loss(z1, z2), NTXent(0.5)(z1, z2))
    torch.testing.assert_close(HardContrast(0.5, fraction=1.0)(z1, z2), InfoNCE(0.5)(z1, z2))


def test_moco_meets_its_queue_and_is_infonce_when_that_holds_the_other_keys():
    torch.manual_seed(0)
    queries, keys = torch.randn(2, 1, 3, dtype=torch.float64).expand(2, 4, 3) + torch.randn(2, 4, 3, dtype=torch.float64)
    loss = MoCo(16, 3, temperature=0.5).double()
    with pytest.raises(InputError, match="the queue is empty"):
        loss(queries, keys)
    loss.negatives.update(unit_rows(torch.randn(5, 3, dtype=torch.float64)))
    bank = loss.negatives.keys[:5]
    u, k = unit_rows(queries), unit_rows(keys)
    logits = torch.cat([(u * k).sum(1, keepdim=True), u @ bank.T], 1) / 0.5
    torch.testing.assert_close(loss(queries, keys), (logits.logsumexp(1) - logits[:, 0]).mean())


def test_sogclr_that_follows_the_batch_alone_has_the_gradient_of_dcl():
    torch.manual_seed(0)
    z1, z2 = (z.requires_grad_() for z in torch.randn(2, 6, 3, dtype=torch.float64))
    ours = SogCLR(10, temperature=0.4, gamma=1.0)(z1, z2, ids=torch.arange(6))
    for one, other in zip(torch.autograd.grad(ours, (z1, z2)), torch.autograd.grad(DCL(0.4)(z1, z2), (z1, z2)), strict=True):
        torch.testing.assert_close(one, other)
