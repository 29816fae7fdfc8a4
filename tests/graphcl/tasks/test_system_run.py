from __future__ import annotations

import json

import numpy as np
import pytest

from graphcl.models import SYSTEMS
from graphcl.tasks import NodeEmbedder, run_system, system_run
from graphcl.tasks.verdict import Verdict
from graphcl.training import RunFolder


class Count:
    """A judge of no task in particular."""

    def __init__(self, config, data):
        self.config, self.data = config, data

    def face(self, seed, *, progress):
        return NodeEmbedder(params=self.config.model, training=self.config.training, seed=seed)

    def judge(self, fitted, say):
        say("counting")
        return Verdict({"name": "count"}, {}, {}, {"count": len(fitted)})

    def arrays(self, first):
        return {"more.npy": first.embedding_ + 1}


def test_every_task_has_a_judge():
    assert {entry.task for entry in SYSTEMS.values()} <= set(system_run.JUDGES)


def test_a_judge_decides_what_is_said_and_what_is_kept(node_config, planted, tmp_path, monkeypatch):
    monkeypatch.setattr(system_run, "JUDGES", {"node": Count})
    said, seen = [], []
    run = run_system(
        node_config(),
        planted(),
        RunFolder(tmp_path),
        say=said.append,
        report=lambda run: seen.append((tmp_path / "model.json").exists() and not (tmp_path / "metrics.json").exists()),
    )
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert (metrics["count"], metrics["protocol"], metrics["baselines"]) == (2, {"name": "count"}, {})
    assert said == ["counting"]
    assert seen == [True]
    np.testing.assert_array_equal(np.load(tmp_path / "more.npy"), run.first.embedding_ + 1)
    assert run.first.seed == 0


def test_a_node_run_that_was_stopped_goes_on_without_training_what_was_finished(node_config, planted, tmp_path, monkeypatch):
    from graphcl.models.node import GRACE

    def fail(run):
        raise KeyboardInterrupt

    config, data = node_config(baselines=False), planted(nodes=120)
    with pytest.raises(KeyboardInterrupt):
        run_system(config, data, RunFolder(tmp_path / "a"), report=fail)
    monkeypatch.setattr(GRACE, "training_step", lambda self, data: pytest.fail("it trains again"))
    run_system(config, data, RunFolder.reopen(tmp_path / "a"))
    monkeypatch.undo()
    run_system(config, data, RunFolder(tmp_path / "b"))
    for name in ("embeddings.npy", "metrics.jsonl", "config.yaml", "model.safetensors", "model.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name
