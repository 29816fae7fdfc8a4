import math

import pytest
import torch
import torch.nn.functional as F
from torch.autograd import gradcheck

from graphcl.errors import InputError
from graphcl.losses.full_softmax import FullSoftmax, SampledSoftmax
from graphcl.losses.temperature import LearnableTemperature
from graphcl.negatives import ColumnBias, MetaNode, Sampled

F64 = torch.float64
A = torch.tensor([[1, 0, 0], [1, 1, 0], [0, 1, 1], [1, 1, 1]], dtype=F64)
B = torch.tensor([[2, 1, 0], [1, 2, 0], [0, 1, 2], [1, 1, 2]], dtype=F64)


def batch(b=6, m=11, d=4, seed=0):
    torch.manual_seed(seed)
    queries, items = torch.randn(b, d, dtype=F64), torch.randn(m, d, dtype=F64)
    return queries, items, torch.randint(m, (b,))


def csr(lists):
    ends = torch.tensor([0, *(len(row) for row in lists)]).cumsum(0)
    return ends, torch.tensor([item for row in lists for item in row], dtype=torch.int64)


def dense(queries, items, target, out=(), t=1.0):
    """Cross-entropy on the whole array of logits, without the pairs that are out."""
    logits = queries @ items.T / t
    mask = torch.zeros(logits.shape, dtype=torch.bool)
    for row, columns in enumerate(out):
        mask[row, list(columns)] = True
    mask[torch.arange(len(target)), target] = False
    return F.cross_entropy(logits.masked_fill(mask, -torch.inf), target, reduction="none")


def test_it_has_the_golden_value_of_the_one_way_contrast():
    assert FullSoftmax(0.5, similarity="cosine")(A, B, torch.arange(4)).item() == pytest.approx(0.9521125602, abs=1e-9)


@pytest.mark.parametrize(("b", "m", "d"), [(1, 2, 1), (6, 11, 4), (31, 7, 5)])
@pytest.mark.parametrize("t", [0.05, 1.0])
def test_it_is_the_cross_entropy_of_dense_logits_in_value_and_gradients(b, m, d, t):
    queries, items, target = batch(b, m, d)
    inputs = tuple(x.requires_grad_() for x in (queries, items, torch.randn(m, dtype=F64), torch.rand(b, dtype=F64)))
    _, _, bias, weight = inputs
    got = FullSoftmax(t)(queries, items, target, bias=bias, weight=weight)
    terms = F.cross_entropy(queries @ items.T / t + bias, target, reduction="none")
    want = (weight * terms).sum() / weight.sum()
    torch.testing.assert_close(got, want)
    torch.testing.assert_close(torch.autograd.grad(got, inputs), torch.autograd.grad(want, inputs))


def test_a_catalogue_of_many_tiles_gives_the_dense_numbers():
    queries, items, target = batch(700, 9000, 3)
    bias = torch.randn(9000, dtype=F64, requires_grad=True)
    inputs = (queries.requires_grad_(), items.requires_grad_(), bias)
    got = FullSoftmax()(queries, items, target, bias=bias)
    want = F.cross_entropy(queries @ items.T + bias, target)
    torch.testing.assert_close(got, want)
    torch.testing.assert_close(torch.autograd.grad(got, inputs), torch.autograd.grad(want, inputs))


def test_what_a_query_has_seen_is_no_negative_and_its_target_still_counts():
    queries, items, target = batch()
    rows = [{0, 3}, set(), {int(target[2]), 5}, {1, 2, 4, 6}, {10}, set(range(11))]
    want = dense(queries, items, target, rows)
    got = [FullSoftmax()(queries, items, target, seen=csr(rows), weight=row) for row in torch.eye(6, dtype=F64)]
    torch.testing.assert_close(torch.stack(got), want)
    assert got[5].item() == 0  # nothing but the target is left


def test_a_query_without_negatives_has_finite_gradients():
    queries, items, target = batch(2)
    queries.requires_grad_()
    FullSoftmax()(queries, items, target, seen=csr([range(11), []])).backward()
    assert torch.isfinite(queries.grad).all()
    assert (queries.grad[0] == 0).all()


