from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from graphcl.errors import InputError
from graphcl.recsys.sampling import Triples
from graphcl.recsys.systems.directau import DirectAU


def apart(rows):
    """The published form, over a list of all pairs."""
    return torch.pdist(F.normalize(rows, dim=1)).square().mul(-2).exp().mean().log()


def tables(system):
    return [table.detach().clone().requires_grad_() for table in (system.user_table, system.item_table)]


def pairs(user, positive):
    user, positive = torch.tensor(user), torch.tensor(positive)
    return Triples(user, positive, torch.zeros_like(user))


@pytest.mark.parametrize("layers", [0, 1, 3])
def test_loss_and_gradients_are_those_of_the_formula(layers, graph, operator):
    torch.manual_seed(layers)
    batch = pairs([0, 1, 2, 3, 5, 6], [1, 2, 3, 4, 5, 6])
    system = DirectAU(graph, dim=5, layers=layers, gamma=0.7).double()
    start = torch.cat([system.user_table, system.item_table]).detach().requires_grad_()
    final = sum(torch.linalg.matrix_power(operator, hop) @ start for hop in range(layers + 1)) / (layers + 1)
    user, item = final[batch.user], final[20 + batch.positive]
    alignment = (F.normalize(user, dim=1) - F.normalize(item, dim=1)).square().sum(1).mean()
    uniformity = (apart(user) + apart(item)) / 2
    terms = system.training_step(batch)
    torch.testing.assert_close(terms["alignment"], alignment)
    torch.testing.assert_close(terms["uniformity"], uniformity)
    torch.testing.assert_close(terms["loss"], alignment + 0.7 * uniformity)
    terms["loss"].backward()
    (alignment + 0.7 * uniformity).backward()
    torch.testing.assert_close(torch.cat([system.user_table.grad, system.item_table.grad]), start.grad)


def test_two_opposite_users_are_as_far_apart_as_can_be(graph):
    system = DirectAU(graph, dim=2).double()
    with torch.no_grad():
        system.user_table[:2] = torch.tensor([[3.0, 4.0], [-0.3, -0.4]])
        system.item_table[:2] = torch.tensor([[3.0, 4.0], [-0.3, -0.4]])
    terms = system.training_step(pairs([0, 1], [0, 1]))
    assert float(terms["uniformity"].detach()) == pytest.approx(-8.0)
    assert float(terms["alignment"].detach()) == pytest.approx(0.0, abs=1e-12)


def test_negatives_and_lengths_play_no_part_in_training(graph, batch):
    torch.manual_seed(0)
    system = DirectAU(graph, dim=4).double()
    loss = system.training_step(batch)["loss"].detach()
    other = system.training_step(batch._replace(negative=batch.negative.flip(0)))["loss"].detach()
    assert torch.equal(loss, other)
    with torch.no_grad():
        system.user_table.mul_(torch.rand(20, 1, dtype=torch.float64) + 0.5)
    torch.testing.assert_close(system.training_step(batch)["loss"].detach(), loss)


def test_who_stands_in_the_batch_twice_counts_twice_unless_distinct(graph):
    torch.manual_seed(0)
    twice = pairs([0, 0, 1, 2], [3, 4, 5, 5])
    published, distinct = (DirectAU(graph, dim=4, distinct=flag).double() for flag in (False, True))
    distinct.load_state_dict(published.state_dict())
    users, items = tables(published)
    want = (apart(users[twice.user]) + apart(items[twice.positive])) / 2
    torch.testing.assert_close(published.training_step(twice)["uniformity"], want)
    want = (apart(users[[0, 1, 2]]) + apart(items[[3, 4, 5]])) / 2
    torch.testing.assert_close(distinct.training_step(twice)["uniformity"], want)
    torch.testing.assert_close(distinct.training_step(twice)["alignment"], published.training_step(twice)["alignment"])


@pytest.mark.parametrize("distinct", [False, True])
def test_a_batch_of_one_pair_is_aligned_and_has_nothing_to_be_apart_from(distinct, graph):
    torch.manual_seed(0)
    system = DirectAU(graph, dim=4, distinct=distinct).double()
    users, items = tables(system)
    want = (F.normalize(users[:1], dim=1) - F.normalize(items[3:4], dim=1)).square().sum()
    loss = system.training_step(pairs([0], [3]))["loss"]
    torch.testing.assert_close(loss, want)
    loss.backward()
    want.backward()
    torch.testing.assert_close(system.user_table.grad, users.grad)
    torch.testing.assert_close(system.item_table.grad, items.grad)


def test_inner_products_rank_unless_cosines_are_asked_for(graph):
    torch.manual_seed(0)
    dot, cosine = (DirectAU(graph, dim=4, layers=2, score=score).double() for score in ("dot", "cosine"))
    cosine.load_state_dict(dot.state_dict())
    users, items = dot.encode()
    everyone = torch.arange(20)
    torch.testing.assert_close(dot.scorer().score(everyone), users @ items.T)
    want = F.normalize(users, dim=1) @ F.normalize(items, dim=1).T
    torch.testing.assert_close(cosine.scorer().score(everyone), want)
    batch = pairs([0, 1], [2, 3])
    assert torch.equal(dot.training_step(batch)["loss"], cosine.training_step(batch)["loss"])


@pytest.mark.parametrize("score", ["dot", "cosine"])
def test_who_met_nobody_has_zeros_and_no_score(score, graph):
    system = DirectAU(graph, dim=4, layers=1, score=score).double()
    users, items = system.encode()
    assert not users[4].any()
    assert not items[7].any()
    assert not system.scorer().score(torch.tensor([4])).any()
    assert bool(torch.isfinite(users).all() and torch.isfinite(items).all())


def test_new_numbers_for_users_and_items_change_nothing(graph, dense, batch, make_graph):
    users, items = torch.randperm(20), torch.randperm(15)
    system = DirectAU(graph, dim=4, layers=2).double()
    other = DirectAU(make_graph(dense[users][:, items]), dim=4, layers=2).double()
    with torch.no_grad():
        other.user_table.copy_(system.user_table[users])
        other.item_table.copy_(system.item_table[items])
    new_user, new_item = users.argsort(), items.argsort()
    moved = Triples(new_user[batch.user], new_item[batch.positive], new_item[batch.negative])
    torch.testing.assert_close(other.training_step(moved)["loss"], system.training_step(batch)["loss"])
    torch.testing.assert_close(other.encode().users, system.encode().users[users])


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"gamma": -1.0}, "gamma must be a finite number >= 0"),
        ({"layers": -1}, "layers must be >= 0; got -1"),
        ({"score": "cosin"}, "unknown score 'cosin'; did you mean cosine"),
    ],
)
def test_bad_values_are_refused(wrong, message, graph):
    with pytest.raises(InputError, match=message):
        DirectAU(graph, **wrong)
