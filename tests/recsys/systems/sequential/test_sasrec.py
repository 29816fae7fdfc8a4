from __future__ import annotations

import numpy as np
import pytest
import torch

from graphcl.errors import InputError
from graphcl.recsys.data.id_map import IdMap
from graphcl.recsys.encoders import SASEncoder
from graphcl.recsys.sequences import Sequences
from graphcl.recsys.systems.sequential import SASRec, SequenceSystem
from graphcl.training import Trainer, TrainingConfig


@pytest.fixture
def rows():
    """Two users of four and three events over five items."""
    ids = IdMap.of(["a", "b"], "user"), IdMap.of(list("vwxyz"), "item")
    return Sequences(*ids, np.array([0, 1, 2, 3, 4, 0, 2], dtype=np.int32), np.array([0, 4, 7]))


def test_it_is_the_system_with_self_attention(rows):
    torch.manual_seed(0)
    model = SASRec(rows, dim=4, layers=1, heads=1, dropout=0.0, max_length=3, batch_size=2)
    torch.manual_seed(0)
    base = SequenceSystem(rows, encoder="sas", dim=4, layers=1, heads=1, dropout=0.0, max_length=3, batch_size=2)
    assert isinstance(model.encoder, SASEncoder)
    for one in (model, base):
        torch.manual_seed(1)
        Trainer(TrainingConfig(epochs=2, device="cpu")).fit(one, one.source())
    assert all(map(torch.equal, model.parameters(), base.parameters()))


def test_the_original_loss_prefers_what_came_next_to_one_other_item(rows):
    model = SASRec(rows, dim=4, dropout=0.0, objective="bce", max_length=3)
    state = Trainer(TrainingConfig(epochs=40, lr=0.05, device="cpu")).fit(model, model.source())
    assert state.history[-1]["loss"] < 0.5 * state.history[0]["loss"]


def test_positions_by_recency_need_prefixes(rows):
    assert SASRec(rows, dim=4, style="prefix", positions="recency").encoder.positions == "recency"
    with pytest.raises(InputError, match="use style='prefix'"):
        SASRec(rows, dim=4, positions="recency")
