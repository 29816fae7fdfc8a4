from __future__ import annotations

import pytest
import torch

from graphcl.errors import InputError
from graphcl.models import SYSTEMS, find_system
from graphcl.tasks.fitting import build_system, train_system
from graphcl.training import TrainingConfig, preflight, seed_everything

PRETRAINED = {"sdcn": "pretrain_epochs", "scgc-k": "pretrain_epochs", "dink-net": "pretrain_epochs"}
ON_GRAPHS = [name for name, entry in SYSTEMS.items() if entry.task in ("node", "clustering")]


def test_a_system_is_built_with_sizes_by_position_and_settings_by_name():
    grace = build_system(find_system("grace"), (5,), {"hidden": 7})
    assert [tuple(weight.shape) for weight in grace.encoder.weights] == [(5, 14), (14, 7)]
    assert build_system(find_system("pamc"), (5, 3), {"hidden": 7}).n_clusters == 3


def test_an_unknown_setting_and_a_size_by_name_are_refused():
    with pytest.raises(InputError, match="unknown parameter of grace 'hiden'; did you mean hidden"):
        build_system(find_system("grace"), (5,), {"hiden": 7})
    with pytest.raises(InputError, match="unknown parameter of grace 'in_features'"):
        build_system(find_system("grace"), (5,), {"in_features": 7})


LATE = [("progcl", "start", (5,)), ("csgcl", "team_up_start", (5,)), ("pamc", "warmup", (5, 3))]


@pytest.mark.parametrize(("name", "setting", "sizes"), LATE)
def test_a_run_that_ends_before_a_part_of_its_system_begins_is_told_so(planted, name, setting, sizes):
    torch.manual_seed(0)
    system = build_system(find_system(name), sizes, {setting: 7, "hidden": 4})
    first = system.late_parts[setting]
    want = rf"a run of 2 epochs ends before what '{setting}' delays to epoch {first + 1}: lower it \(--set {setting}=\.\.\.\)"
    with pytest.warns(UserWarning, match=want):
        train_system(system, planted(), TrainingConfig(epochs=2, device="cpu"), [], None, None)


@pytest.mark.parametrize(("name", "setting", "sizes"), LATE)
def test_a_part_that_begins_in_time_is_no_news(planted, name, setting, sizes, recwarn):
    torch.manual_seed(0)
    system = build_system(find_system(name), sizes, {setting: 1, "hidden": 4})
    train_system(system, planted(), TrainingConfig(epochs=3, device="cpu"), [], None, None)
    assert not [each for each in recwarn if "delays" in str(each.message)]


@pytest.mark.parametrize("title", [None, "mine"])
def test_training_tells_the_observers_and_shows_a_bar_where_it_has_a_title(planted, capsys, title):
    heard = []

    class Ear:
        def on_epoch_end(self, epoch, terms):
            heard.append((epoch, sorted(terms)))

    torch.manual_seed(0)
    system = build_system(find_system("grace"), (5,), {"hidden": 4, "projection": 4})
    state = train_system(system, planted(), TrainingConfig(epochs=2, device="cpu"), [Ear()], None, title)
    assert heard == [(0, ["loss"]), (1, ["loss"])]
    assert len(state.history) == 2
    assert not system.training
    assert ("mine: epoch 2/2" in capsys.readouterr().err) == (title is not None)


def counting(system):
    """Notes nodes and seeds of every batch that the system makes a step on."""
    step, seen = system.training_step, []
    system.training_step = lambda batch: (seen.append((batch.num_nodes, batch.get("batch_size"))), step(batch))[1]
    return seen


def train(name, data, *, batch_nodes, epochs=2, **params):
    entry = find_system(name)
    seed_everything(0)
    sizes = (data.x.shape[1],) if entry.task == "node" else (data.x.shape[1], 2)
    system = build_system(entry, sizes, {**params, **({PRETRAINED[name]: 1} if name in PRETRAINED else {})})
    seen = counting(system)
    config = TrainingConfig(epochs=epochs, device="cpu", batch_nodes=batch_nodes)
    state = train_system(system, data, config, [], None, None, by_seeds=entry.task == "node")
    return system, state, seen


@pytest.mark.parametrize("name", ON_GRAPHS)
def test_every_system_takes_a_step_for_every_batch_and_embeds_the_whole_graph(planted, name):
    data = planted()
    system, state, seen = train(name, data, batch_nodes=14)
    assert len(seen) == 2 * 3, "41 nodes are three batches of 14"
    if find_system(name).task == "node":
        assert {seeds for _, seeds in seen} == {13, 14}
    else:
        assert all(seeds <= 3 and nodes <= 6 * seeds for nodes, seeds in seen)
    z = system.embed(data)
    assert len(z) == 41
    assert bool(torch.isfinite(z).all())
    assert len(state.history) == 2


@pytest.mark.parametrize("name", ["grace", "gca"])
def test_clusters_for_negatives_are_those_of_the_seeds(planted, name):
    _, state, seen = train(name, planted(), batch_nodes=14, loss="info-nce", negatives="meta-node")
    assert len(seen) == 6
    assert state.history[0]["loss"] > 0


@pytest.mark.parametrize("name", ["grace", "pamc"])
def test_batches_of_the_whole_graph_are_the_whole_graph_bit_for_bit(planted, name):
    first, second = (train(name, planted(), batch_nodes=count)[0].state_dict() for count in (None, 41))
    assert all(torch.equal(value, second[key]) for key, value in first.items())


def test_the_target_of_bgrl_moves_after_every_step(planted):
    system, _, _ = train("bgrl", planted(), batch_nodes=14, epochs=1, momentum=0.0, momentum_epochs=100)
    seed_everything(0)
    fresh = build_system(find_system("bgrl"), (5,), {"momentum": 0.0, "momentum_epochs": 100})
    moved = [not torch.equal(new, old) for new, old in zip(system.target.parameters(), fresh.target.parameters(), strict=True)]
    assert any(moved), "an epoch of three batches has moved it, where one of the whole graph would not have"


def test_memory_is_asked_for_a_batch_and_not_for_the_graph_and_that_draws_no_number(planted, monkeypatch):
    asked = []
    monkeypatch.setattr("graphcl.tasks.fitting.check_memory", lambda system, data, device: asked.append(data.num_nodes))
    weights = train("pamc", planted(), batch_nodes=14)[0].state_dict()
    assert len(asked) == 1
    assert asked[0] < 41
    monkeypatch.setattr("graphcl.tasks.fitting.check_memory", preflight.check_memory)
    again = train("pamc", planted(), batch_nodes=14)[0].state_dict()
    assert all(torch.equal(value, again[key]) for key, value in weights.items())
