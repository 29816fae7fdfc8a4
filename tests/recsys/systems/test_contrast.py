from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from graphcl.errors import InputError
from graphcl.losses import TWO_VIEWS, InfoNCE
from graphcl.negatives import HardTopK
from graphcl.recsys.systems.contrast import SideContrast

NEGATIVES = ["exact", "sampled", "hcl", "hard-top-k", "debiased", "meta-node", "meta-node-isotropic", "hybrid"]


def views(n=30, dim=5, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(n, dim, dtype=torch.float64, generator=generator).requires_grad_() for _ in range(2)]


def dense(first, second, ids, candidates, temperature=0.2, weight=None, *, cosine=True):
    if cosine:
        first, second = F.normalize(first, dim=1), F.normalize(second, dim=1)
    columns = second if candidates == "all" else second[ids]
    target = ids if candidates == "all" else torch.arange(len(ids))
    each = F.cross_entropy(first[ids] @ columns.T / temperature, target, reduction="none")
    weight = torch.ones(len(ids)) if weight is None else weight
    return (weight * each).sum() / weight.sum()


@pytest.mark.parametrize("candidates", ["batch", "all"])
@pytest.mark.parametrize("similarity", ["cosine", "dot"])
@pytest.mark.parametrize("weighted", [False, True])
def test_value_and_gradient_are_those_of_the_logits(candidates, similarity, weighted):
    ids = torch.tensor([3, 0, 17, 29, 11])
    weight = torch.tensor([1, 4, 2, 1, 1]) if weighted else None
    got, want = views(), views()
    loss = SideContrast(0.2, candidates=candidates, similarity=similarity)(*got, ids, weight)
    expected = dense(*want, ids, candidates, weight=weight, cosine=similarity == "cosine")
    torch.testing.assert_close(loss, expected)
    loss.backward()
    expected.backward()
    for one, other in zip(got, want, strict=True):
        torch.testing.assert_close(one.grad, other.grad)


def test_weights_say_how_often_a_row_stands_in_the_batch():
    repeated = torch.tensor([4, 4, 9, 2, 9, 9])
    ids, times = repeated.unique(return_counts=True)
    got = SideContrast(0.3, candidates="all")(*views(), ids, times)
    torch.testing.assert_close(got, dense(*views(), repeated, "all", 0.3))


def test_views_that_agree_and_stand_apart_are_worth_what_the_temperature_leaves():
    eye = torch.eye(6)
    got = SideContrast(0.5)(eye, eye, torch.arange(6))
    torch.testing.assert_close(got, (1 + 5 * torch.tensor(-2.0).exp()).log())


def test_order_and_numbering_do_not_matter():
    first, second = views()
    ids, order = torch.tensor([5, 1, 20]), torch.randperm(30, generator=torch.Generator().manual_seed(0))
    place = order.argsort()
    for candidates in ("batch", "all"):
        side = SideContrast(0.2, candidates=candidates)
        torch.testing.assert_close(side(first[order], second[order], place[ids.flip(0)]), side(first, second, ids))


@pytest.mark.parametrize("name", [name for name in TWO_VIEWS if name != "info-nce"])
def test_every_loss_is_that_of_the_rows_of_the_batch(name):
    ids = torch.arange(0, 30, 2)
    torch.manual_seed(0)
    first, second = views(dim=3)
    loss = SideContrast(0.3, loss=name)(first, second, ids)
    loss.backward()
    for rows in (first, second):
        if rows.grad is not None:  # a bootstrapped loss holds its second view fixed
            assert torch.isfinite(rows.grad).all()
            assert (rows.grad[1::2] == 0).all()
    assert (first.grad[ids] != 0).any()


def test_another_loss_takes_temperature_and_estimator():
    ids = torch.arange(12)
    first, second = views()
    got = SideContrast(0.3, loss="nt-xent", negatives="hard-top-k")
    assert "nt-xent, temperature=0.3, negatives=hard-top-k" in repr(got)
    both_ways = SideContrast(0.3, loss="dcl", negatives="hard-top-k")(first, second, ids)
    assert torch.isfinite(both_ways)
    one_way = SideContrast(0.3, negatives="hard-top-k")(first, second, ids)
    torch.testing.assert_close(
        one_way, InfoNCE(0.3, negatives=HardTopK(fraction=0.1), symmetric="off")(first[:12], second[:12])
    )


