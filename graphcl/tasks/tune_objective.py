"""What a trial of a tuning is worth: by validation, or without any label; what judges a run is taken away beforehand."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

import numpy as np
from torch_geometric.data import Data

from graphcl.errors import InputError
from graphcl.evaluation import Split, linear_probe, node_splits
from graphcl.recsys import Split as Interactions
from graphcl.recsys.methods import ANCHORS
from graphcl.recsys.ranking import evaluate
from graphcl.tasks.graph_clusterer import GraphClusterer
from graphcl.tasks.node_embedder import NodeEmbedder, usual_protocol
from graphcl.tasks.recommender import Recommender
from graphcl.tasks.run_config import RunConfig, find_entry
from graphcl.tasks.sequential_objective import NextItemObjective


class Objective(Protocol):
    """What is to become large.

    Attributes:
        metric: Its name.
        said: What it is read from, in a line.
    """

    metric: str
    said: str

    def value(self, config: RunConfig, seed: int) -> float:
        """Trains with a configuration and a seed, and scores."""
        ...


class ValidationAccuracy:
    """Accuracy of a linear probe on validation nodes, the mean over the splits.

    Of random splits it is the first alone: the validation nodes of one are test nodes of another. Every label but those of
    training and validation nodes is overwritten before anything is trained.

    Args:
        config: The run that is tuned.
        data: The graph.

    Raises:
        InputError: No such split, or one whose training nodes lack a class.
    """

    metric = "val_acc"

    def __init__(self, config: RunConfig, data: Data) -> None:
        name = config.protocol or usual_protocol(data)
        self.splits = _without_leaks(node_splits(data, name))
        self.labels = [_blinded(data, split) for split in self.splits]
        for split, y in zip(self.splits, self.labels, strict=True):
            missing = np.setdiff1d(y[split.val], y[split.train])
            if missing.size:
                raise InputError(
                    f"split '{split.name}': none of its {len(split.train)} training nodes has class {missing[0]}, so that a "
                    "probe cannot learn it: there are too few nodes for this protocol"
                )
        self.data = _unlabelled(data)
        parts = f"split '{self.splits[0].name}'" if len(self.splits) == 1 else f"{len(self.splits)} splits"
        self.said = f"a linear probe on the validation nodes of {parts}, {self.splits[0].protocol}"

    def value(self, config: RunConfig, seed: int) -> float:
        """The accuracy on validation nodes, of the probe's strength that is best on them."""
        embedder = NodeEmbedder(config.system, params=config.model, training=config.training, seed=seed).fit(self.data)
        z = embedder.embedding_
        probes = [linear_probe(z, y, [split]).splits[0] for y, split in zip(self.labels, self.splits, strict=True)]
        return float(np.mean([probe.val_accuracy for probe in probes]))


class Modularity:
    """Modularity of the clusters on the graph, see `cluster_quality`; classes are counted, and then taken away.

    The label-free stop looks at how many nodes change their cluster from epoch to epoch. That tells when a training has
    settled, and not how good it is: one that learns nothing settles at once. The epoch is chosen by it here as in a run, where
    the run asks for it; the value is the modularity of that epoch, on the graph as it is given, so that it can be compared
    whatever the embedding is.

    Args:
        config: The run that is tuned.
        data: The graph.

    Raises:
        InputError: A selection that reads labels, or no number of clusters.
    """

    metric = "modularity"
    said = "modularity of the clusters on the graph, no label"

    def __init__(self, config: RunConfig, data: Data) -> None:
        if config.selection == "oracle":
            raise InputError("selection oracle chooses the epoch by the labels, and a tuning sees none: use last or label_free")
        self.n_clusters = GraphClusterer(config.n_clusters)._count(data)
        self.data = _unlabelled(data)

    def value(self, config: RunConfig, seed: int) -> float:
        """The modularity of what training ends with."""
        clusterer = GraphClusterer(
            self.n_clusters, method=config.system, params=config.model, training=config.training,
            selection=config.selection, seed=seed,
        ).fit(self.data)  # fmt: skip
        return clusterer.quality(self.data).modularity


class ValidationRanking:
    """nDCG@20 on the validation part, of the epoch that is best by it; nothing is trained again, and the test part is empty.

    A split without a validation part gets the one that a run would hold out of training.

    Args:
        config: The run that is tuned.
        data: The split.
    """

    metric = "valid ndcg@20"

    def __init__(self, config: RunConfig, data: Interactions) -> None:
        split = Recommender(config.system).judged(data)
        nothing = split.test.select(np.zeros(split.test.num_interactions, dtype=np.bool_))
        self.split = replace(split, test=nothing)
        self.said = f"all items ranked for the users of the validation part ({split.selection})"

    def value(self, config: RunConfig, seed: int) -> float:
        """The score of the best epoch, or of a model without epochs."""
        recommender = Recommender(
            config.system, params=config.model, training=config.training, every=config.every, patience=config.patience,
            refit=False, seed=seed,
        ).fit(self.split)  # fmt: skip
        if config.system in ANCHORS:
            found = evaluate(recommender.scorer_, self.split, (20,), ("ndcg",), part="valid", protocol=config.protocol)
            return float(found.metrics["ndcg@20"])
        if recommender.best_value_ is None:
            raise InputError(f"{config.system} was not scored on validation in {config.training.epochs} epochs; train longer")
        return recommender.best_value_


OBJECTIVES: Mapping[str, Callable[[RunConfig, Any], Objective]] = {
    "clustering": Modularity,
    "node": ValidationAccuracy,
    "recommendation": ValidationRanking,
    "sequential": NextItemObjective,
}


def make_objective(config: RunConfig, data: Any) -> Objective:
    """The objective of a system's task.

    Args:
        config: The run that is tuned.
        data: The graph, or the split of a recommendation system.

    Raises:
        InputError: Data that cannot be validated on, or a task without an objective.
    """
    task = find_entry(config.system).task
    if task not in OBJECTIVES:
        raise InputError(f"{config.system} is a {task} system, and a tuning knows {', '.join(OBJECTIVES)} alone")
    return OBJECTIVES[task](config, data)


def _without_leaks(splits: Sequence[Split]) -> list[Split]:
    """All splits where no node is learnt from in one and a test node in another, else the first."""
    known = np.unique(np.concatenate([part for split in splits for part in (split.train, split.val)]))
    judged = np.unique(np.concatenate([split.test for split in splits]))
    return list(splits[:1]) if np.intersect1d(known, judged).size else list(splits)


def _blinded(data: Data, split: Split) -> Any:
    """Labels of which all but those of training and validation nodes say the same."""
    y: Any = data.y.cpu().numpy()
    told = np.full(len(y), y[split.train[0]])
    for part in (split.train, split.val):
        told[part] = y[part]
    return told


def _unlabelled(data: Data) -> Data:
    graph = copy.copy(data)
    graph.y = None
    return graph
