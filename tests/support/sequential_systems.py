"""What the tests of sequential systems share: rows, the loss written densely, and a run that is killed."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from killed import Dies, Killed

from graphcl.recsys.data.id_map import IdMap
from graphcl.recsys.sequences import Sequences
from graphcl.training import Checkpoint, RunFolder, Trainer, TrainingConfig


def sequences_of(rows, num_items=None):
    values = np.array([item for row in rows for item in row], dtype=np.int32)
    indptr = np.cumsum([0, *map(len, rows)]).astype(np.int64)
    return Sequences(IdMap.count(len(rows)), IdMap.count(num_items or int(values.max()) + 1), values, indptr)


def some_sequences(users=40, items=15, longest=9, seed=0):
    rng = np.random.default_rng(seed)
    return sequences_of([rng.integers(items, size=rng.integers(0, longest + 1)).tolist() for _ in range(users)], items)


def nt_xent(first, second, ids=None):
    b = len(first)
    rows, partner = torch.cat([first, second]), (torch.arange(2 * b) + b) % (2 * b)
    names = torch.arange(b) if ids is None else ids
    out = torch.cat([names, names])[:, None] == torch.cat([names, names])
    out[torch.arange(2 * b), partner] = False
    return F.cross_entropy((rows @ rows.T).masked_fill(out, -torch.inf), partner)


def trained(system, epochs=2, observers=(), checkpoint=None):
    config = TrainingConfig(epochs=epochs, lr=0.01, device="cpu")
    return Trainer(config, observers, checkpoint).fit(system, system.source())


def goes_on(build, tmp_path):
    """Whether a run that dies after an epoch ends with the bits of one that did not."""
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "config.yaml").write_text("{}")

    def fit(observers=(), kept=True):
        torch.manual_seed(0)
        system = build()
        checkpoint = Checkpoint(RunFolder.reopen(tmp_path), "seed-0", seconds=0, identity={}) if kept else None
        trained(system, 3, observers, checkpoint)
        return system.state_dict()

    with pytest.raises(Killed):
        fit([Dies(1)])
    again, whole = fit(), fit(kept=False)
    return list(again) == list(whole) and all(map(torch.equal, again.values(), whole.values()))
