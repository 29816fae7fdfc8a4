from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from graphcl.errors import InputError
from graphcl.recsys.graph.item_graph import nearest_items
from graphcl.recsys.sampling import Triples
from graphcl.recsys.systems.ultragcn import UltraGCN


def formula(system, dense, batch, negatives, neighbours):
    """The published sum, pair by pair."""
    users, items = (table.detach().clone().requires_grad_() for table in (system.user_table, system.item_table))
    of_user, of_item = dense.sum(1), dense.sum(0)
    together = dense.T @ dense
    together.fill_diagonal_(0)
    g = together.sum(1)
    total = system.penalty / 2 * (users.square().sum() + items.square().sum())
    for u, i, drawn in zip(batch.user.tolist(), batch.positive.tolist(), negatives.tolist(), strict=True):
        beta = (of_user[u] + 1).sqrt() / of_user[u] / (of_item + 1).sqrt()
        scores = items @ users[u]
        total = total + (system.w1 + system.w2 * beta[i]) * F.softplus(-scores[i])
        for j in drawn:
            weight = system.negative_weight / len(drawn) * (system.w3 + system.w4 * beta[j])
            total = total + weight * F.softplus(scores[j])
        omega = together[i] / g[i] * ((g[i] + 1) / (g + 1)).sqrt()
        for k in omega.argsort(descending=True, stable=True)[:neighbours]:
            total = total + system.neighbour_weight * omega[k] * F.softplus(-scores[k])
    return total, users, items


def test_loss_and_gradients_are_those_of_the_published_sum(graph, dense, batch):
    torch.manual_seed(0)
    system = UltraGCN(
        graph, dim=5, w1=0.1, w2=0.7, w3=0.3, w4=0.9, num_negatives=6, negative_weight=4.0,
        neighbours=3, neighbour_weight=0.6, penalty=0.2, std=1.0,
    ).double()  # fmt: skip
    torch.manual_seed(1)
    negatives = torch.randint(15, (12, 6))
    torch.manual_seed(1)
    loss = system.training_step(batch)["loss"]
    want, users, items = formula(system, dense, batch, negatives, 3)
    torch.testing.assert_close(loss, want)
    loss.backward()
    want.backward()
    torch.testing.assert_close(system.user_table.grad, users.grad)
    torch.testing.assert_close(system.item_table.grad, items.grad)


def test_without_its_weights_it_is_logistic_factorisation_with_one_negative(graph, batch):
    torch.manual_seed(0)
    system = UltraGCN(
        graph, w1=1, w2=0, w3=1, w4=0, num_negatives=1, negative_weight=1, neighbour_weight=0, penalty=0, sifted=True, std=1.0
    ).double()
    assert system.negatives_per_positive == 1
    users, items = (table.detach().clone().requires_grad_() for table in (system.user_table, system.item_table))
    user = users[batch.user]
    scores = torch.cat([(user * items[batch.positive]).sum(1), (user * items[batch.negative]).sum(1)])
    target = torch.cat([torch.ones(12), torch.zeros(12)]).double()
    want = F.binary_cross_entropy_with_logits(scores, target, reduction="sum")
    loss = system.training_step(batch)["loss"]
    torch.testing.assert_close(loss, want)
    loss.backward()
    want.backward()
    torch.testing.assert_close(system.user_table.grad, users.grad)
    torch.testing.assert_close(system.item_table.grad, items.grad)


def test_a_batch_is_the_sum_of_its_pairs(graph, batch):
    torch.manual_seed(0)
    system = UltraGCN(graph, dim=4, num_negatives=3, sifted=True, penalty=0, std=1.0).double()
    assert system.negatives_per_positive == 3
    whole = batch._replace(negative=torch.stack([batch.negative, batch.positive, batch.negative], 1))
    each = [system.training_step(Triples(*(part[n : n + 1] for part in whole)))["loss"] for n in range(12)]
    torch.testing.assert_close(system.training_step(whole)["loss"], torch.stack(each).sum())


def test_negatives_are_uniform_over_all_items_and_drawn_anew(graph, batch):
    torch.manual_seed(0)
    system = UltraGCN(graph, dim=4, num_negatives=2000, std=1.0)
    losses = [float(system.training_step(batch)["negative"].detach()) for _ in range(2)]
    assert losses[0] != losses[1]
    scores = F.softplus(system.user_table[batch.user] @ system.item_table.T)
    beta = system.beta_user[batch.user][:, None] * system.beta_item
    expected = 300 * float(((system.w3 + beta) * scores).mean(1).sum().detach())
    assert losses[0] == pytest.approx(expected, rel=0.02)


def test_degree_zero_is_no_division_by_zero(graph, batch):
    system = UltraGCN(graph, dim=4, num_negatives=50)
    assert system.beta_user[4] == 0
    assert all(bool(torch.isfinite(term)) for term in system.training_step(batch).values())
    system.training_step(batch)["loss"].backward()
    assert bool(torch.isfinite(system.user_table.grad).all() and torch.isfinite(system.item_table.grad).all())
    users, items = system.encode()
    assert not users[4].any()
    assert not items[7].any()


def test_the_neighbours_are_those_of_the_item_graph_and_are_not_saved(graph):
    system = UltraGCN(graph, neighbours=4)
    items, weights = nearest_items(graph, 4)
    assert torch.equal(system.near, items)
    torch.testing.assert_close(system.omega, weights)
    assert set(system.state_dict()) == {"user_table", "item_table"}
    assert UltraGCN(graph, neighbour_weight=0).near.shape == (15, 0)


def test_new_numbers_for_users_and_items_change_nothing(graph, dense, batch, make_graph):
    torch.manual_seed(0)
    users, items = torch.randperm(20), torch.randperm(15)
    # As many neighbours as there are items: with fewer, ties at the cut go by number.
    settings = {"dim": 4, "num_negatives": 1, "sifted": True, "neighbours": 15, "neighbour_weight": 1.0, "std": 1.0}
    system = UltraGCN(graph, **settings).double()
    other = UltraGCN(make_graph(dense[users][:, items]), **settings).double()
    with torch.no_grad():
        other.user_table.copy_(system.user_table[users])
        other.item_table.copy_(system.item_table[items])
    new_user, new_item = users.argsort(), items.argsort()
    moved = Triples(new_user[batch.user], new_item[batch.positive], new_item[batch.negative])
    torch.testing.assert_close(other.training_step(moved)["loss"], system.training_step(batch)["loss"])


@pytest.mark.parametrize("name", ["w1", "w2", "w3", "w4", "negative_weight", "neighbour_weight", "penalty"])
def test_weights_below_zero_are_refused(name, graph):
    with pytest.raises(InputError, match=f"{name} must be a finite number >= 0"):
        UltraGCN(graph, **{name: -1.0})


@pytest.mark.parametrize("wrong", [{"num_negatives": 0}, {"neighbours": 0}])
def test_numbers_below_one_are_refused(wrong, graph):
    with pytest.raises(InputError, match="num_negatives and neighbours must be >= 1"):
        UltraGCN(graph, **wrong)


def test_sifted_negatives_must_be_as_many_as_asked_for(graph, batch):
    system = UltraGCN(graph, num_negatives=2, sifted=True)
    with pytest.raises(InputError, match=r"negatives must be \(12, 2\), as many as num_negatives; got \(12,\)"):
        system.training_step(batch)
