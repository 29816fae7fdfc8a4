from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from graphcl.errors import InputError
from graphcl.losses import TWO_VIEWS
from graphcl.recsys.data import load
from graphcl.recsys.graph import Bipartite
from graphcl.recsys.sampling import TripleSource
from graphcl.recsys.systems.noise import noisy_layers
from graphcl.recsys.systems.simgcl import SimGCL
from graphcl.recsys.systems.system import mean_of
from graphcl.recsys.systems.xsimgcl import XSimGCL
from graphcl.training import Trainer, TrainingConfig


def info_nce(first, second, ids, temperature):
    ids = ids.unique()
    logits = F.normalize(first[ids], dim=1) @ F.normalize(second[ids], dim=1).T / temperature
    return F.cross_entropy(logits, torch.arange(len(ids)))


@pytest.mark.parametrize(("layers", "contrast_layer"), [(2, 1), (3, 2), (3, 3)])
def test_one_noisy_run_is_ranked_and_contrasted_with_a_layer_of_its_own(layers, contrast_layer, graph, batch):
    system = XSimGCL(
        graph, dim=5, layers=layers, contrast_layer=contrast_layer, contrast=0.7, eps=0.2, temperature=0.3, penalty=0.1
    ).double()
    torch.manual_seed(1)
    terms = system.training_step(batch)
    torch.manual_seed(1)
    found = noisy_layers(graph, system.user_table, system.item_table, layers, 0.2)
    mean, layer = mean_of(found), found[contrast_layer - 1]
    contrast = info_nce(mean.users, layer.users, batch.user, 0.3) + info_nce(mean.items, layer.items, batch.positive, 0.3)
    ranking = system.ranking_loss(*mean, batch)
    torch.testing.assert_close(terms["bpr"], ranking)
    torch.testing.assert_close(terms["contrast"], contrast)
    torch.testing.assert_close(terms["loss"], ranking + 0.1 * system.table_penalty(batch) + 0.7 * contrast)


def test_without_noise_the_ranking_is_that_of_the_mean_from_layer_1_on(graph, batch):
    system = XSimGCL(graph, dim=5, eps=0.0).double()
    terms = system.training_step(batch)
    torch.testing.assert_close(terms["bpr"], system.ranking_loss(*system.embeddings(), batch))


def test_what_ranks_after_training_has_no_noise(graph):
    system = XSimGCL(graph, dim=5, eps=5.0).double()
    assert all(map(torch.equal, system.encode(), system.encode()))


def test_clusters_are_those_of_the_layer_that_is_contrasted(graph, operator):
    system = XSimGCL(graph, dim=5, layers=3, contrast_layer=2).double()
    want = operator @ operator @ torch.cat([system.user_table, system.item_table])
    torch.testing.assert_close(torch.cat(system.candidate_rows()), want)


def test_without_contrast_nothing_is_drawn_and_training_is_that_of_simgcl(make_graph, dense):
    graph = make_graph(dense, torch.float32)
    systems = []
    for cls in (XSimGCL, SimGCL):
        torch.manual_seed(0)
        systems.append(cls(graph, dim=4, layers=2, batch_size=16, contrast=0.0))
        Trainer(TrainingConfig(epochs=4, lr=0.01, device="cpu")).fit(systems[-1], TripleSource(graph, batch_size=16))
    assert all(map(torch.equal, systems[0].parameters(), systems[1].parameters()))


def train(**own):
    train = load("davis").train
    graph = Bipartite(train)
    torch.manual_seed(0)
    system = XSimGCL(graph, dim=3, layers=2, batch_size=64, **own)
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


def test_a_layer_that_is_not_there_or_is_all_there_is_is_refused(graph):
    for wrong in (0, 4):
        with pytest.raises(InputError, match=f"one of the layers 1 to 3; got {wrong}"):
            XSimGCL(graph, layers=3, contrast_layer=wrong)
    with pytest.raises(InputError, match="layers must be >= 2: the mean of one layer is that layer"):
        XSimGCL(graph, layers=1)