@pytest.mark.parametrize("candidates", ["batch", "all"])
@pytest.mark.parametrize("negatives", NEGATIVES)
def test_every_estimator_has_a_gradient_on_both_views(negatives, candidates):
    torch.manual_seed(0)
    first, second = views()
    side = SideContrast(0.3, negatives=negatives, candidates=candidates)
    side.refresh(second)
    loss = side(first, second, torch.arange(3, 28, 2))
    loss.backward()
    assert torch.isfinite(loss)
    for rows in (first, second):
        assert torch.isfinite(rows.grad).all()
        assert (rows.grad != 0).any()


@pytest.mark.parametrize("negatives", ["meta-node", "meta-node-isotropic", "hybrid"])
@pytest.mark.parametrize("candidates", ["batch", "all"])
def test_clusters_whose_points_coincide_are_exact(negatives, candidates):
    first, places = views(36, 4)
    second = places[:6].detach().repeat(6, 1)  # 36 rows in 6 places, and sqrt 36 clusters
    side = SideContrast(0.3, negatives=negatives, candidates=candidates)
    side.refresh(second)
    ids = torch.arange(0, 36, 5)
    torch.testing.assert_close(side(first, second, ids), dense(first, second, ids, candidates, 0.3))


@pytest.mark.parametrize("negatives", ["meta-node", "meta-node-isotropic"])
def test_clusters_of_one_row_each_in_the_batch_are_exact(negatives):
    first, second = views(36, 4)
    side = SideContrast(0.3, negatives=negatives)
    side.refresh(second)
    ids = torch.tensor([int((side._clusters == cluster).nonzero()[0]) for cluster in side._clusters.unique()])
    torch.testing.assert_close(side(first, second, ids), dense(first, second, ids, "batch", 0.3))
    everybody = torch.arange(36)
    assert not torch.isclose(side(first, second, everybody), dense(first, second, everybody, "batch", 0.3), rtol=1e-6)


def test_clusters_are_the_same_for_the_same_seed():
    side = SideContrast(0.3, negatives="meta-node")
    found = []
    for _ in range(2):
        side.refresh(views(200)[1])
        found.append(side._clusters)
    assert torch.equal(*found)
    assert len(found[0].unique()) == 14
    assert side.state_dict() == {}


def test_a_batch_of_one_has_nothing_to_differ_from():
    for loss in ("info-nce", "vicreg"):
        first, second = views()
        value = SideContrast(0.3, loss=loss)(first, second, torch.tensor([7]))
        value.backward()
        assert value == 0
        assert (first.grad == 0).all()
    assert SideContrast(0.3, candidates="all")(*views(), torch.tensor([7])) > 0


def test_what_does_not_go_together_is_told_when_it_is_made():
    with pytest.raises(InputError, match="unknown kind of candidates 'everybody'"):
        SideContrast(0.3, candidates="everybody")
    with pytest.raises(InputError, match="unknown loss of two views"):
        SideContrast(0.3, loss="infonce")
    with pytest.raises(InputError, match="unknown estimator of negatives"):
        SideContrast(0.3, negatives="meta-nodes")
    with pytest.raises(InputError, match="'vicreg' contrasts the rows of a batch"):
        SideContrast(0.3, loss="vicreg", candidates="all")
    with pytest.raises(InputError, match="'vicreg' takes no estimator"):
        SideContrast(0.3, loss="vicreg", negatives="hcl")
    with pytest.raises(InputError, match="temperature must be > 0"):
        SideContrast(0.0)
    with pytest.raises(InputError, match="call refresh before the first batch"):
        SideContrast(0.3, negatives="hybrid")(*views(), torch.arange(4))
    with pytest.raises(InputError, match="not finite, so they cannot be clustered"):
        SideContrast(0.3, negatives="meta-node").refresh(torch.full((9, 2), float("nan")))
