from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from graphcl.losses import TWO_VIEWS
from graphcl.recsys.data import load
from graphcl.recsys.graph import Bipartite
from graphcl.recsys.sampling import TripleSource
from graphcl.recsys.systems.lightgcn import LightGCN
from graphcl.recsys.systems.noise import noisy_layers
from graphcl.recsys.systems.simgcl import SimGCL
from graphcl.recsys.systems.system import mean_of
from graphcl.training import Trainer, TrainingConfig


def info_nce(first, second, ids, temperature):
    ids = ids.unique()
    logits = F.normalize(first[ids], dim=1) @ F.normalize(second[ids], dim=1).T / temperature
    return F.cross_entropy(logits, torch.arange(len(ids)))


def test_the_loss_is_that_of_two_noisy_runs_and_a_clean_one_and_so_are_gradients(graph, batch):
    torch.manual_seed(0)
    system = SimGCL(graph, dim=5, layers=2, contrast=0.7, eps=0.2, temperature=0.3, penalty=0.1).double()
    torch.manual_seed(1)
    terms = system.training_step(batch)
    terms["loss"].backward()
    got = [table.grad.clone() for table in system.parameters()]
    system.zero_grad()
    # The same draws, and three runs by plain autograd.
    torch.manual_seed(1)
    one, two = (mean_of(noisy_layers(graph, system.user_table, system.item_table, 2, 0.2)) for _ in range(2))
    contrast = info_nce(one.users, two.users, batch.user, 0.3) + info_nce(one.items, two.items, batch.positive, 0.3)
    want = system.ranking_loss(*system.embeddings(), batch) + 0.1 * system.table_penalty(batch) + 0.7 * contrast
    torch.testing.assert_close(terms["loss"], want)
    torch.testing.assert_close(terms["contrast"], contrast)
    want.backward()
    for mine, table in zip(got, system.parameters(), strict=True):
        torch.testing.assert_close(mine, table.grad)


def test_without_noise_both_views_are_the_clean_run(graph):
    system = SimGCL(graph, dim=5, eps=0.0).double()
    clean = system.embeddings()
    first, second = system.view(clean), system.view(clean)
    known = graph.user_degree > 0
    cosine = F.cosine_similarity(first.users, second.users)[known]
    torch.testing.assert_close(cosine, torch.ones_like(cosine))
    torch.testing.assert_close(first.items, clean.items)


def test_without_contrast_nothing_is_drawn_and_training_is_that_of_the_graph(make_graph, dense):
    graph = make_graph(dense, torch.float32)
    systems = []
    for cls, own in ((SimGCL, {"contrast": 0.0}), (LightGCN, {"init": "xavier-uniform"})):
        torch.manual_seed(0)
        system = cls(graph, dim=4, layers=2, batch_size=16, **own)
        if cls is LightGCN:
            system.weights = [0.0, 0.5, 0.5]
        Trainer(TrainingConfig(epochs=4, lr=0.01, device="cpu")).fit(system, TripleSource(graph, batch_size=16))
        systems.append(system)
    assert all(map(torch.equal, systems[0].parameters(), systems[1].parameters()))


def test_numbering_does_not_matter_without_noise(dense, graph, make_graph, batch):
    users, items = torch.randperm(20), torch.randperm(15)
    system = SimGCL(graph, dim=5, eps=0.0).double()
    other = SimGCL(make_graph(dense[users][:, items]), dim=5, eps=0.0).double()
    with torch.no_grad():
        other.user_table.copy_(system.user_table[users])
        other.item_table.copy_(system.item_table[items])
    to_users, to_items = users.argsort(), items.argsort()
    moved = batch._replace(user=to_users[batch.user], positive=to_items[batch.positive], negative=to_items[batch.negative])
    torch.testing.assert_close(other.training_step(moved)["loss"], system.training_step(batch)["loss"])


def train(**own):
    train = load("davis").train
    graph = Bipartite(train)
    torch.manual_seed(0)
    system = SimGCL(graph, dim=3, layers=2, batch_size=64, **own)
    state = Trainer(TrainingConfig(epochs=2, device="cpu")).fit(system, TripleSource(train, batch_size=64))
    assert all(torch.isfinite(table).all() for table in system.parameters())
    return state.history


@pytest.mark.parametrize("candidates", ["batch", "all"])
@pytest.mark.parametrize(
    "negatives", ["exact", "sampled", "hcl", "hard-top-k", "debiased", "meta-node", "meta-node-isotropic", "hybrid"]
)
def test_every_estimator_trains(negatives, candidates):
    history = train(negatives=negatives, candidates=candidates)
    assert all(epoch["contrast"] > 0 for epoch in history)


@pytest.mark.parametrize("loss", TWO_VIEWS)
def test_every_loss_trains(loss):
    assert all(epoch["contrast"] != 0 for epoch in train(loss=loss))
