"""Runs that are killed at any moment and taken up again must end as if nothing had happened."""

from __future__ import annotations

import json
import multiprocessing
import random
import time
from pathlib import Path

import pytest

from graphcl.cli import main

PAMC = ["hidden=8", "width=4", "warmup=6", "n_init=2", "checkpoint_seconds=0"]
LENGTH = ["--epochs", "12", "--seeds", "2", "--device", "cpu"]
OPTIONS = [*LENGTH, *(part for pair in PAMC for part in ("--set", pair))]
VARIANTS = {
    "plain": ["pamc", "karate", *OPTIONS],
    "node": [
        "grace", "karate", *LENGTH, "--protocol", "random", "--splits", "1", "--set", "hidden=8",
        "--set", "checkpoint_seconds=0", "--set", "activation=rrelu",
    ],
    "batches": [
        "grace", "karate", *LENGTH, "--protocol", "random", "--splits", "1", "--set", "hidden=8", "--set", "projection=8",
        "--set", "checkpoint_seconds=0", "--batch-nodes", "12", "--set", "loss=info-nce", "--set", "negatives=meta-node",
    ],
    "everything": [
        "pamc", "karate", *OPTIONS, "--selection", "label_free",
        "--set", "precision=bf16", "--set", "clip_norm=0.5", "--set", "accumulate=2",
        "--set", "weight_decay=0.01",
    ],
}  # fmt: skip


@pytest.fixture(scope="module")
def processes():
    """Starts processes from a server that has everything imported and has computed nothing: a kill is not spent on imports."""
    context = multiprocessing.get_context("forkserver")
    ours = ["graphcl.cli.show", "graphcl.models.clustering", "graphcl.models.node", "graphcl.datasets.embedded"]
    lazy = ["torch._dynamo", "matplotlib.backends.backend_agg", "matplotlib.figure"]
    context.set_forkserver_preload([*ours, *lazy])
    first = context.Process(target=time.sleep, args=(0,))  # waits for the imports, which are no part of a run's length
    first.start()
    first.join()
    return context


def start(processes, folder, extra):
    """Starts the run, or goes on with it once it has a folder that says what it is."""
    run = str(folder / "r")
    begun = (folder / "r" / "config.yaml").exists()
    arguments = ["run", "--resume", run] if begun else ["run", *extra, "--out", run]
    process = processes.Process(target=main, args=(arguments,))
    process.start()
    return process


def finish(processes, folder, extra):
    process = start(processes, folder, extra)
    process.join(120)
    assert process.exitcode == 0, (folder, "what it said is among the captured output")


def comparable(folder: Path):
    """Everything a run leaves that must not depend on when it was killed."""
    run = folder / "r"
    metrics = json.loads((run / "metrics.json").read_text())
    del metrics["seconds"], metrics["peak_memory_mb"]
    names = sorted(path.name for path in run.iterdir())
    told = ("metrics.json", "environment.json", "results.md")  # with times and memory in them
    return metrics, {name: (run / name).read_bytes() for name in names if name not in told}, names


def kill_and_compare(processes, tmp_path, kills, variant, seed):
    """Kills runs at random moments until that many were killed, and compares each with one that was left alone."""
    extra, draw = VARIANTS[variant], random.Random(seed)
    whole = tmp_path / "whole"
    whole.mkdir()
    began = time.monotonic()
    finish(processes, whole, extra)
    length = time.monotonic() - began
    want, killed, rounds = comparable(whole), 0, 0
    while killed < kills:
        rounds += 1
        folder = tmp_path / f"killed-{rounds}"
        folder.mkdir()
        while killed < kills:
            process = start(processes, folder, extra)
            process.join(draw.uniform(0, 0.8 * length))
            if not process.is_alive():
                assert process.exitcode == 0, folder
                break
            process.kill()
            process.join()
            killed += 1
        finish(processes, folder, extra)
        metrics, files, names = comparable(folder)
        assert metrics == want[0]
        assert names == want[2], "nothing is left lying about"
        for name, content in files.items():
            assert content == want[1][name], f"{name} differs in round {rounds}, after {killed} kills"
    return killed


@pytest.mark.parametrize("variant", ["everything", "node", "batches"])
def test_two_kills_change_no_bit(processes, tmp_path, variant):
    assert kill_and_compare(processes, tmp_path, 2, variant, seed=0) == 2


@pytest.mark.slow
@pytest.mark.parametrize("variant", VARIANTS)
def test_twenty_kills_change_no_bit(processes, tmp_path, variant):
    assert kill_and_compare(processes, tmp_path, 20, variant, seed=1) == 20


def test_a_run_that_ends_between_two_epochs_goes_on_to_the_same_bits(cli, tmp_path, monkeypatch):
    """Every kind of place at its turn: in the warm-up, before the centres are placed, at a seed's end, in the next seed."""
    from graphcl.training import Checkpoint

    small = ["run", "pamc", "karate", *OPTIONS]
    assert cli(*small, "--out", "whole").code == 0
    plain, places = Checkpoint.after_epoch, [("seed-0", 1), ("seed-0", 6), ("seed-0", 7), ("seed-0", 12), ("seed-1", 9)]

    def dies(self, system, state, observers):
        plain(self, system, state, observers)
        if (self.name, state.epoch) == places[0]:
            raise KeyboardInterrupt

    monkeypatch.setattr(Checkpoint, "after_epoch", dies)
    assert cli(*small, "--out", "r").code == 130
    assert cli(*small, "--out", "r").complaint.startswith("r holds an unfinished run: continue it with graphcl run --resume r")
    places.append(("nowhere", 0))
    while len(places) > 1:
        name, epoch = places.pop(0)
        answer = cli("run", "--resume", "r")
        assert f"{name}: continued after {epoch} epochs" in answer.err
        assert answer.code == (130 if len(places) > 1 else 0), answer.err
    assert "seed-0: finished already after 12 epochs" in answer.err
    for name in ("embeddings.npy", "clusters.npy", "model.safetensors", "metrics.jsonl"):
        assert (tmp_path / "r" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name
    assert not (tmp_path / "r" / "checkpoints").exists()
    again = cli("run", "--resume", "r")
    assert (again.code, again.out) == (0, "the run in r is finished: nothing is left to do\n")
