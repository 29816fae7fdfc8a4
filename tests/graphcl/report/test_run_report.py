from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch_geometric.data import Data

from graphcl.recsys import load
from graphcl.report import result_markdown, run_report, write_report
from graphcl.tasks import SystemRun
from graphcl.training import RunFolder


@pytest.fixture
def run(metrics):
    first = SimpleNamespace(
        seed=3,
        history_=[{"epoch": 0, "loss": 2.0}, {"epoch": 1, "loss": 1.0, "changed": 0.5}],
        embedding_=np.random.default_rng(0).normal(size=(8, 3)).astype(np.float32),
        labels_=np.arange(8) % 2,
    )
    return SystemRun(metrics(), first)


def names(path):
    return sorted(entry.name for entry in path.iterdir())


def test_two_pictures_and_a_table_are_added(run, tmp_path):
    write_report(run, Data(y=torch.arange(8) % 3), RunFolder(tmp_path))
    assert names(tmp_path) == ["embedding.png", "loss.png", "results.md"]
    assert (tmp_path / "results.md").read_text(encoding="utf-8") == result_markdown(run.metrics)


def test_embeddings_without_clusters_are_drawn_too(run, tmp_path, monkeypatch):
    del run.first.labels_
    seen = []
    monkeypatch.setattr(run_report, "embedding_map", lambda embedding, path, **more: seen.append(more["clusters"]))
    write_report(run, Data(y=torch.arange(8) % 3), RunFolder(tmp_path))
    assert seen == [None]


def test_without_scores_there_is_no_table(run, tmp_path):
    bare = SystemRun({**run.metrics, "metrics": {}, "baselines": {}}, run.first)
    write_report(bare, Data(), RunFolder(tmp_path))
    assert names(tmp_path) == ["embedding.png", "loss.png"]


@pytest.mark.parametrize(
    ("data", "classes"),
    [
        (Data(), None),
        (Data(y=torch.zeros(8, 2)), None),
        (Data(y=torch.arange(8)), list(range(8))),
        (Data(y=torch.arange(8), unlabelled=torch.arange(8) < 2), [-1, -1, 2, 3, 4, 5, 6, 7]),
    ],
)
def test_the_map_shows_classes_where_nodes_have_one(run, tmp_path, monkeypatch, data, classes):
    seen = []

    def draw(embedding, path, *, title, clusters, classes):
        seen.append((title, clusters is run.first.labels_, None if classes is None else classes.tolist()))

    monkeypatch.setattr(run_report, "embedding_map", draw)
    write_report(run, data, RunFolder(tmp_path))
    assert seen == [("pamc on citation/cora, seed 3", True, classes)]


def test_a_picture_that_fails_leaves_no_piece_of_it(run, tmp_path, monkeypatch):
    def fail(*args, **more):
        raise KeyError

    monkeypatch.setattr(run_report, "embedding_map", fail)
    with pytest.raises(KeyError):
        write_report(run, Data(), RunFolder(tmp_path))
    assert names(tmp_path) == ["loss.png"]


def test_of_a_recommender_the_loss_is_drawn_without_what_validation_scored(run, tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(run_report, "loss_curve", lambda history, path, title: drawn.append(history))
    run.first.history_ = [{"epoch": 0, "loss": 2.0, "valid ndcg@20": 0.5}]
    write_report(run, load("davis"), RunFolder(tmp_path))
    assert drawn == [[{"epoch": 0, "loss": 2.0}]]
    assert "embedding.png" not in names(tmp_path)


def test_what_has_no_epochs_has_no_curve(run, tmp_path):
    run.first.history_ = []
    write_report(run, load("davis"), RunFolder(tmp_path))
    assert names(tmp_path) == ["results.md"]
