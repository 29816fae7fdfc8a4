from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import pytest
import torch
from torch_geometric.data import Data

from graphcl.recsys.data import Events, IdMap
from graphcl.tasks import GraphClusterer, NodeEmbedder, RunConfig
from graphcl.training import TrainingConfig

PARAMS = {"hidden": 16, "width": 8, "warmup": 3, "n_init": 2}
SMALL = {"hidden": 8, "projection": 8}


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> Iterator[None]:
    """Graphs of forty nodes are not worth waking a second thread for, least of all on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def planted() -> Callable[..., Data]:
    """Makes a graph of communities, one a class, whose features lean towards their class."""

    def make(nodes: int = 41, classes: int = 2, seed: int = 0) -> Data:
        rng = np.random.default_rng(seed)
        y = np.sort(np.arange(nodes) % classes)
        chance = np.where(y[:, None] == y, 0.4, 0.02)
        row, column = np.nonzero(np.triu(rng.random((nodes, nodes)) < chance, 1))
        x = np.eye(classes)[y] @ rng.normal(size=(classes, 5)) * 2 + rng.normal(size=(nodes, 5))
        return Data(
            x=torch.tensor(x, dtype=torch.float32),
            edge_index=torch.tensor(np.stack([np.r_[row, column], np.r_[column, row]])),
            y=torch.tensor(y),
        )

    return make


@pytest.fixture
def clusterer() -> Callable[..., GraphClusterer]:
    """Makes a small, quick clusterer."""

    def make(n_clusters: int | None = 2, *, epochs: int = 6, params: Mapping[str, Any] | None = None, **more: Any):
        return GraphClusterer(
            n_clusters, params={**PARAMS, **(params or {})}, training=TrainingConfig(epochs=epochs, device="cpu"), **more
        )

    return make


@pytest.fixture
def run_config() -> Callable[..., RunConfig]:
    """Makes the configuration of a small, quick run."""

    def make(
        seeds: tuple[int, ...] = (0, 1), selection: str = "last", epochs: int = 6, n_clusters: int | None = None
    ) -> RunConfig:
        training = TrainingConfig(epochs=epochs, device="cpu")
        return RunConfig("pamc", "planted", n_clusters, seeds=seeds, selection=selection, model=PARAMS, training=training)

    return make


@pytest.fixture
def embedder() -> Callable[..., NodeEmbedder]:
    """Makes a small, quick embedder."""

    def make(*, epochs: int = 4, params: Mapping[str, Any] | None = None, **more: Any) -> NodeEmbedder:
        training = TrainingConfig(epochs=epochs, lr=0.01, device="cpu")
        return NodeEmbedder(params={**SMALL, **(params or {})}, training=training, **more)

    return make


@pytest.fixture
def node_config() -> Callable[..., RunConfig]:
    """Makes the configuration of a small, quick run of a node system."""

    def make(seeds: tuple[int, ...] = (0, 1), epochs: int = 4, **more: Any) -> RunConfig:
        training = TrainingConfig(epochs=epochs, lr=0.01, device="cpu")
        return RunConfig("grace", "planted", seeds=seeds, model=SMALL, training=training, **more)

    return make


@pytest.fixture(scope="session")
def walks() -> Events:
    """Sixty users who mostly go on from an item to the next of twenty, all equally popular; text ids, rows out of order."""
    rng = np.random.default_rng(0)
    rows = []
    for user in range(60):
        item = int(rng.integers(20))
        for place in range(int(rng.integers(6, 11))):
            rows.append((user, item, 1000 * place + int(rng.integers(900))))
            item = (item + 1) % 20 if rng.random() < 0.9 else int(rng.integers(20))
    user, item, time = (np.array(column) for column in zip(*rng.permutation(rows).tolist(), strict=True))
    users = IdMap.of([f"u{number:02d}" for number in range(60)], "user")
    items = IdMap.of([f"i{number:02d}" for number in range(20)], "item")
    return Events(users, items, user.astype(np.int32), item.astype(np.int32), None, time)
