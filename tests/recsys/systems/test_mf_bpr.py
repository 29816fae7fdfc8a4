from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from graphcl.errors import InputError
from graphcl.recsys.sampling import Triples
from graphcl.recsys.systems.lightgcn import LightGCN
from graphcl.recsys.systems.mf_bpr import MFBPR


def test_loss_and_gradients_are_those_of_the_formula(graph, batch):
    torch.manual_seed(0)
    system = MFBPR(graph, dim=5, penalty=0.3, std=1.0).double()
    users, items = (table.detach().clone().requires_grad_() for table in (system.user_table, system.item_table))
    user, positive, negative = users[batch.user], items[batch.positive], items[batch.negative]
    ranking = F.softplus((user * negative).sum(1) - (user * positive).sum(1)).mean()
    penalty = (user.square().sum() + positive.square().sum() + negative.square().sum()) / (2 * len(batch.user))
    terms = system.training_step(batch)
    torch.testing.assert_close(terms["bpr"], ranking)
    torch.testing.assert_close(terms["penalty"], penalty)
    torch.testing.assert_close(terms["loss"], ranking + 0.3 * penalty)
    terms["loss"].backward()
    (ranking + 0.3 * penalty).backward()
    torch.testing.assert_close(system.user_table.grad, users.grad)
    torch.testing.assert_close(system.item_table.grad, items.grad)


def test_training_is_that_of_lightgcn_without_layers(graph, batch):
    systems = []
    for make in (lambda: MFBPR(graph, dim=4, penalty=1e-2), lambda: LightGCN(graph, dim=4, penalty=1e-2, layers=0)):
        torch.manual_seed(5)
        system = make().double()
        optimizer = torch.optim.Adam(system.parameters(), lr=0.1)
        for _ in range(3):
            optimizer.zero_grad()
            system.training_step(batch)["loss"].backward()
            optimizer.step()
        systems.append(system)
    for found, want in zip(systems[0].encode(), systems[1].encode(), strict=True):
        torch.testing.assert_close(found, want)


def test_several_negatives_are_averaged(graph, batch):
    torch.manual_seed(0)
    system = MFBPR(graph, dim=4, penalty=0.0).double()
    other = (batch.negative + 1) % 15
    both = system.training_step(Triples(batch.user, batch.positive, torch.stack([batch.negative, other], 1)))["loss"]
    each = [system.training_step(batch._replace(negative=negative))["loss"] for negative in (batch.negative, other)]
    torch.testing.assert_close(both, (each[0] + each[1]) / 2)


def test_new_numbers_for_users_and_items_change_nothing(graph, dense, batch, make_graph):
    users, items = torch.randperm(20), torch.randperm(15)
    system = MFBPR(graph, dim=4, penalty=0.1).double()
    other = MFBPR(make_graph(dense[users][:, items]), dim=4, penalty=0.1).double()
    with torch.no_grad():
        other.user_table.copy_(system.user_table[users])
        other.item_table.copy_(system.item_table[items])
    new_user, new_item = users.argsort(), items.argsort()
    moved = Triples(new_user[batch.user], new_item[batch.positive], new_item[batch.negative])
    torch.testing.assert_close(other.training_step(moved)["loss"], system.training_step(batch)["loss"])
    torch.testing.assert_close(other.encode().users, system.encode().users[users])
    torch.testing.assert_close(other.encode().items, system.encode().items[items])


def test_it_starts_near_zero_and_scores_by_inner_products(graph, dense):
    torch.manual_seed(0)
    system = MFBPR(graph, dim=64)
    assert abs(float(system.user_table.detach().std()) - 0.1) < 0.01
    scores = system.scorer().score(torch.arange(20))
    known = dense.float().sum(1, keepdim=True).clamp(max=1) * dense.float().sum(0).clamp(max=1)
    torch.testing.assert_close(scores, (system.user_table @ system.item_table.T).detach() * known)


@pytest.mark.parametrize("penalty", [-1.0, float("nan"), float("inf")])
def test_a_penalty_that_is_no_weight_is_refused(penalty, graph):
    with pytest.raises(InputError, match="penalty must be a finite number >= 0"):
        MFBPR(graph, penalty=penalty)
