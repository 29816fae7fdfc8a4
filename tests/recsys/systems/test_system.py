from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from graphcl.errors import InputError
from graphcl.recsys.ranking import top_k
from graphcl.recsys.ranking.rows import contains
from graphcl.recsys.sampling import Triples, TripleSource
from graphcl.recsys.systems.lightgcn import LightGCN
from graphcl.recsys.systems.system import Layers, RecommendationSystem, mean_of
from graphcl.training import Trainer, TrainingConfig


class Noisy(RecommendationSystem):
    """Draws in training mode, as a system with dropout would."""

    def embeddings(self):
        return Layers(F.dropout(self.user_table, 0.5, self.training), F.dropout(self.item_table, 0.5, self.training))


def test_the_mean_of_layers_is_that_of_each_side():
    layers = [Layers(torch.full((2, 1), float(n)), torch.full((3, 1), 10.0 * n)) for n in (1, 2, 6)]
    mean = mean_of(layers)
    assert mean.users.flatten().tolist() == [3.0] * 2
    assert mean.items.flatten().tolist() == [30.0] * 3
    assert torch.equal(mean_of(layers[:1]).users, layers[0].users)


def test_tables_start_as_told(make_graph):
    graph = make_graph(torch.ones(400, 100))
    torch.manual_seed(0)
    normal = RecommendationSystem(graph, dim=50, init="normal", std=0.3)
    assert normal.user_table.std().item() == pytest.approx(0.3, rel=0.05)
    uniform = RecommendationSystem(graph, dim=50, init="xavier-uniform")
    for table in (uniform.user_table, uniform.item_table):
        bound = (6 / sum(table.shape)) ** 0.5
        assert 0.95 * bound < table.abs().max() <= bound
    xavier = RecommendationSystem(graph, dim=50, init="xavier-normal")
    assert xavier.item_table.std().item() == pytest.approx((2 / 150) ** 0.5, rel=0.05)


def test_only_the_tables_are_remembered(graph):
    system = RecommendationSystem(graph, dim=4)
    assert set(system.state_dict()) == {"user_table", "item_table"}
    assert (system.batch_size, system.sampler) == (2048, "interaction")
    assert (system.negatives_per_positive, system.batches_per_epoch) == (1, None)


def test_who_has_no_interaction_has_a_row_of_zeros(graph):
    system = RecommendationSystem(graph, dim=4)
    users, items = system.encode()
    assert ((users == 0).all(1).nonzero().tolist(), (items == 0).all(1).nonzero().tolist()) == ([[4]], [[7]])
    others = torch.arange(20) != 4
    assert torch.equal(users[others], system.user_table[others])
    assert not users.requires_grad


def test_encoding_is_without_dropout_and_leaves_the_mode(graph):
    system = Noisy(graph, dim=4)
    for mode in (True, False):
        system.train(mode)
        assert torch.equal(system.encode().users, system.encode().users)
        assert system.training is mode


def test_ranking_loss_and_penalty_are_the_formulas(graph, batch):
    system = RecommendationSystem(graph, dim=4, init="normal", std=1.0).double()
    users, items = system.embeddings()
    user, positive, negative = users[batch.user], items[batch.positive], items[batch.negative]
    want = F.softplus((user * negative).sum(1) - (user * positive).sum(1)).mean()
    torch.testing.assert_close(system.ranking_loss(users, items, batch), want)
    penalty = (user.square().sum() + positive.square().sum() + negative.square().sum()) / 2 / len(user)
    torch.testing.assert_close(system.table_penalty(batch), penalty)


def test_several_negatives_count_as_so_many_triples(graph, batch):
    system = RecommendationSystem(graph, dim=4, init="normal").double()
    other = batch.negative.roll(1)
    both = Triples(batch.user, batch.positive, torch.stack([batch.negative, other], 1))
    pairs = [system.ranking_loss(*system.embeddings(), batch._replace(negative=n)) for n in (batch.negative, other)]
    torch.testing.assert_close(system.ranking_loss(*system.embeddings(), both), sum(pairs) / 2)
    extra = system.item_table[other].square().sum() / 2 / len(other)
    torch.testing.assert_close(system.table_penalty(both), system.table_penalty(batch) + extra)


def test_it_ranks_by_inner_products_and_lists_nothing_seen(graph):
    system = RecommendationSystem(graph, dim=4, init="normal")
    scorer = system.scorer()
    assert scorer.trained_on == graph.fingerprint
    users = torch.arange(20)
    torch.testing.assert_close(scorer.score(users), system.encode().users @ system.encode().items.T)
    found = top_k(scorer, users, 5, seen=graph)
    assert not contains(graph, np.arange(20), np.asarray(found.items)).any()


def test_training_lowers_the_loss_and_survives_a_round_trip(make_graph, dense):
    graph = make_graph(dense, torch.float32)
    torch.manual_seed(0)
    system = LightGCN(graph, dim=8, layers=2, batch_size=16)
    source = TripleSource(graph, batch_size=system.batch_size, sampler=system.sampler)
    state = Trainer(TrainingConfig(epochs=25, lr=0.02, device="cpu")).fit(system, source)
    assert state.history[-1]["bpr"] < 0.6 * state.history[0]["bpr"]
    again = LightGCN(graph, dim=8, layers=2)
    again.load_state_dict(system.state_dict())
    assert all(map(torch.equal, again.encode(), system.encode()))


def test_the_graph_moves_along(graph):
    system = LightGCN(graph, dim=4).to("meta")
    assert system.graph.device.type == system.user_table.device.type == "meta"
    assert graph.device.type == "cpu"


def test_what_is_out_of_range_is_told(graph):
    with pytest.raises(InputError, match="dim and batch_size must be >= 1; got 0 and 2048"):
        RecommendationSystem(graph, dim=0)
    with pytest.raises(InputError, match="unknown init 'xavier'; did you mean"):
        RecommendationSystem(graph, init="xavier")
    with pytest.raises(InputError, match="unknown sampler 'user'; did you mean"):
        RecommendationSystem(graph, sampler="user")
