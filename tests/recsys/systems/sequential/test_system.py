from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from graphcl.errors import InputError
from graphcl.recsys.data.id_map import IdMap
from graphcl.recsys.encoders import GRUEncoder, SASEncoder
from graphcl.recsys.ranking import top_k
from graphcl.recsys.ranking.rows import fingerprint
from graphcl.recsys.sequences import Jagged, PrefixBatch, Sequences, ShiftedBatch
from graphcl.recsys.systems.sequential import SequenceSystem, system
from graphcl.training import Trainer, TrainingConfig

I = 11  # noqa: E741


def sequences(rows, num_items=I):
    ends = np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64)
    values = np.array([item for row in rows for item in row], dtype=np.int32)
    return Sequences(IdMap.of(list(range(len(rows))), "user"), IdMap.of(list(range(num_items)), "item"), values, ends)


@pytest.fixture
def rings():
    """Every user goes around the items, one by one."""
    return sequences([[(start + step) % I for step in range(2 + start % 5)] for start in range(40)])


@pytest.fixture
def mixed():
    return sequences([[3, 1, 4, 1, 5], [], [9], [2, 6, 5], [3, 5, 8, 9, 7, 9, 3], [2, 3]])


def make(data, **own):
    torch.manual_seed(0)
    return SequenceSystem(data, **({"dim": 6, "max_length": 4, "batch_size": 3} | own))


def test_the_loss_of_a_batch_is_the_cross_entropy_of_every_place(mixed):
    model = make(mixed).double().eval()
    history, target = Jagged.of([[3, 1, 4], [2]]), torch.tensor([1, 4, 1, 6])
    states = torch.cat([model.encode(Jagged.of([row])) for row in ([3], [3, 1], [3, 1, 4], [2])])
    want = F.cross_entropy(states @ model.encoder.item_table[:I].T, target)
    torch.testing.assert_close(model.training_step(ShiftedBatch(history, target))["loss"], want)


@pytest.mark.parametrize("encoder", ["sas", "gru"])
def test_both_styles_have_the_same_terms_where_no_row_is_cut(mixed, encoder):
    sums = []
    for style in ("shifted", "prefix"):
        model = make(mixed, style=style, encoder=encoder, max_length=8).double().eval()
        batches = list(model.source().batches(0))
        assert all(isinstance(batch, ShiftedBatch if style == "shifted" else PrefixBatch) for batch in batches)
        sums.append(sum(float(model.training_step(batch)["loss"].detach()) * len(batch.target) for batch in batches))
    assert sums[0] == pytest.approx(sums[1], rel=1e-12)


def test_the_source_keeps_to_batch_size_and_length(mixed):
    batches = list(make(mixed).source().batches(0))
    assert [batch.history.num_rows for batch in batches] == [3, 1]
    assert max(int(batch.history.lengths.max()) for batch in batches) == 4


@pytest.mark.parametrize(
    "own",
    [
        {"objective": "ce"},
        {"objective": "ce", "style": "prefix", "positions": "recency"},
        {"objective": "ce", "encoder": "gru"},
        {"objective": "sampled", "num_negatives": 6, "popularity_power": 0.5},
        {"objective": "gbce", "num_negatives": 4},
        {"objective": "bce"},
    ],
)
def test_every_objective_finds_the_rule_of_the_rows(rings, own):
    model = make(rings, **({"dim": 16, "heads": 1, "layers": 1, "dropout": 0.0, "batch_size": 16} | own))
    Trainer(TrainingConfig(epochs=40, lr=0.02, device="cpu")).fit(model, model.source())
    lists = top_k(model.scorer(rings), range(40), 1)
    ends = rings.values[rings.indptr[1:] - 1]
    assert (lists.items[:, 0].numpy() == (ends + 1) % I).mean() > 0.9
    assert not model.encoder.item_table[model.encoder.pad_id].any()


def test_weight_decay_leaves_the_row_that_pads_alone(mixed):
    model = make(mixed)
    Trainer(TrainingConfig(epochs=3, lr=0.1, weight_decay=0.1, device="cpu")).fit(model, model.source())
    assert not model.encoder.item_table[I].any()


def test_training_follows_from_its_seed(mixed):
    states = []
    for _ in range(2):
        model = make(mixed)
        Trainer(TrainingConfig(epochs=3, device="cpu")).fit(model, model.source())
        states.append(model.state_dict())
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_scores_are_products_with_the_items_alone(mixed):
    model = make(mixed).double()
    with torch.no_grad():  # rows that would win every list
        model.encoder.item_table[[I, I + 1]] = 1e3
    scorer = model.scorer(mixed)
    scores = scorer.score(torch.arange(6))
    assert scores.shape == (6, I)
    torch.testing.assert_close(scores, model.encode(mixed.jagged()) @ model.encoder.item_table[:I].detach().T)
    assert not scores[1].any()  # nobody knows anything of this user
    assert scorer.trained_on == fingerprint(mixed.interactions())
    assert int(top_k(scorer, range(6), I).items.max()) == I - 1


def test_who_is_scored_may_have_more_than_training_knew(mixed):
    model = make(mixed)
    more = mixed.extended(sequences([[1], [2], [3], [4], [5], [6]]))
    scorer = model.scorer(more)
    assert scorer.trained_on == model.scorer(mixed).trained_on
    torch.testing.assert_close(scorer.users[1], model.encode(Jagged.of([[2]]))[0])


def test_encoding_is_in_evaluation_mode_in_chunks_and_leaves_no_trace(mixed, monkeypatch):
    model = make(mixed).train()
    whole = model.encode(mixed.jagged())
    assert model.training
    assert not whole.requires_grad
    monkeypatch.setattr(system, "EVENTS", 2)
    torch.testing.assert_close(model.encode(mixed.jagged()), whole)
    assert model.encode(Jagged.of([])).shape == (0, 6)


def test_the_sequences_are_no_part_of_the_state(mixed):
    model = make(mixed)
    assert all(name.startswith("encoder.") for name in model.state_dict())
    assert model.sequences is mixed


def test_names_choose_the_encoder(mixed):
    assert isinstance(make(mixed).encoder, SASEncoder)
    assert isinstance(make(mixed, encoder="gru").encoder, GRUEncoder)


@pytest.mark.parametrize(
    ("own", "message"),
    [
        ({"encoder": "cnn"}, "encoder of histories"),
        ({"style": "both"}, "style of training rows"),
        ({"objective": "mse"}, "objective"),
        ({"batch_size": 0}, "batch_size must be 1 or more; got 0"),
        ({"positions": "recency"}, "use style='prefix', or positions='start'"),
    ],
)
def test_settings_out_of_range_are_refused(mixed, own, message):
    with pytest.raises(InputError, match=message):
        make(mixed, **own)


def test_histories_over_other_items_are_refused(mixed):
    with pytest.raises(InputError, match="over the 11 items of training; got 12"):
        make(mixed).scorer(sequences([[1]], 12))
