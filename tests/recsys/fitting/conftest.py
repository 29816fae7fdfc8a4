from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch

from graphcl.recsys.data import Events, IdMap, Split, ratio_split
from graphcl.recsys.graph import Bipartite
from graphcl.recsys.sequences import Sequences, SequenceSplit, sequence_split
from graphcl.recsys.systems.lightgcn import LightGCN
from graphcl.recsys.systems.sequential import SASRec


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> Iterator[None]:
    """Matrices of forty rows are not worth waking a second thread for, least of all on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def tastes() -> Callable[..., Split]:
    """Makes a split 8:1:1 of users of two tastes: each likes the items of its own half far more often."""

    def make(users: int = 40, items: int = 30, seed: int = 0) -> Split:
        rng = np.random.default_rng(seed)
        same = (np.arange(users)[:, None] % 2) == (np.arange(items) % 2)
        user, item = np.nonzero(rng.random((users, items)) < np.where(same, 0.6, 0.05))
        events = Events(
            IdMap.count(users, "user"), IdMap.count(items, "item"), user.astype(np.int32), item.astype(np.int32)
        )  # fmt: skip
        return ratio_split(events, generator=torch.Generator().manual_seed(seed))

    return make


@pytest.fixture
def build() -> Callable[[Bipartite], LightGCN]:
    """Makes a small LightGCN."""
    return lambda graph: LightGCN(graph, dim=8, layers=1, batch_size=128)


@pytest.fixture
def walks() -> Callable[..., SequenceSplit]:
    """Makes histories that mostly go on from an item to the next number: leave-one-out, all items equally popular."""

    def make(users: int = 60, items: int = 20, seed: int = 0) -> SequenceSplit:
        rng = np.random.default_rng(seed)
        rows = []
        for user in range(users):
            item = int(rng.integers(items))
            for _ in range(int(rng.integers(6, 11))):
                rows.append((user, item))
                item = (item + 1) % items if rng.random() < 0.9 else int(rng.integers(items))
        user, item = (np.array(column, dtype=np.int32) for column in zip(*rows, strict=True))
        return sequence_split(Events(IdMap.count(users, "user"), IdMap.count(items, "item"), user, item))

    return make


@pytest.fixture
def build_sequences() -> Callable[[Sequences], SASRec]:
    """Makes a small SASRec."""
    return lambda sequences: SASRec(sequences, dim=16, layers=1, heads=1, dropout=0.1, max_length=8, batch_size=32)
