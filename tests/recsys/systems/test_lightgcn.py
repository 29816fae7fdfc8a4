from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from graphcl.errors import InputError
from graphcl.recsys.systems.lightgcn import LightGCN
from graphcl.recsys.systems.mf_bpr import MFBPR


@pytest.mark.parametrize("layers", [0, 1, 2, 3, 4])
def test_loss_and_gradients_are_those_of_the_dense_sum(layers, graph, operator, batch):
    torch.manual_seed(layers)
    system = LightGCN(graph, dim=5, layers=layers, penalty=0.3, std=1.0).double()
    start = torch.cat([system.user_table, system.item_table]).detach().requires_grad_()
    final = sum(torch.linalg.matrix_power(operator, hop) @ start for hop in range(layers + 1)) / (layers + 1)
    torch.testing.assert_close(torch.cat(system.embeddings()), final)
    rows = [start[batch.user], start[20 + batch.positive], start[20 + batch.negative]]
    user, positive, negative = final[batch.user], final[20 + batch.positive], final[20 + batch.negative]
    ranking = F.softplus((user * (negative - positive)).sum(1)).mean()
    want = ranking + 0.3 * sum(part.square().sum() for part in rows) / 24
    terms = system.training_step(batch)
    torch.testing.assert_close(terms["loss"], want)
    torch.testing.assert_close(terms["bpr"], ranking)
    terms["loss"].backward()
    want.backward()
    torch.testing.assert_close(torch.cat([system.user_table.grad, system.item_table.grad]), start.grad)


def test_without_layers_it_is_matrix_factorisation(graph, batch):
    systems = []
    for cls, own in ((LightGCN, {"layers": 0}), (MFBPR, {})):
        torch.manual_seed(3)
        systems.append(cls(graph, dim=5, penalty=0.1, **own).double())
    terms = [system.training_step(batch) for system in systems]
    for found in terms:
        found["loss"].backward()
    assert all(torch.equal(terms[0][name], terms[1][name]) for name in ("loss", "bpr", "penalty"))
    assert torch.equal(systems[0].user_table.grad, systems[1].user_table.grad)
    assert all(map(torch.equal, systems[0].encode(), systems[1].encode()))


@pytest.mark.parametrize("layers", [1, 3, 5])
def test_two_who_met_nobody_else_become_one_after_odd_layers(layers, make_graph):
    system = LightGCN(make_graph(torch.ones(1, 1)), dim=4, layers=layers).double()
    middle = (system.user_table + system.item_table) / 2
    for side in system.encode():
        torch.testing.assert_close(side, middle.detach())


def test_one_layer_of_two_users_and_two_items_by_hand(make_graph):
    system = LightGCN(make_graph(torch.tensor([[1, 1], [0, 1]])), dim=1, layers=1).double()
    with torch.no_grad():
        system.user_table.copy_(torch.tensor([[1.0], [2.0]]))
        system.item_table.copy_(torch.tensor([[3.0], [4.0]]))
    half = 0.5**0.5
    users, items = system.encode()
    torch.testing.assert_close(users.flatten().tolist(), [(1 + 3 * half + 2) / 2, (2 + 4 * half) / 2])
    torch.testing.assert_close(items.flatten().tolist(), [(3 + half) / 2, (4 + 0.5 + 2 * half) / 2])


def test_numbering_does_not_matter(dense, graph, make_graph):
    system = LightGCN(graph, dim=5, layers=3).double()
    users, items = torch.randperm(20), torch.randperm(15)
    other = LightGCN(make_graph(dense[users][:, items]), dim=5, layers=3).double()
    with torch.no_grad():
        other.user_table.copy_(system.user_table[users])
        other.item_table.copy_(system.item_table[items])
    torch.testing.assert_close(other.encode().users, system.encode().users[users])
    torch.testing.assert_close(other.encode().items, system.encode().items[items])


def test_dropped_edges_are_drawn_anew_and_only_in_training(graph, batch):
    torch.manual_seed(0)
    system = LightGCN(graph, dim=5, std=1.0, edge_dropout=0.5).double()
    first, second = (system.training_step(batch)["loss"] for _ in range(2))
    assert first != second
    torch.manual_seed(0)
    whole = LightGCN(graph, dim=5, std=1.0).double()
    assert all(map(torch.equal, whole.encode(), system.encode()))


def test_what_is_out_of_range_is_told(graph):
    for wrong in ({"layers": -1}, {"edge_dropout": 1.0}, {"edge_dropout": float("nan")}):
        with pytest.raises(InputError, match=r"layers must be >= 0 and edge_dropout in \[0, 1\)"):
            LightGCN(graph, **wrong)
    for wrong in (-1.0, float("nan")):
        with pytest.raises(InputError, match="penalty must be a finite number >= 0"):
            LightGCN(graph, penalty=wrong)
