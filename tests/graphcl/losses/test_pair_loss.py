import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from graphcl.errors import InputError
from graphcl.kernels import Adjacency
from graphcl.losses import PairLoss, check_temperature, coupled, decoupled
from graphcl.negatives import Exact, GlobalAverage, MetaNode, Queue

F64 = torch.float64


def views(n, d, seed=0):
    torch.manual_seed(seed)
    return torch.randn(n, d, dtype=F64), torch.randn(n, d, dtype=F64)


def one_way(z1, z2, link, temperature, similarity):
    """Both links by dense softmax algebra."""
    if similarity == "cosine":
        z1, z2 = F.normalize(z1, dim=1), F.normalize(z2, dim=1)
    logits = z1 @ z2.T / temperature
    others = logits.masked_fill(torch.eye(len(z1), dtype=torch.bool), -torch.inf).logsumexp(1)
    everybody = logits.logsumexp(1)
    return ((everybody if link is coupled else others) - logits.diagonal()).mean()


def path_graph(n=5, normalize="row"):
    """A path, and one node that nobody knows."""
    edges = torch.tensor([[i, i + 1] for i in range(n - 2)]).T
    return Adjacency.from_edge_index(torch.cat([edges, edges.flip(0)], 1), n, normalize=normalize, self_loops=False).to(
        dtype=F64
    )


@pytest.mark.parametrize(("n", "d"), [(2, 1), (7, 5), (31, 8)])
@pytest.mark.parametrize("link", [coupled, decoupled])
@pytest.mark.parametrize("similarity", ["cosine", "dot"])
@pytest.mark.parametrize("temperature", [0.1, 2.0])
def test_both_directions_match_the_dense_formula(n, d, link, similarity, temperature):
    z1, z2 = views(n, d)
    there, back = (one_way(*pair, link, temperature, similarity) for pair in ((z1, z2), (z2, z1)))
    for symmetric, want in (("off", there), ("sum", there + back), ("mean", (there + back) / 2)):
        loss = PairLoss(link, temperature=temperature, similarity=similarity, symmetric=symmetric)
        torch.testing.assert_close(loss(z1, z2), want)


@pytest.mark.parametrize("link", [coupled, decoupled])
@pytest.mark.parametrize("similarity", ["cosine", "dot"])
@pytest.mark.parametrize("negatives", [None, MetaNode(torch.tensor([0, 2, 2, 0, 2]), 3)], ids=repr)
def test_gradients_are_right(link, similarity, negatives):
    loss = PairLoss(link, similarity=similarity, negatives=negatives)
    assert torch.autograd.gradcheck(loss, tuple(z.requires_grad_() for z in views(5, 4)))


@pytest.mark.parametrize("symmetric", ["mean", "sum", "off"])
def test_one_tensor_as_both_views_is_two_equal_views(symmetric):
    z = views(7, 3)[0].requires_grad_()
    loss = PairLoss(decoupled, symmetric=symmetric)
    twin = z.detach().clone().requires_grad_()
    same, apart = loss(z, z), loss(z, twin)
    torch.testing.assert_close(same, apart)
    (grad,) = torch.autograd.grad(same, z)
    torch.testing.assert_close(grad, sum(torch.autograd.grad(apart, (z, twin))))


@settings(max_examples=30, deadline=None)
@given(n=st.integers(2, 12), d=st.integers(1, 5), seed=st.integers(0, 2**16))
def test_the_order_of_nodes_a_rotation_the_length_of_rows_and_a_swap_of_views_do_not_matter(n, d, seed):
    z1, z2 = views(n, d, seed)
    loss = PairLoss(temperature=0.3)
    value = loss(z1, z2)
    order = torch.randperm(n)
    torch.testing.assert_close(loss(z1[order], z2[order]), value)
    turn = torch.linalg.qr(torch.randn(d, d, dtype=F64)).Q
    torch.testing.assert_close(loss(z1 @ turn, z2 @ turn), value)
    torch.testing.assert_close(loss(z1 * (torch.rand(n, 1, dtype=F64) + 0.1), 7 * z2), value)
    torch.testing.assert_close(loss(z2, z1), value)


