from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from graphcl.errors import InputError
from graphcl.losses import TWO_VIEWS, PairLoss, two_view_loss
from graphcl.recsys.systems.sequential.contrast import Clusters, SequenceContrast

NEGATIVES = ["exact", "sampled", "hcl", "hard-top-k", "debiased", "meta-node", "meta-node-isotropic", "hybrid"]
IDS = torch.tensor([4, 1, 4, 0, 2, 2, 4])
TARGET = torch.tensor([3, 8, 3, 0, 19, 19, 3])  # equal where ids are


def views(n=7, dim=5, seed=0, items=20):
    generator = torch.Generator().manual_seed(seed)
    make = lambda rows: torch.randn(rows, dim, dtype=torch.float64, generator=generator).requires_grad_()  # noqa: E731
    return make(n), make(n), make(items)


def dense(first, second, temperature=1.0, ids=None, intra=True):
    """Cross-entropy of the masked logits over both views."""
    b = len(first)
    rows, partner = torch.cat([first, second]), (torch.arange(2 * b) + b) % (2 * b)
    logits = rows @ rows.T / temperature
    out = torch.eye(2 * b, dtype=torch.bool)
    names = torch.arange(b) if ids is None else ids
    names = torch.cat([names, names])
    out |= names[:, None] == names
    view = torch.arange(2 * b) // b
    if not intra:
        out |= view[:, None] == view
    out[torch.arange(2 * b), partner] = False
    return F.cross_entropy(logits.masked_fill(out, -torch.inf), partner)


