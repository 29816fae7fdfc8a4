from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch_geometric.data import Data

from graphcl.errors import InputError
from graphcl.evaluation import linear_probe, public_splits, random_splits
from graphcl.evaluation.cluster_quality import cluster_quality
from graphcl.recsys import load
from graphcl.tasks import GraphClusterer, NodeEmbedder, Recommender, RunConfig
from graphcl.tasks.tune_objective import OBJECTIVES, Modularity, ValidationAccuracy, ValidationRanking, make_objective
from graphcl.training import TrainingConfig

TRAINING = TrainingConfig(epochs=3, lr=0.01, device="cpu")


def masked(data, columns=1):
    """A public split of thirds of the training and validation nodes; the test nodes are the same in every column."""
    data = copy.copy(data)
    part = torch.arange(data.num_nodes) % 4
    data.train_mask, data.val_mask = part == 0, part == 1
    data.test_mask = part >= 2
    if columns > 1:
        data.train_mask = torch.stack([part == column % 2 for column in range(columns)], 1)
        data.val_mask = torch.stack([part == 1 - column % 2 for column in range(columns)], 1)
    return data


def told(data, split, seed):
    """Other labels on the nodes of a test part: permuted, and then classes that do not exist."""
    for labels in (np.random.default_rng(seed).permutation(data.y[split.test]), np.full(len(split.test), 10**6)):
        other = copy.copy(data)
        other.y = data.y.clone()
        other.y[split.test] = torch.as_tensor(labels)
        assert not torch.equal(other.y, data.y)
        yield other


@pytest.mark.parametrize("protocol", ["public", "random"])
def test_the_accuracy_is_the_runs_own_on_validation_nodes_and_no_test_label_changes_a_bit(planted, node_config, protocol):
    data, config = masked(planted(60)), node_config(protocol=protocol)
    split = (public_splits(data) if protocol == "public" else random_splits(data, 1))[0]
    value = ValidationAccuracy(config, data).value(config, 0)
    z = NodeEmbedder("grace", params=config.model, training=config.training, seed=0).fit(data).embedding_
    assert value == linear_probe(z, data.y, [split]).splits[0].val_accuracy
    for other in told(data, split, 1):
        assert ValidationAccuracy(config, other).value(config, 0) == value
    wrong = copy.copy(data)
    wrong.y = data.y.clone()
    wrong.y[split.val] = 1 - wrong.y[split.val]
    assert ValidationAccuracy(config, wrong).value(config, 0) != value, "validation labels do count"


def test_splits_with_one_test_part_are_all_used_and_random_ones_are_not(planted, node_config):
    data = masked(planted(60), columns=3)
    public = ValidationAccuracy(node_config(protocol="public"), data)
    assert [split.name for split in public.splits] == ["public 0", "public 1", "public 2"]
    config = node_config()
    z = NodeEmbedder("grace", params=config.model, training=config.training, seed=4).fit(data).embedding_
    probes = linear_probe(z, data.y, public_splits(data)).splits
    assert public.value(config, 4) == np.mean([probe.val_accuracy for probe in probes])
    drawn = ValidationAccuracy(node_config(protocol="random"), data)
    assert [split.name for split in drawn.splits] == ["seed 0"]
    assert "split 'seed 0', random 10/10/80" in drawn.said


def test_the_system_is_trained_without_labels_and_the_graph_keeps_its_own(planted, node_config):
    data = masked(planted(60))
    objective = ValidationAccuracy(node_config(), data)
    assert objective.data.y is None
    assert data.y is not None


def test_a_split_whose_training_nodes_lack_a_class_is_refused_before_anything_is_trained(planted, node_config):
    data = masked(planted(60))
    data.y = torch.where(data.train_mask, 0, data.y)
    with pytest.raises(InputError, match="none of its 15 training nodes has class 1"):
        ValidationAccuracy(node_config(), data)


def test_modularity_is_that_of_the_clusters_and_labels_are_only_counted(planted, run_config):
    data, config = planted(), run_config()
    value = Modularity(config, data).value(config, 1)
    one = GraphClusterer(2, params=config.model, training=config.training, seed=1).fit(data)
    want = cluster_quality(data.edge_index, one.labels_, one.embedding_).modularity
    assert value == pytest.approx(want, abs=1e-12)
    other = copy.copy(data)
    other.y = data.y[torch.randperm(len(data.y), generator=torch.Generator().manual_seed(0))]
    assert Modularity(config, other).value(config, 1) == value
    other.y = None
    assert Modularity(run_config(n_clusters=2), other).value(config, 1) == value


def test_a_selection_by_labels_is_refused(planted, run_config):
    with pytest.raises(InputError, match="selection oracle chooses the epoch by the labels, and a tuning sees none"):
        Modularity(run_config(selection="oracle"), planted())


def test_no_number_of_clusters_is_refused(planted, run_config):
    data = planted()
    data.y = None
    with pytest.raises(InputError, match="how many clusters"):
        Modularity(run_config(), data)


@pytest.mark.parametrize(
    ("system", "model"), [("lightgcn", {"dim": 4}), ("ease", {"l2": 10.0})], ids=["epochs", "without epochs"]
)
@pytest.mark.parametrize("own", [True, False], ids=["valid", "valid-from-train"])
def test_the_ranking_is_of_the_validation_part_and_no_test_row_changes_a_bit(system, model, own):
    split = load("davis")
    split = split if own else replace(split, valid=None, selection="none")
    config = RunConfig(system, "davis", every=1, model=model, training=TRAINING)
    value = ValidationRanking(config, split).value(config, 0)
    one = Recommender(system, params=model, training=TRAINING, every=1, refit=False)
    scored = one.fit(one.judged(split)).score(split, part="valid").metrics["ndcg@20"]
    assert value == pytest.approx(scored, abs=1e-12)
    if one.best_value_ is not None:
        assert value == one.best_value_
    nothing = split.test.select(np.zeros(split.test.num_interactions, dtype=np.bool_))
    half = split.test.select(np.arange(split.test.num_interactions) % 2 == 0)
    for test in (nothing, half, split.train):
        assert ValidationRanking(config, replace(split, test=test)).value(config, 0) == value


def test_the_objective_is_that_of_the_systems_task(planted, run_config, node_config):
    assert isinstance(make_objective(run_config(), planted()), Modularity)
    assert isinstance(make_objective(node_config(), masked(planted(60))), ValidationAccuracy)
    assert isinstance(make_objective(RunConfig("ease", "davis"), load("davis")), ValidationRanking)


def test_a_task_without_an_objective_is_refused(node_config, monkeypatch):
    monkeypatch.delitem(OBJECTIVES, "node")
    with pytest.raises(InputError, match="a node system, and a tuning knows clustering, recommendation, sequential alone"):
        make_objective(node_config(), None)


def test_a_graph_without_classes_cannot_be_validated_on(node_config):
    data = Data(x=torch.ones(4, 2), edge_index=torch.tensor([[0, 1], [1, 0]]))
    with pytest.raises(InputError, match="the data has no y"):
        ValidationAccuracy(node_config(), data)