def test_dot_similarity_takes_the_rows_as_they_are():
    z1, z2 = views(7, 3)
    loss = PairLoss(similarity="dot", temperature=1.0)
    unit = F.normalize(z1, dim=1), F.normalize(z2, dim=1)
    torch.testing.assert_close(loss(*unit), PairLoss(temperature=1.0)(z1, z2))
    assert not torch.isclose(loss(z1, z2), loss(2 * z1, z2))
    torch.testing.assert_close(loss(2 * z1, z2), PairLoss(similarity="dot", temperature=0.5)(z1, z2))


def test_a_row_of_zeros_is_similar_to_nobody_and_gets_no_gradient():
    z1, z2 = views(5, 3)
    z1[2] = 0
    z1.requires_grad_()
    loss = PairLoss(temperature=0.5, symmetric="off")
    out = loss(z1, z2)
    rest = [0, 1, 3, 4]
    logits = 2 * F.normalize(z1.detach()[rest], dim=1) @ F.normalize(z2, dim=1).T
    want = (logits.logsumexp(1) - logits[torch.arange(4), torch.tensor(rest)]).sum() + math.log(5)
    torch.testing.assert_close(out, want / 5)
    out.backward()
    assert torch.count_nonzero(z1.grad[2]) == 0
    assert (z1.grad[rest].abs() < 10).all()
    assert (z1.grad[rest] != 0).all()


def test_the_gradient_is_orthogonal_to_the_row_under_cosine():
    z1, z2 = views(7, 3)
    z1.requires_grad_()
    PairLoss()(z1, z2).backward()
    torch.testing.assert_close((z1.grad * z1).sum(1), torch.zeros(7, dtype=F64))


@pytest.mark.parametrize("gap", [0.5, -0.5])
def test_a_small_temperature_gives_the_hinge_of_the_hardest_negative(gap):
    # Cosines 0.6 with the positive and 0.6 + gap, clipped to 1, with the only negative.
    negative = min(0.6 + gap, 1.0)
    z1 = torch.tensor([[1.0, 0], [1, 0]], dtype=F64)
    z2 = torch.tensor([[0.6, 0.8], [negative, math.sqrt(1 - negative**2)]], dtype=F64)
    t = 1e-4
    loss = PairLoss(temperature=t, symmetric="off")(z1, z2)
    # One anchor's positive is the other's negative.
    assert t * loss.item() == pytest.approx(abs(negative - 0.6) / 2, abs=1e-9)


def test_a_large_temperature_gives_a_linear_loss():
    z1, z2 = views(7, 3)
    t = 1e5
    similarity = F.normalize(z1, dim=1) @ F.normalize(z2, dim=1).T
    want = math.log(7) + (similarity.mean(1) - similarity.diagonal()).mean() / t
    torch.testing.assert_close(PairLoss(temperature=t, symmetric="off")(z1, z2), want, rtol=0, atol=1e-9)


@pytest.mark.parametrize("dtype", [torch.float32, F64])
def test_the_smallest_temperature_stays_finite(dtype):
    z1, z2 = (z.to(dtype).requires_grad_() for z in views(7, 3))
    for link in (coupled, decoupled):
        value = PairLoss(link, temperature=1e-4)(z1, z2)
        assert value.isfinite()
        assert all(g.isfinite().all() for g in torch.autograd.grad(value, (z1, z2)))