def test_copies_of_the_target_are_no_negatives():
    queries, items, target = batch()
    ids = torch.tensor([7, 7, 0, 1, 2, 3, 4, 0, 5, 6, 7])
    copies = [{j for j in range(11) if ids[j] == ids[t]} for t in target.tolist()]
    assert max(map(len, copies)) > 1
    torch.testing.assert_close(FullSoftmax()(queries, items, target, ids=ids), dense(queries, items, target, copies).mean())
    both = [own | {9} for own in copies]
    got = FullSoftmax()(queries, items, target, ids=ids, seen=csr([{9}] * 6))
    torch.testing.assert_close(got, dense(queries, items, target, both).mean())


def test_the_order_of_queries_and_items_does_not_matter_nor_does_a_shift_of_the_bias():
    queries, items, target = batch()
    bias = torch.randn(11, dtype=F64)
    want = FullSoftmax()(queries, items, target, bias=bias)
    rows, order = torch.randperm(6), torch.randperm(11)
    got = FullSoftmax()(queries[rows], items[order], order.argsort()[target[rows]], bias=bias[order] + 3)
    torch.testing.assert_close(got, want)


def test_cosine_does_not_see_lengths_and_a_learned_temperature_is_trained():
    queries, items, target = batch()
    loss = FullSoftmax(0.3, similarity="cosine")
    want = dense(F.normalize(queries, dim=1), F.normalize(items, dim=1), target, t=0.3).mean()
    torch.testing.assert_close(loss(queries * torch.rand(6, 1), 5 * items, target), want)
    learned = FullSoftmax(LearnableTemperature(0.3), similarity="cosine")
    value = learned(queries, items, target)
    torch.testing.assert_close(value, want, rtol=1e-6, atol=0)
    value.backward()
    (parameter,) = learned.parameters()
    assert parameter.grad.item() != 0


@pytest.mark.parametrize("similarity", ["dot", "cosine"])
def test_gradients_are_right(similarity):
    queries, items, target = batch(5, 7)
    inputs = tuple(x.requires_grad_() for x in (queries, items, torch.randn(7, dtype=F64), torch.rand(5, dtype=F64)))
    loss, seen = FullSoftmax(0.5, similarity=similarity), csr([{0}, {1, 2}, set(), {6}, {3}])
    assert gradcheck(lambda q, v, b, w: loss(q, v, target, bias=b, weight=w, seen=seen), inputs)


def test_every_item_drawn_once_by_equal_weights_is_the_full_softmax():
    class Once(Sampled):
        def draw(self, num_candidates):
            return torch.randperm(num_candidates)

    queries, items, target = batch()
    rows, bias = [{0, 3}, set(), {5}, {1, 2}, {10}, {7}], torch.randn(11, dtype=F64)
    got = FullSoftmax(negatives=Once(11))(queries, items, target, bias=bias, seen=csr(rows))
    torch.testing.assert_close(got, FullSoftmax()(queries, items, target, bias=bias, seen=csr(rows)))


@pytest.mark.parametrize("popular", [False, True])
def test_the_sampled_sum_is_unbiased_with_hits_and_seen_items_left_out(popular):
    queries, items, target = batch(1, 9, 3)
    bias, seen = torch.randn(9, dtype=F64) / 2, [j for j in (0, 3, 8) if j != target]
    proposal = torch.rand(9) + 0.2 if popular else None
    loss = SampledSoftmax(5, proposal, generator=torch.Generator().manual_seed(1))
    logits = (queries @ items.T + bias)[0]
    keep = [j for j in range(9) if j != target and j not in seen]
    exact = 1 + (logits[keep] - logits[target]).exp().sum()
    # e^loss is affine in the estimated sum: 1 + Z / e^l.
    drawn = torch.stack([loss(queries, items, target, bias=bias, seen=csr([seen])) for _ in range(400)]).exp()
    assert abs(drawn.mean() - exact) < 4 * drawn.std() / math.sqrt(400)


def test_draws_that_all_hit_the_target_are_worth_nothing():
    queries, items, _ = batch(2, 3)
    loss = SampledSoftmax(4, torch.tensor([0.0, 1.0, 0.0]))
    assert loss(queries, items, torch.tensor([1, 1])).item() == 0
    assert loss(queries, items, torch.tensor([1, 0])).item() > 0


