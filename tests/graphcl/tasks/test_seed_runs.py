from __future__ import annotations

import json

import pytest
import torch
import yaml
from killed import Dies, Killed
from torch import nn
from torch_geometric.data import Data

from graphcl.datasets.provenance import Provenance
from graphcl.errors import InputError
from graphcl.kernels.ranks import Ranks
from graphcl.tasks import SeedRuns
from graphcl.training import RunFolder, Trainer, TrainingConfig, seed_everything

SOURCE = Provenance("mine", "own", "a file", "not stated", "a" * 64, {"nodes": 5})


class Noise(nn.Module):
    """Some system, of no task in particular, that draws random numbers."""

    def __init__(self):
        super().__init__()
        self.line = nn.Linear(2, 1)

    def training_step(self, batch):
        return {"loss": (self.line(batch.x + torch.randn_like(batch.x))).square().mean()}


@pytest.fixture
def train():
    """Trains three seeds in a folder; may die in one of them after an epoch. Gives weights, log, and what was said."""

    def run(folder, *, dies=None, provenance=SOURCE, seeds=(4, 5, 6), resumable=True, **settings):
        training = TrainingConfig(**{"epochs": 5, "device": "cpu", "checkpoint_seconds": 0, **settings})
        said, weights = [], []
        config = {"system": "noise", "lr": training.lr}
        runs = SeedRuns(folder, config, training, seeds, provenance, resumable=resumable, say=said.append)
        for seed in seeds:
            seed_everything(seed)
            system = Noise()
            with runs.watch(seed) as watch:
                observers = [*watch.observers, *([Dies(dies[1])] if dies and dies[0] == seed else [])]
                Trainer(training, observers, watch.checkpoint).fit(system, Data(x=torch.ones(5, 2)))
            weights.append(system.line.weight.detach().clone())
        return weights, (folder.path / "metrics.jsonl").read_bytes(), said, runs

    return run


def test_the_folder_opens_with_the_first_epoch_and_says_what_decided_the_run(train, tmp_path):
    _, log, said, _ = train(RunFolder(tmp_path / "r"))
    assert yaml.safe_load((tmp_path / "r" / "config.yaml").read_text()) == {"system": "noise", "lr": 1e-3}
    content = json.loads((tmp_path / "r" / "environment.json").read_text())
    assert content["seeds"] == [4, 5, 6]
    assert content["data"] == {"name": "mine", "sha256": "a" * 64, "counts": {"nodes": 5}}
    rows = [json.loads(line) for line in log.splitlines()]
    assert [(row["seed"], row["epoch"]) for row in rows] == [(seed, epoch) for seed in (4, 5, 6) for epoch in range(5)]
    assert said == [SOURCE.summary()]


@pytest.mark.parametrize("dies", [(4, 0), (4, 3), (5, 0), (6, 4)])
def test_seeds_that_were_finished_are_kept_and_the_one_that_was_cut_short_goes_on(train, tmp_path, dies):
    want = train(RunFolder(tmp_path / "whole"))
    with pytest.raises(Killed):
        train(RunFolder(tmp_path / "r"), dies=dies)
    with (tmp_path / "r" / "metrics.jsonl").open("a") as file:
        file.write('{"seed": 4, "ep')  # a line that was not whole
    weights, log, said, runs = train(RunFolder.reopen(tmp_path / "r"))
    assert all(torch.equal(a, b) for a, b in zip(weights, want[0], strict=True))
    assert log == want[1]
    assert [line for line in said if "finished already" in line] == [
        f"seed-{seed}: finished already after 5 epochs" for seed in range(4, dies[0])
    ]
    assert (runs.earlier_seconds > 0) == (dies != (4, 0))
    assert want[3].earlier_seconds == 0


def test_other_data_are_refused_before_anything_is_trained_or_written(train, tmp_path):
    with pytest.raises(Killed):
        train(RunFolder(tmp_path), dies=(5, 1))
    before = (tmp_path / "metrics.jsonl").read_bytes()
    other = Provenance("mine", "own", "a file", "not stated", "b" * 64)
    with pytest.raises(InputError, match="on data with checksum aaaaaaaaaaaa, and this has bbbbbbbbbbbb: bring back"):
        train(RunFolder.reopen(tmp_path), provenance=other)
    with pytest.raises(InputError, match="checksum aaaaaaaaaaaa, and this has None"):
        train(RunFolder.reopen(tmp_path), provenance=None)
    assert (tmp_path / "metrics.jsonl").read_bytes() == before


@pytest.mark.parametrize("content", [None, "", "[]", "{}", '{"data": 3}'])
def test_an_environment_that_is_gone_or_damaged_is_one_line(train, tmp_path, content):
    with pytest.raises(Killed):
        train(RunFolder(tmp_path), dies=(4, 1))
    path = tmp_path / "environment.json"
    path.unlink() if content is None else path.write_text(content)
    with pytest.raises(InputError, match=r"environment\.json is missing or damaged: the run cannot go on"):
        train(RunFolder.reopen(tmp_path))


def test_another_configuration_is_refused(train, tmp_path):
    with pytest.raises(Killed):
        train(RunFolder(tmp_path), dies=(4, 2))
    with pytest.raises(InputError, match="is of another configuration"):
        train(RunFolder.reopen(tmp_path), lr=0.5)


def test_without_provenance_the_data_are_taken_on_trust(train, tmp_path):
    want = train(RunFolder(tmp_path / "whole"), provenance=None)
    with pytest.raises(Killed):
        train(RunFolder(tmp_path / "r"), dies=(5, 2), provenance=None)
    assert train(RunFolder.reopen(tmp_path / "r"), provenance=None)[1] == want[1]


def test_a_run_that_cannot_go_on_keeps_no_checkpoints(train, tmp_path):
    train(RunFolder(tmp_path), resumable=False)
    assert not (tmp_path / "checkpoints").exists()


def test_tensorboard_gets_a_folder_a_seed_and_changes_nothing(train, tmp_path):
    pytest.importorskip("tensorboard")
    want = train(RunFolder(tmp_path / "a"))
    got = train(RunFolder(tmp_path / "b"), tensorboard=True)
    assert got[1] == want[1]
    assert sorted(path.name for path in (tmp_path / "b" / "tensorboard").iterdir()) == ["seed-4", "seed-5", "seed-6"]
    assert not (tmp_path / "a" / "tensorboard").exists()


def test_of_several_ranks_the_first_alone_writes_and_says_how_many_they_are(tmp_path):
    training = TrainingConfig(epochs=2, device="cpu", checkpoint_seconds=0.0)
    for rank in (1, 0):
        runs = SeedRuns(RunFolder(tmp_path / "r"), {"epochs": 2}, training, [0], SOURCE, ranks=Ranks(rank, 2))
        with runs.watch(0) as watch:
            assert len(watch.observers) == 1 - rank
            assert watch.checkpoint.writes == (rank == 0)
        runs.open()
        assert (tmp_path / "r").exists() == (rank == 0)
    assert json.loads((tmp_path / "r" / "environment.json").read_text())["ranks"] == 2
    assert runs.identity["number of ranks"] == "2"
