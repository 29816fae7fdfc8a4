from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
import torch
from torch_geometric.data import Data

from graphcl.errors import InputError
from graphcl.kernels.ranks import Ranks
from graphcl.models.clustering import PamC
from graphcl.models.encoders import PropagatedMLP
from graphcl.models.node import BGRL, GRACE
from graphcl.negatives import Exact
from graphcl.tasks import GraphClusterer, NodeEmbedder, RunConfig, run_system
from graphcl.tasks.across_ranks import shared_work
from graphcl.training import RunFolder, TrainingConfig
from graphcl.training.distributed import joined

CPU = torch.device("cpu")
SMALL = {"hidden": 8, "projection": 8}
PAMC = {"hidden": 16, "width": 8, "warmup": 3, "n_init": 2}


def graph(nodes=41):
    rng = np.random.default_rng(0)
    y = np.sort(np.arange(nodes) % 2)
    row, column = np.nonzero(np.triu(rng.random((nodes, nodes)) < np.where(y[:, None] == y, 0.4, 0.02), 1))
    x = np.eye(2)[y] @ rng.normal(size=(2, 5)) * 2 + rng.normal(size=(nodes, 5))
    edges = torch.tensor(np.stack([np.r_[row, column], np.r_[column, row]]))
    return Data(x=torch.tensor(x, dtype=torch.float32), edge_index=edges, y=torch.tensor(y))


def loop(**more):
    return TrainingConfig(epochs=8, lr=0.01, device="cpu", **more)


def fit_all():
    """What the ways of training leave: embeddings, and the losses on the way."""
    faces = {
        "grace": NodeEmbedder("grace", params=SMALL, training=loop()),
        "grace in batches": NodeEmbedder("grace", params=SMALL, training=loop(batch_nodes=12)),
        "gca": NodeEmbedder("gca", params={**SMALL, "loss": "info-nce"}, training=loop(accumulate=2)),
        "pamc": GraphClusterer(2, params=PAMC, training=loop()),
        "pamc in batches": GraphClusterer(2, params=PAMC, training=loop(batch_nodes=20)),
        "pamc, exact": GraphClusterer(2, params={**PAMC, "proxy": "exact"}, training=loop()),
    }
    found = {}
    for name, face in faces.items():
        face.fit(graph())
        found[name] = face.embedding_, [row["loss"] for row in face.history_]
    return found


def rows_embedded():
    """How many rows went through the perceptron in each step, on the whole graph and in batches."""
    layers, found = PropagatedMLP._layers, {}
    for name, more in (("graph", {}), ("batches", {"batch_nodes": 20})):
        seen = found[name] = []

        def watched(self, rows, seen=seen):
            if torch.is_grad_enabled():
                seen.append(len(rows))
            return layers(self, rows)

        PropagatedMLP._layers = watched
        try:
            GraphClusterer(2, params=PAMC, training=loop(**more)).fit(graph())
        finally:
            PropagatedMLP._layers = layers
    return found


def run(folder, said, seeds=(0, 1)):
    config = RunConfig("grace", "planted", seeds=seeds, model=SMALL, training=loop(checkpoint_seconds=0.0))
    return run_system(config, graph(), folder, say=said.append)


def work(path):
    ranks, found, path, whole = Ranks.of(), {"said": []}, Path(path), GRACE.training_step
    with joined(CPU):
        found["fitted"] = fit_all()
        found["rows"] = rows_embedded()
    found["metrics"] = run(RunFolder(path / "through"), found["said"]).metrics
    calls = []

    def dies(self, data):
        calls.append(1)
        if len(calls) > 8 + 5:  # in the second seed
            raise KeyboardInterrupt
        return whole(self, data)

    GRACE.training_step = dies
    try:
        run(RunFolder(path / "killed"), [])
    except KeyboardInterrupt:
        GRACE.training_step = whole
    ranks.wait()
    if ranks.first:
        shutil.copytree(path / "killed", path / "copy")
        (path / "killed" / ".writing-leftover").touch()
    ranks.wait()
    found["resumed"] = []
    run(RunFolder.reopen(path / "killed"), found["resumed"])
    return found


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def found(on_ranks, path):
    return on_ranks(__file__, "work", 2, str(path))