def test_the_popularity_of_batches_can_be_taken_off_every_logit():
    queries, items, target = batch()
    log_q = torch.rand(11, dtype=F64).log()
    got = FullSoftmax(negatives=ColumnBias(-log_q))(queries, items, target)
    torch.testing.assert_close(got, F.cross_entropy(queries @ items.T - log_q, target))
    torch.testing.assert_close(got, FullSoftmax()(queries, items, target, bias=-log_q))


def test_clusters_of_one_item_are_the_items():
    queries, items, target = batch()
    bias = torch.randn(11, dtype=F64)
    got = FullSoftmax(negatives=MetaNode(torch.randperm(11), 11))(queries, items, target, bias=bias)
    torch.testing.assert_close(got, FullSoftmax()(queries, items, target, bias=bias))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_lower_precision_stays_close(dtype):
    queries, items, target = batch(16, 40, 8)
    bias = torch.randn(40, dtype=F64)
    low = FullSoftmax()(queries.to(dtype), items.to(dtype), target, bias=bias.to(dtype))
    assert low.dtype == torch.float32
    torch.testing.assert_close(low.double(), FullSoftmax()(queries, items, target, bias=bias), rtol=2e-2, atol=0)


def test_large_logits_stay_finite():
    queries, items, target = batch()
    got = FullSoftmax()(1e3 * queries.float(), 10 * items.float(), target)
    torch.testing.assert_close(got.double(), dense(1e3 * queries, 10 * items, target).mean(), rtol=1e-5, atol=0)


def test_arguments_that_make_no_sense_are_named():
    queries, items, target = batch()
    loss = FullSoftmax()
    for wrong in (-1, 11):
        with pytest.raises(InputError, match=r"target must lie in 0 .. 10, positions among the items; got .*padding"):
            loss(queries, items, torch.full((6,), wrong))
    with pytest.raises(InputError, match=r"target must be \(6,\) integers, the item that each query chose; got \(5,\)"):
        loss(queries, items, target[:5])
    with pytest.raises(InputError, match=r"target must be .* torch\.float64"):
        loss(queries, items, target.double())
    with pytest.raises(InputError, match=r"must share D; got \(6, 3\) and \(11, 4\)"):
        loss(queries[:, :3], items, target)
    with pytest.raises(InputError, match="a query and at least 2 items, one to choose; got 6 and 1"):
        loss(queries, items[:1], torch.zeros(6, dtype=torch.int64))
    with pytest.raises(InputError, match="a query and at least 2 items"):
        loss(queries[:0], items, target[:0])
    with pytest.raises(InputError, match="items must be floating point"):
        loss(queries, items.long(), target)
    with pytest.raises(InputError, match="queries has a value that is not finite in row 0"):
        loss(queries / 0, items, target)
    with pytest.raises(InputError, match="bias must be a vector of finite numbers"):
        loss(queries, items, target, bias=torch.full((11,), torch.nan))
    with pytest.raises(InputError, match="the bias speaks of 4 candidates but there are 11"):
        loss(queries, items, target, bias=torch.zeros(4))
    with pytest.raises(InputError, match=r"seen must list columns in \[0, 11\); got 11 to 11"):
        loss(queries, items, target, seen=csr([{11}, *[set()] * 5]))
    with pytest.raises(InputError, match=r"ids must be \(11,\)"):
        loss(queries, items, target, ids=torch.arange(6))
    with pytest.raises(InputError, match=r"weight must be \(6,\)"):
        loss(queries, items, target, weight=torch.ones(11))
    with pytest.raises(InputError, match="similarity must be 'cosine' or 'dot'; got 'l2'"):
        FullSoftmax(similarity="l2")
    with pytest.raises(InputError, match="temperature must be > 0"):
        FullSoftmax(0.0)
    with pytest.raises(InputError, match="num must be >= 1"):
        SampledSoftmax(0)


def test_they_print_what_they_are():
    assert repr(FullSoftmax()) == "FullSoftmax(temperature=1, similarity='dot', negatives=Exact())"
    assert "temperature=0.2" in repr(SampledSoftmax(5, temperature=0.2))
    assert "Sampled(5, uniform)" in repr(SampledSoftmax(5))
    assert "temperature=learned" in repr(FullSoftmax(LearnableTemperature()))