def same_with_gradients(got, want, mine, theirs):
    torch.testing.assert_close(got, want)
    for one, other in zip(torch.autograd.grad(got, mine), torch.autograd.grad(want, theirs), strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("loss", ["nt-xent", "info-nce"])
@pytest.mark.parametrize("ids", [None, IDS])
@pytest.mark.parametrize("temperature", [1.0, 0.4])
def test_value_and_gradient_are_those_of_the_masked_logits(loss, ids, temperature):
    (*mine, items), (*theirs, _) = views(), views()
    got = SequenceContrast(temperature, loss=loss)(*mine, TARGET, items, ids=ids)
    same_with_gradients(got, dense(*theirs, temperature, ids, loss == "nt-xent"), mine, theirs)


@pytest.mark.parametrize("b", [2, 3, 13])
def test_any_number_of_rows(b):
    first, second, _ = views(b)
    torch.testing.assert_close(SequenceContrast().within(first, second), dense(first, second))


def test_ids_that_all_differ_change_nothing():
    first, second, _ = views()
    side = SequenceContrast()
    distinct = torch.tensor([9, 3, 5, 0, 7, 1, 2])
    torch.testing.assert_close(side.within(first, second, ids=distinct), side.within(first, second))


def test_ids_that_are_all_equal_leave_only_the_positive():
    first, second, _ = views()
    loss = SequenceContrast().within(first, second, ids=torch.zeros(7, dtype=torch.int64))
    loss.backward()
    assert loss == 0
    assert (first.grad == 0).all()
    assert (second.grad == 0).all()


def test_a_row_by_itself_has_nothing_to_differ_from():
    first, second, items = views(1)
    assert SequenceContrast()(first, second, torch.tensor([2]), items) == 0
    assert SequenceContrast(candidates="items")(first, second, torch.tensor([2]), items) > 0


@pytest.mark.parametrize("candidates", ["batch", "items"])
@pytest.mark.parametrize("negatives", ["exact", "meta-node", "meta-node-isotropic", "hybrid"])
def test_order_of_rows_does_not_matter(negatives, candidates):
    first, second, items = views()
    order = torch.tensor([3, 6, 0, 2, 5, 1, 4])
    side = SequenceContrast(negatives=negatives, candidates=candidates)
    side.refresh(items, seed=0)
    for ids in (None, IDS):
        got = side(first[order], second[order], TARGET[order], items, ids=None if ids is None else ids[order])
        torch.testing.assert_close(got, side(first, second, TARGET, items, ids=ids))


def test_against_items_the_rest_is_the_catalogue_without_the_target():
    (*mine, items), (*theirs, same) = views(), views()
    got = SequenceContrast(0.5, candidates="items")(*mine, TARGET, items)
    terms = []
    for own, other in (theirs, theirs[::-1]):
        rest = (own @ same.T / 0.5).scatter(1, TARGET[:, None], -torch.inf)
        positive = (own * other).sum(1, keepdim=True) / 0.5
        terms.append(torch.cat([positive, rest], 1).logsumexp(1) - positive.squeeze(1))
    same_with_gradients(got, torch.cat(terms).mean(), [*mine, items], [*theirs, same])


@pytest.mark.parametrize("loss", ["nt-xent", "info-nce"])
@pytest.mark.parametrize("ids", [None, IDS])
def test_meta_nodes_are_the_means_of_clusters_without_the_rows_of_the_own_id(loss, ids):
    (*mine, _), (*theirs, _) = views(), views()
    clusters = torch.tensor([1, 0, 1, 1, 0, 0, 1])  # of one id, one cluster
    got = SequenceContrast(0.7, loss=loss, negatives="meta-node").within(*mine, ids=ids, clusters=Clusters(clusters, 4))
    names = torch.arange(7) if ids is None else ids
    terms = []
    for own, other in (theirs, theirs[::-1]):
        for row in range(7):
            parts = [(own[row] @ other[row]) / 0.7]
            for side in (other, own) if loss == "nt-xent" else (other,):
                for cluster in range(2):
                    members = [k for k in range(7) if clusters[k] == cluster and names[k] != names[row]]
                    if members:
                        mean = side[members].mean(0)
                        parts.append(own[row] @ mean / 0.7 + torch.tensor(float(len(members))).log())
            terms.append(torch.stack(parts).logsumexp(0) - parts[0])
    same_with_gradients(got, torch.stack(terms).mean(), mine, theirs)


@pytest.mark.parametrize("negatives", ["meta-node", "meta-node-isotropic", "hybrid"])
@pytest.mark.parametrize("ids", [None, IDS])
def test_clusters_of_one_id_each_are_exact_where_their_rows_coincide(negatives, ids):
    first, second, _ = views()
    of = IDS.clone()
    first, second = (torch.stack([view[IDS.tolist().index(i)] for i in IDS.tolist()]) for view in (first, second))
    got = SequenceContrast(negatives=negatives).within(first, second, ids=ids, clusters=Clusters(of, 5))
    torch.testing.assert_close(got, dense(first, second, ids=ids))


@pytest.mark.parametrize("candidates", ["batch", "items"])
@pytest.mark.parametrize("negatives", NEGATIVES)
@pytest.mark.parametrize("ids", [None, IDS])
def test_every_estimator_has_a_gradient_on_both_views(negatives, candidates, ids):
    torch.manual_seed(0)
    first, second, items = views()
    side = SequenceContrast(negatives=negatives, candidates=candidates, masked=ids is not None)
    side.refresh(items, seed=0)
    loss = side(first, second, TARGET, items, ids=ids)
    loss.backward()
    assert torch.isfinite(loss)
    for rows in (first, second, *([items] if candidates == "items" else [])):
        assert torch.isfinite(rows.grad).all()
        assert (rows.grad != 0).any()


@pytest.mark.parametrize("loss", [name for name in TWO_VIEWS if name not in ("nt-xent", "info-nce")])
def test_every_other_loss_is_itself(loss):
    torch.manual_seed(0)
    first, second, items = views(12, 3)
    target = torch.arange(12)
    torch.manual_seed(1)
    got = SequenceContrast(0.3, loss=loss)(first, second, target, items)
    torch.manual_seed(1)
    other = two_view_loss(loss, 0.3)
    torch.testing.assert_close(got, other(first, second))
    if isinstance(other, PairLoss):
        ids = torch.arange(12) // 2
        got = SequenceContrast(0.3, loss=loss, masked=True)(first, second, target, items, ids=ids)
        torch.testing.assert_close(got, other(first, second, ids=ids))
    else:
        with pytest.raises(InputError, match=f"'{loss}' takes no ids, so it cannot spare false negatives"):
            SequenceContrast(loss=loss, masked=True)


def test_half_precision_is_computed_with_in_single():
    first, second, items = (rows.detach().bfloat16() for rows in views())
    for own in ({"negatives": "meta-node"}, {"candidates": "items"}, {}):
        side = SequenceContrast(**own)
        side.refresh(items.float(), seed=0)
        got = side(first, second, TARGET, items)
        assert got.dtype == torch.float32
        torch.testing.assert_close(got, side(first.float(), second.float(), TARGET, items.float()))


def test_what_does_not_go_together_is_told_when_it_is_made():
    with pytest.raises(InputError, match="unknown kind of candidates 'item'"):
        SequenceContrast(candidates="item")
    with pytest.raises(InputError, match="unknown loss of two views"):
        SequenceContrast(loss="ntxent")
    with pytest.raises(InputError, match="unknown estimator of negatives"):
        SequenceContrast(negatives="meta-nodes")
    with pytest.raises(InputError, match="'vicreg' contrasts the rows of a batch"):
        SequenceContrast(loss="vicreg", candidates="items")
    with pytest.raises(InputError, match="'vicreg' takes no estimator"):
        SequenceContrast(loss="vicreg", negatives="hcl")
    with pytest.raises(InputError, match="temperature must be > 0"):
        SequenceContrast(0.0)
    first, second, items = views()
    for candidates in ("batch", "items"):
        with pytest.raises(InputError, match="call refresh before the first batch"):
            SequenceContrast(negatives="hybrid", candidates=candidates)(first, second, TARGET, items)
    with pytest.raises(InputError, match="these rows have none"):
        SequenceContrast(negatives="meta-node").within(first, second)
    with pytest.raises(InputError, match="not finite in row 0"):
        SequenceContrast(candidates="items")(first * torch.nan, second, TARGET, items)