def test_single_precision_is_within_a_hundred_thousandth():
    z1, z2 = views(67, 8)
    for link in (coupled, decoupled):
        loss = PairLoss(link, temperature=0.1)
        torch.testing.assert_close(loss(z1.float(), z2.float()).double(), loss(z1, z2), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("order", [1, 2, 3])
def test_a_graph_of_positives_averages_the_logits_of_its_powers(order):
    adj, (z1, z2) = path_graph(6), views(6, 3)
    dense = adj.to_dense()
    weights = sum(torch.linalg.matrix_power(dense, power) for power in range(1, order + 1)) / order
    logits = F.normalize(z1, dim=1) @ F.normalize(z2, dim=1).T / 0.4
    others = logits.masked_fill(torch.eye(6, dtype=torch.bool), -torch.inf).logsumexp(1)
    want = (others - (weights * logits).sum(1))[:5].mean()  # the sixth node has nobody to agree with
    loss = PairLoss(decoupled, temperature=0.4, symmetric="off", missing_positive="skip")
    torch.testing.assert_close(loss(z1, z2, positives=adj, order=order), want)
    with pytest.raises(InputError, match="node 5 has no positive: it has no edge"):
        PairLoss(decoupled, symmetric="off")(z1, z2, positives=adj)


def test_gradients_with_a_graph_are_right():
    adj, loss = path_graph(5), PairLoss(decoupled, symmetric="off", missing_positive="skip")
    z = views(5, 3)[0].requires_grad_()
    assert torch.autograd.gradcheck(lambda z: loss(z, z, positives=adj, order=2), (z,))


def test_a_loss_is_a_module_without_parameters_that_prints_what_it_is():
    loss = PairLoss(decoupled, temperature=0.25, negatives=MetaNode(torch.zeros(2, dtype=torch.int64), 1))
    assert list(loss.parameters()) == []
    assert repr(loss) == "PairLoss(decoupled, temperature=0.25, negatives=MetaNode(num_clusters=1))"
    assert isinstance(PairLoss().negatives, Exact)
    assert "coupled, temperature=0.5, negatives=Exact()" in repr(PairLoss())


def test_any_function_of_two_vectors_is_a_link():
    z1, z2 = views(5, 3)
    logits = 2 * F.normalize(z1, dim=1) @ F.normalize(z2, dim=1).T
    others = logits.masked_fill(torch.eye(5, dtype=torch.bool), -torch.inf).logsumexp(1)
    loss = PairLoss(lambda positive, log_z: (log_z - positive).square(), symmetric="off")
    torch.testing.assert_close(loss(z1, z2), (others - logits.diagonal()).square().mean())


@pytest.mark.parametrize("temperature", [0.0, -0.5, math.nan, math.inf])
def test_a_temperature_that_does_not_divide_is_refused(temperature):
    with pytest.raises(InputError, match=f"temperature must be > 0, since it divides the similarity; got {temperature}"):
        check_temperature(temperature)
    with pytest.raises(InputError, match="temperature must be > 0"):
        PairLoss(temperature=temperature)


def test_a_temperature_below_the_limit_is_refused_and_the_limit_taken():
    with pytest.raises(InputError, match=r"at least 0.0001; got 9e-05"):
        check_temperature(9e-5)
    assert check_temperature(1e-4) == 1e-4


def test_unknown_options_are_named():
    with pytest.raises(InputError, match="similarity must be 'cosine' or 'dot'; got 'euclid'"):
        PairLoss(similarity="euclid")
    with pytest.raises(InputError, match="symmetric must be 'mean', 'sum' or 'off'; got 'both'"):
        PairLoss(symmetric="both")


@pytest.mark.parametrize(("one", "two"), [((5, 3), (4, 3)), ((5, 3), (5, 2)), ((5,), (5,)), ((2, 5, 3), (2, 5, 3))])
def test_views_of_other_shapes_are_named_with_the_usual_cause(one, two):
    with pytest.raises(InputError, match="did an augmenter drop nodes") as error:
        PairLoss()(torch.ones(one), torch.ones(two))
    assert f"got {one} and {two}" in str(error.value)


@pytest.mark.parametrize("n", [0, 1])
def test_a_single_row_has_no_negatives(n):
    with pytest.raises(InputError, match=f"at least 2 rows, or there are no negatives; got {n}"):
        PairLoss()(torch.ones(n, 3), torch.ones(n, 3))


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("which", [0, 1])
def test_a_value_that_is_not_finite_is_located(bad, which):
    pair = list(views(5, 3))
    pair[which][3, 1] = bad
    with pytest.raises(InputError, match=f"z{which + 1} has a value that is not finite in row 3"):
        PairLoss()(*pair)


def test_views_of_other_types_are_named():
    with pytest.raises(InputError, match="one floating type and device"):
        PairLoss()(torch.ones(3, 2), torch.ones(3, 2, dtype=F64))


def test_a_graph_wants_the_decoupled_link():
    z = views(5, 3)[0]
    with pytest.raises(InputError, match="goes with the decoupled link"):
        PairLoss(coupled)(z, z, positives=path_graph(5))


def test_a_graph_of_other_nodes_is_named():
    z = views(5, 3)[0]
    with pytest.raises(InputError, match="positives speak of 6 nodes, the embeddings of 5"):
        PairLoss(decoupled)(z, z, positives=path_graph(6))


def test_a_graph_without_edges_is_named():
    z = views(5, 3)[0]
    empty = Adjacency.from_edge_index(torch.zeros(2, 0, dtype=torch.int64), 5, normalize="row", self_loops=False)
    with pytest.raises(InputError, match="no node has a positive: the graph has no edges"):
        PairLoss(decoupled)(z, z, positives=empty.to(dtype=F64))


@pytest.mark.parametrize("order", [0, -1])
def test_an_order_below_one_is_refused(order):
    z = views(5, 3)[0]
    with pytest.raises(InputError, match=f"order must be >= 1, the hops that positives reach; got {order}"):
        PairLoss(decoupled)(z, z, positives=path_graph(5), order=order)


def with_rule(z1, z2, link, intra, ids, weight, t=0.5):
    """Both directions averaged, by dense algebra, with negatives told by a mask."""
    total = 0.0
    for own, other in ((z1, z2), (z2, z1)):
        own, other = F.normalize(own, dim=1), F.normalize(other, dim=1)
        blocks = {False: [other], True: [other, own], "only": [own]}[intra]
        equal = ids[:, None] == ids
        logits = torch.cat([(own @ block.T / t).masked_fill(equal, -torch.inf) for block in blocks], 1)
        terms = link((own * other).sum(1) / t, logits.logsumexp(1))
        total = total + (weight * terms).sum() / weight.sum() / 2
    return total


@pytest.mark.parametrize("link", [coupled, decoupled])
@pytest.mark.parametrize("intra", [False, True, "only"])
@pytest.mark.parametrize("named", [False, True])
def test_own_view_ids_and_weights_match_the_dense_formula(link, intra, named):
    z1, z2 = views(7, 5)
    weight = torch.tensor([1, 0, 2, 1, 3, 0.5, 1], dtype=F64)
    ids = torch.tensor([4, 4, -1, 9, 9, 9, 2]) if named else None
    out = PairLoss(link, intra=intra)(z1, z2, ids=ids, weight=weight)
    want = with_rule(z1, z2, link, intra, ids if named else torch.arange(7), weight)
    torch.testing.assert_close(out, want)
    order = torch.randperm(7)
    moved = PairLoss(link, intra=intra)(z1[order], z2[order], ids=ids[order] if named else None, weight=weight[order])
    torch.testing.assert_close(moved, out)


@pytest.mark.parametrize("intra", [False, True, "only"])
def test_ids_that_all_differ_and_equal_weights_change_nothing(intra):
    z1, z2 = views(7, 5)
    loss = PairLoss(decoupled, intra=intra)
    torch.testing.assert_close(loss(z1, z2, ids=torch.randperm(7), weight=torch.full((7,), 3.0)), loss(z1, z2))


@pytest.mark.parametrize("link", [coupled, decoupled])
@pytest.mark.parametrize("intra", [True, "only"])
@pytest.mark.parametrize("ids", [None, torch.tensor([0, 0, 1, 2, 1])], ids=["plain", "named"])
def test_gradients_with_own_view_ids_and_weights_are_right(link, intra, ids):
    loss = PairLoss(link, intra=intra)
    inputs = (*views(5, 4), torch.rand(5, dtype=F64) + 0.1)
    inputs = tuple(t.requires_grad_() for t in inputs)
    assert torch.autograd.gradcheck(lambda z1, z2, weight: loss(z1, z2, ids=ids, weight=weight), inputs)


@pytest.mark.parametrize("intra", [True, "only"])
def test_one_tensor_as_both_views_is_two_equal_views_with_own_negatives(intra):
    z = views(7, 3)[0]
    loss = PairLoss(intra=intra)
    torch.testing.assert_close(loss(z, z), loss(z, z.clone()))


def test_a_graph_takes_weights_and_ids():
    adj, z = path_graph(5), views(5, 3)[0]
    u = F.normalize(z, dim=1)
    logits, ids = 2 * u @ u.T, torch.tensor([0, 1, 0, 2, 3])
    others = logits.masked_fill(ids[:, None] == ids, -torch.inf).logsumexp(1)
    terms = (others - (adj.to_dense() * logits).sum(1))[:4]
    weight = torch.tensor([1.0, 2, 0, 4, 100], dtype=F64)  # the last node has nobody to agree with
    out = PairLoss(decoupled, symmetric="off", missing_positive="skip")(z, z, positives=adj, ids=ids, weight=weight)
    torch.testing.assert_close(out, (weight[:4] * terms).sum() / 7)


def test_meta_nodes_serve_the_own_view_alone_and_say_what_they_cannot():
    z1, z2 = views(5, 3)
    meta = MetaNode(torch.arange(5), 5)
    torch.testing.assert_close(PairLoss(negatives=meta, intra="only")(z1, z2), PairLoss(intra="only")(z1, z2))
    for loss, ids in ((PairLoss(negatives=meta, intra=True), None), (PairLoss(negatives=meta), torch.arange(5))):
        with pytest.raises(InputError, match="meta-nodes take one candidate an anchor out of its cluster"):
            loss(z1, z2, ids=ids)


def test_ids_weights_and_intra_that_make_no_sense_are_named():
    z1, z2 = views(5, 3)
    with pytest.raises(InputError, match="ids are all equal to 1"):
        PairLoss()(z1, z2, ids=torch.ones(5, dtype=torch.int64))
    with pytest.raises(InputError, match=r"weight must be \(5,\)"):
        PairLoss()(z1, z2, weight=torch.ones(4))
    with pytest.raises(InputError, match="intra must be True, False or 'only'; got 'both'"):
        PairLoss(intra="both")
    with pytest.raises(InputError, match="intra is about two views"):
        PairLoss(decoupled, intra=True)(z1, z1, positives=path_graph(5))


def test_a_loss_with_own_negatives_says_so():
    assert repr(PairLoss(intra=True)) == "PairLoss(coupled, temperature=0.5, negatives=Exact(), intra=True)"


def test_directions_that_share_a_sweep_are_those_that_do_not():
    z1, z2 = views(9, 4)
    for intra in (False, True, "only"):
        for ids in (None, torch.arange(9) // 2):
            loss = PairLoss(intra=intra)
            one, other = (PairLoss(intra=intra, symmetric="off")(*pair, ids=ids) for pair in ((z1, z2), (z2, z1)))
            torch.testing.assert_close(loss(z1, z2, ids=ids), (one + other) / 2)


@pytest.mark.parametrize("link", [coupled, decoupled])
@pytest.mark.parametrize("intra", [False, True, "only"])
def test_rows_of_one_label_attract_and_others_repel(link, intra):
    z1, z2 = views(7, 5)
    labels = torch.tensor([0, 1, 0, 2, 2, 2, 1])
    equal, own = labels[:, None] == labels, torch.eye(7, dtype=torch.bool)
    total = 0.0
    for one, other in ((z1, z2), (z2, z1)):
        one, other = F.normalize(one, dim=1), F.normalize(other, dim=1)
        across, within = one @ other.T / 0.5, one @ one.T / 0.5
        blocks = {False: [across], True: [across, within], "only": [within]}[intra]
        log_z = torch.cat([block.masked_fill(equal, -torch.inf) for block in blocks], 1).logsumexp(1)
        weights = torch.cat([equal, equal & ~own], 1) if intra else torch.cat([equal, torch.zeros_like(own)], 1)
        positive = (torch.cat([across, within], 1) * weights).sum(1) / weights.sum(1)
        total = total + link(positive, log_z).mean() / 2
    torch.testing.assert_close(PairLoss(link, intra=intra)(z1, z2, labels=labels), total)
    torch.testing.assert_close(PairLoss(link, intra=False)(z1, z2, labels=torch.arange(7)), PairLoss(link, intra=False)(z1, z2))


def test_gradients_with_labels_are_right():
    labels = torch.tensor([0, 1, 0, 2, 1])
    loss = PairLoss(decoupled, intra=True)
    inputs = tuple(z.requires_grad_() for z in views(5, 3))
    assert torch.autograd.gradcheck(lambda z1, z2: loss(z1, z2, labels=labels), inputs)


def test_labels_go_alone():
    z1, z2 = views(5, 3)
    labels = torch.tensor([0, 1, 0, 2, 1])
    with pytest.raises(InputError, match="leave out positives and ids"):
        PairLoss()(z1, z2, labels=labels, ids=labels)
    with pytest.raises(InputError, match="labels are all equal to 0"):
        PairLoss()(z1, z2, labels=torch.zeros(5, dtype=torch.int64))


class Nobody:
    """Negatives of nobody but the first anchor."""

    def log_z(self, anchors, candidates, *, scale, rule):
        return torch.full((len(anchors),), -torch.inf).index_fill(0, torch.tensor([0]), 0.0)


@pytest.mark.parametrize("link", [coupled, decoupled])
def test_an_anchor_without_negatives_is_an_error_and_not_a_loss_of_zero(link):
    with pytest.raises(InputError, match="anchor 1 has no negatives: everything was left out"):
        PairLoss(link, negatives=Nobody())(*views(3, 2))


class Positive(Exact):
    reads_positive = True


def test_an_estimator_that_reads_the_positive_is_refused_where_there_is_no_single_one():
    z1, z2 = views(5, 3)
    want = PairLoss()(z1, z2)
    torch.testing.assert_close(PairLoss(negatives=Positive())(z1, z2), want)
    with pytest.raises(InputError, match="needs the one positive of each anchor"):
        PairLoss(negatives=Positive(), intra="only")(z1, z2)
    with pytest.raises(InputError, match="needs the one positive of each anchor"):
        PairLoss(negatives=Positive())(z1, z2, labels=torch.tensor([0, 1, 0, 2, 1]))


class Spy:
    """Keeps the rule it is asked with."""

    def log_z(self, anchors, candidates, *, scale, rule):
        self.rule, self.num_candidates = rule, len(candidates)
        return Exact().log_z(anchors, candidates, scale=scale, rule=rule)


@pytest.mark.parametrize("intra", [False, True])
@pytest.mark.parametrize("named", [False, True])
def test_estimators_are_told_the_position_of_the_positive(intra, named):
    spy, ids = Spy(), torch.tensor([3, 3, 1, 2, 0]) if named else None
    z1, z2 = views(5, 3)
    torch.testing.assert_close(PairLoss(negatives=spy, intra=intra)(z1, z2, ids=ids), PairLoss(intra=intra)(z1, z2, ids=ids))
    assert spy.rule.exclude.tolist() == [0, 1, 2, 3, 4]
    assert spy.num_candidates == (10 if intra else 5)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_single_precision_of_the_rounded_views(dtype):
    z1, z2 = (z.to(dtype).requires_grad_() for z in views(40, 8))
    for loss in (PairLoss(temperature=0.05), PairLoss(decoupled, intra=True)):
        out = loss(z1, z2)
        assert out.dtype == torch.float32
        want = loss(z1.float(), z2.float())
        torch.testing.assert_close(out, want, rtol=1e-6, atol=1e-6)
        assert all(grad.dtype == dtype and grad.isfinite().all() for grad in torch.autograd.grad(out, (z1, z2)))
        with torch.autocast("cpu", dtype=torch.bfloat16):
            torch.testing.assert_close(loss(z1.float(), z2.float()), want, rtol=1e-6, atol=1e-6)


def test_an_estimator_that_remembers_instances_needs_their_ids():
    z1, z2 = views(5, 3)
    for negatives in (Queue(20, 3, enqueue="before"), GlobalAverage(10)):
        loss = PairLoss(decoupled, negatives=negatives.double(), intra=True)
        with pytest.raises(InputError, match="remembers instances by their ids"):
            loss(z1, z2)
        assert loss(z1, z2, ids=torch.arange(5)).isfinite()
