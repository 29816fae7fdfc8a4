from __future__ import annotations

import numpy as np
import pytest
import torch

from graphcl.errors import InputError
from graphcl.recsys.data.id_map import IdMap
from graphcl.recsys.encoders import GRUEncoder
from graphcl.recsys.sequences import Sequences
from graphcl.recsys.systems.sequential import GRU4Rec, SequenceSystem
from graphcl.training import Trainer, TrainingConfig


@pytest.fixture
def rows():
    """Two users of four and three events over five items."""
    ids = IdMap.of(["a", "b"], "user"), IdMap.of(list("vwxyz"), "item")
    return Sequences(*ids, np.array([0, 1, 2, 3, 4, 0, 2], dtype=np.int32), np.array([0, 4, 7]))


def test_it_is_the_system_with_a_recurrent_encoder(rows):
    torch.manual_seed(0)
    model = GRU4Rec(rows, dim=4, max_length=3, batch_size=2)
    torch.manual_seed(0)
    base = SequenceSystem(rows, encoder="gru", dim=4, layers=1, dropout=0.3, max_length=3, batch_size=2)
    assert isinstance(model.encoder, GRUEncoder)
    for one in (model, base):
        torch.manual_seed(1)
        Trainer(TrainingConfig(epochs=2, device="cpu")).fit(one, one.source())
    assert all(map(torch.equal, model.parameters(), base.parameters()))


def test_it_learns_from_sampled_items(rows):
    model = GRU4Rec(rows, dim=4, dropout=0.0, objective="sampled", num_negatives=8, popularity_power=0.5)
    state = Trainer(TrainingConfig(epochs=60, lr=0.05, device="cpu")).fit(model, model.source())
    assert state.history[-1]["loss"] < 0.5 * state.history[0]["loss"]


def test_no_recurrent_layer_is_refused(rows):
    with pytest.raises(InputError, match="layers and hidden must be 1 or more; got 0"):
        GRU4Rec(rows, layers=0)
