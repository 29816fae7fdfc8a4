from __future__ import annotations

import json

import pytest

from graphcl.models.node import GRACE
from graphcl.tasks import bench_run
from graphcl.tasks.bench_plan import find_suite, plan
from graphcl.tasks.bench_run import run_bench
from graphcl.training import Checkpoint, NonFiniteLossError

QUICK = {"systems": ["mf-bpr", "lightgcn"], "datasets": ["davis"], "seeds": 1, "epochs": 3, "device": "cpu"}


@pytest.fixture
def cells(tmp_path):
    return plan(find_suite("recsys"), tmp_path, **QUICK, settings=["checkpoint_seconds=0", "dim=4"])


def test_every_cell_is_a_finished_run_and_its_place_is_told(cells):
    said, seen = [], []
    outcomes = run_bench(cells, report=lambda run, data, folder: seen.append(folder.path), say=said.append)
    assert [line for line in said if line.startswith("[")] == ["[1/2] mf-bpr on davis", "[2/2] lightgcn on davis"]
    for cell, outcome in zip(cells, outcomes, strict=True):
        assert outcome.failure is None
        assert outcome.metrics == json.loads((cell.folder / "metrics.json").read_text())
        assert outcome.data["counts"]["users"] == 18
        assert not (cell.folder / "checkpoints").exists()
    assert seen == [cell.folder for cell in cells]


def test_what_is_finished_is_not_run_again_and_needs_no_data(cells, monkeypatch):
    first = run_bench(cells)
    monkeypatch.setattr(bench_run, "load_data", lambda *args: pytest.fail("it loads data"))
    said = []
    assert run_bench(cells, say=said.append) == first
    assert said == ["[1/2] mf-bpr on davis: finished already", "[2/2] lightgcn on davis: finished already"]


def test_what_was_killed_goes_on(cells, monkeypatch):
    plain = Checkpoint.after_epoch

    def dies(self, system, state, observers):
        plain(self, system, state, observers)
        if type(system).__name__ == "LightGCN" and state.epoch == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(Checkpoint, "after_epoch", dies)
    with pytest.raises(KeyboardInterrupt):
        run_bench(cells)
    monkeypatch.setattr(Checkpoint, "after_epoch", plain)
    said = []
    run_bench(cells, say=said.append)
    assert said[0] == "[1/2] mf-bpr on davis: finished already"
    assert "seed-0: continued after 2 epochs" in said


@pytest.mark.parametrize(
    ("error", "line", "whole"),
    [
        (NonFiniteLossError("epoch 1: the term\n'loss' is nan"), "epoch 1: the term 'loss' is nan", False),
        (MemoryError("no room"), "no room", False),
        (ZeroDivisionError("a bug"), "ZeroDivisionError: a bug", True),
    ],
)
def test_a_cell_that_fails_is_told_noted_and_passed_over(tmp_path, monkeypatch, error, line, whole):
    suite = find_suite("node")
    words = {**QUICK, "systems": ["grace"], "datasets": ["davis", "karate"], "settings": ["hidden=4"]}
    cells = plan(suite, tmp_path, **words)[:1] + plan(find_suite("recsys"), tmp_path, **{**QUICK, "systems": ["ease"]})

    def fails(self, data):
        raise error

    monkeypatch.setattr(GRACE, "training_step", fails)
    said = []
    failed, other = run_bench(cells, say=said.append)
    assert failed.metrics is None
    assert failed.failure == line
    assert f"[1/2] grace on davis failed: {line}" in said
    note = (cells[0].folder / "failed.txt").read_text()
    assert ("Traceback" in note) == whole
    assert other.failure is None
    monkeypatch.undo()
    assert run_bench(cells)[0].failure is None
    assert not (cells[0].folder / "failed.txt").exists()


def test_a_run_that_cannot_be_read_is_a_failed_cell(cells):
    run_bench(cells[:1])
    (cells[0].folder / "metrics.json").write_text("{")
    (outcome,) = run_bench(cells[:1])
    assert "holds a run that cannot be read" in outcome.failure