def test_two_ranks_train_what_one_process_trains(found):
    for name, (embedding, losses) in fit_all().items():
        for one in found:
            assert np.abs(one["fitted"][name][0] - embedding).max() < 2e-4 * np.abs(embedding).max(), name
            assert one["fitted"][name][1] == pytest.approx(losses, rel=1e-4), name
        assert np.array_equal(*(one["fitted"][name][0] for one in found)), name


def test_every_rank_embeds_its_share_of_the_rows_of_a_step(found):
    alone = rows_embedded()
    assert alone["graph"] == [41] * 8
    assert len(alone["batches"]) == 8 * 3
    for name, rows in alone.items():
        assert found[0]["rows"][name] == [(count + 1) // 2 for count in rows], name
        assert found[1]["rows"][name] == [count // 2 for count in rows], name


def test_the_first_rank_writes_and_speaks_and_the_others_are_silent(found, path):
    assert found[1]["said"] == []
    assert found[1]["metrics"] == {"metrics": {}}
    assert found[0]["metrics"] == json.loads((path / "through" / "metrics.json").read_text())
    assert found[0]["said"] != []
    lines = [json.loads(line) for line in (path / "through" / "metrics.jsonl").read_text().splitlines()]
    assert [(line["seed"], line["epoch"]) for line in lines] == [(seed, epoch) for seed in (0, 1) for epoch in range(8)]


def test_a_run_that_was_killed_goes_on_to_the_same_bits(found, path):
    assert "seed-0: finished already after 8 epochs" in found[0]["resumed"]
    assert "seed-1: continued after 5 epochs" in found[0]["resumed"]
    for name in ("embeddings.npy", "metrics.jsonl", "model.safetensors"):
        assert (path / "killed" / name).read_bytes() == (path / "through" / name).read_bytes(), name


def test_another_number_of_ranks_is_refused(found, path):
    with pytest.raises(InputError, match="is of another number of ranks: it says 2, and this run 1; continue with what"):
        run(RunFolder.reopen(path / "copy"), [])


def test_what_is_shared_is_put_back_after_a_step():
    torch.manual_seed(0)
    grace, pamc = GRACE(5, **SMALL), PamC(5, 2, **PAMC)
    with ExitStack() as stack:
        for system in (grace, pamc):
            shared_work(system, Ranks(0, 2))(stack)
        assert repr(grace.contrast.criterion.negatives) == "SplitExact(ranks=2)"
        assert repr(pamc.objective._estimator(None)) == "SplitExact(ranks=2)"
        assert "perceptron" in vars(pamc.encoder)
        row = torch.randn(1, 5)
        assert torch.equal(pamc.encoder.perceptron(row), PropagatedMLP.perceptron(pamc.encoder, row)), "too few to share"
    assert type(grace.contrast.criterion.negatives) is Exact
    assert type(pamc.objective._estimator(None)) is Exact
    assert pamc.encoder.perceptron.__func__ is PropagatedMLP.perceptron


@pytest.mark.parametrize(
    "system", [BGRL(5), GRACE(5, loss="vicreg", **SMALL), GRACE(5, loss="info-nce", negatives="meta-node", **SMALL)]
)
def test_a_system_with_nothing_to_share_is_refused(system):
    with pytest.raises(InputError, match=r"has no part that ranks could share.*train it by one process"):
        shared_work(system, Ranks(0, 2))


@pytest.mark.slow
def test_torchrun_trains_from_the_command_line_and_one_rank_speaks(tmp_path):
    arguments = ["-m", "graphcl", "run", "grace", "karate", "--epochs", "3", "--seeds", "1", "--no-baselines", "--out"]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    together = subprocess.run(
        [*torchrun, *arguments, "two", "--device", "cpu"],
        cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert together.returncode == 0, together.stderr
    assert together.stdout.count("run folder: two") == 1
    assert together.stderr.count("epoch 3/3") == 1
    alone = [sys.executable, *arguments, "one", "--device", "cpu"]
    subprocess.run(alone, cwd=tmp_path, env=environment, check=True, timeout=300)
    one, two = (np.load(tmp_path / name / "embeddings.npy") for name in ("one", "two"))
    assert np.abs(one - two).max() < 1e-5
