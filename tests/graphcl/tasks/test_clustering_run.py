from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import yaml

from graphcl import datasets
from graphcl.errors import InputError
from graphcl.evaluation import METRICS, clustering_scores
from graphcl.evaluation.selection import STAMP
from graphcl.models.clustering import PamC
from graphcl.tasks import clustering_run, run_system
from graphcl.training import NonFiniteLossError, RunFolder, load_weights

FILES = [
    "clusters.npy", "config.yaml", "embeddings.npy", "environment.json", "metrics.json", "metrics.jsonl", "model.json",
    "model.safetensors",
]  # fmt: skip


def start(config, data, path, **more):
    return run_system(config, data, RunFolder(path), **more)


def names(path):
    return sorted(entry.name for entry in path.iterdir())


@pytest.fixture
def done(run_config, planted, tmp_path):
    config, data = run_config(), planted()
    path = tmp_path / "run"
    run = start(config, data, path)
    return SimpleNamespace(
        config=config, data=data, path=path, run=run, metrics=json.loads((path / "metrics.json").read_text())
    )


def test_the_folder_holds_exactly_what_is_promised(done):
    assert names(done.path) == FILES


def test_metrics_json_has_its_shape(done):
    metrics = done.metrics
    assert list(metrics) == [
        "system", "dataset", "protocol", "seeds", "metrics", "oracle", "gain", "quality", "baselines", "seconds",
        "peak_memory_mb",
    ]  # fmt: skip
    oracle = metrics.pop("oracle")
    assert list(oracle) == [*METRICS, "epoch", "stamp"]
    assert (oracle.pop("stamp"), len(oracle.pop("epoch"))) == (STAMP, 2)
    assert (metrics["system"], metrics["dataset"], metrics["seeds"]) == ("pamc", "planted", [0, 1])
    assert list(metrics["metrics"]) == list(METRICS)
    assert list(metrics["baselines"]) == ["kmeans-raw", "kmeans-filtered-1", "kmeans-filtered-2", "kmeans-initial"]
    assert list(metrics["seconds"]) == ["training", "pretraining", "total"]
    assert list(metrics["quality"]) == ["modularity", "silhouette", "conductance"]
    for scores in (metrics["metrics"], oracle, metrics["gain"], metrics["quality"], *metrics["baselines"].values()):
        for value in scores.values():
            assert set(value) == {"mean", "std", "values"}
            assert len(value["values"]) == 2
            assert value["mean"] == pytest.approx(np.mean(value["values"]))
            assert value["std"] == pytest.approx(np.std(value["values"], ddof=1))
    assert metrics["protocol"]["name"] == "clustering"
    assert metrics["protocol"]["selection"] == "last"
    assert metrics["protocol"]["stamp"] is None
    assert metrics["protocol"]["n_clusters"] == 2
    assert metrics["protocol"]["epochs"] == [5, 5]
    assert metrics["seconds"]["total"] >= sum(metrics["seconds"]["training"]["values"]) > 0
    assert metrics["peak_memory_mb"] > 50


def test_the_gain_is_what_came_after_the_clusters_began(done):
    own, initial = done.metrics["metrics"]["acc"], done.metrics["baselines"]["kmeans-initial"]["acc"]
    gains = [a - b for a, b in zip(own["values"], initial["values"], strict=True)]
    assert done.metrics["gain"]["acc"]["values"] == pytest.approx(gains)
    clusterer = done.run.first
    assert clusterer.initial_.labels.shape == clusterer.labels_.shape
    assert clusterer.score_initial(done.data)["acc"] == pytest.approx(initial["values"][0])


def test_what_is_returned_is_what_is_written(done):
    assert json.loads(json.dumps(done.run.metrics)) == done.metrics


def test_the_scores_are_those_of_the_clusters_that_were_saved(done):
    clusters = np.load(done.path / "clusters.npy", allow_pickle=False)
    scores = clustering_scores(done.data.y.numpy(), clusters)
    assert {name: value["values"][0] for name, value in done.metrics["metrics"].items()} == scores
    np.testing.assert_array_equal(clusters, done.run.first.labels_)
    embedding = np.load(done.path / "embeddings.npy", allow_pickle=False)
    assert embedding.shape == (41, 8)
    np.testing.assert_array_equal(embedding, done.run.first.embedding_)


def test_the_configuration_and_the_environment_are_readable(done):
    assert yaml.safe_load((done.path / "config.yaml").read_text()) == done.config.as_dict()
    content = json.loads((done.path / "environment.json").read_text())
    assert content["seeds"] == [0, 1]
    assert content["data"] is None, "a graph without provenance"
    assert content["packages"]["torch"] == torch.__version__


def test_every_epoch_of_every_seed_has_a_line(done):
    rows = [json.loads(line) for line in (done.path / "metrics.jsonl").read_text().splitlines()]
    assert [(row["seed"], row["epoch"]) for row in rows] == [(seed, epoch) for seed in (0, 1) for epoch in range(6)]
    assert all(np.isfinite(row["loss"]) for row in rows)
    assert "changed" in rows[-1]


def test_the_same_run_again_gives_the_same_bits(done, tmp_path):
    again = start(done.config, done.data, tmp_path / "again")
    assert again.metrics["metrics"] == done.run.metrics["metrics"]
    assert again.metrics["baselines"] == done.run.metrics["baselines"]
    for name in ("embeddings.npy", "clusters.npy", "metrics.jsonl", "config.yaml"):
        assert (tmp_path / "again" / name).read_bytes() == (done.path / name).read_bytes(), name


def test_the_data_behind_a_run_is_named_by_its_checksum_and_announced_once(run_config, tmp_path):
    data, said = datasets.load("karate"), []
    run = start(run_config(), data, tmp_path / "run", say=said.append)
    content = json.loads((tmp_path / "run" / "environment.json").read_text())
    assert content["data"]["name"] == "karate"
    assert content["data"]["sha256"] == data.provenance.sha256
    assert content["data"]["counts"]["nodes"] == 34
    assert said == [data.provenance.summary(), "k-means on raw and on filtered features, for comparison"]
    assert run.metrics["protocol"]["features"] == "positional"


def test_apart_from_the_metrics_stands_what_a_run_with_oracle_selection_reports(run_config, planted, tmp_path):
    config, data = run_config(epochs=20), planted(seed=3)
    last, oracle = (start(replace(config, selection=rule), data, tmp_path / rule).metrics for rule in ("last", "oracle"))
    assert last["oracle"] == {**oracle["metrics"], "epoch": oracle["protocol"]["epochs"], "stamp": STAMP}
    assert last["protocol"]["stamp"] is None
    pairs = zip(last["oracle"]["acc"]["values"], last["metrics"]["acc"]["values"], strict=True)
    assert all(noted >= own for noted, own in pairs)
    assert last["oracle"]["epoch"] != last["protocol"]["epochs"]


def test_a_run_that_was_killed_notes_the_oracle_of_all_its_epochs(run_config, planted, tmp_path, monkeypatch):
    config, data = run_config(epochs=20), planted(seed=3)
    config = replace(config, training=replace(config.training, checkpoint_seconds=0))
    want = start(config, data, tmp_path / "whole").metrics["oracle"]
    step, steps = PamC.training_step, iter(range(20 + want["epoch"][1] + 2))  # the second seed dies after its best epoch

    def die(self, batch):
        if next(steps, None) is None:
            raise KeyboardInterrupt
        return step(self, batch)

    monkeypatch.setattr(PamC, "training_step", die)
    with pytest.raises(KeyboardInterrupt):
        start(config, data, tmp_path / "killed")
    monkeypatch.undo()
    assert run_system(config, data, RunFolder.reopen(tmp_path / "killed")).metrics["oracle"] == want


def test_without_baselines_labels_are_scored_against_once(run_config, planted, tmp_path):
    metrics = start(replace(run_config(seeds=(0,)), baselines=False), planted(), tmp_path).metrics
    assert metrics["metrics"]
    assert "oracle" not in metrics


def test_oracle_is_stamped(run_config, planted, tmp_path):
    start(run_config(seeds=(0,), selection="oracle"), planted(), tmp_path)
    protocol = json.loads((tmp_path / "metrics.json").read_text())["protocol"]
    assert protocol["selection"] == "oracle"
    assert protocol["stamp"] == STAMP


@pytest.mark.parametrize("y", [None, torch.zeros(41, 2)])
def test_without_one_class_a_node_there_are_clusters_but_no_scores(run_config, planted, tmp_path, y):
    data = planted()
    data.y = y
    start(run_config(seeds=(0,), n_clusters=3), data, tmp_path)
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["metrics"] == {}
    assert metrics["baselines"] == {}
    assert "oracle" not in metrics
    assert set(metrics["quality"]) == {"modularity", "silhouette", "conductance"}
    assert names(tmp_path) == FILES


def test_unlabelled_nodes_count_neither_for_the_system_nor_for_the_anchors(run_config, planted, tmp_path):
    data = planted()
    hidden = data.clone()
    hidden.unlabelled = torch.arange(41) % 4 == 0
    hidden.y = torch.where(hidden.unlabelled, 1 - data.y, data.y)
    other = hidden.clone()
    other.y = data.y
    runs = [start(run_config(seeds=(0,)), graph, tmp_path / name).metrics for name, graph in (("a", hidden), ("b", other))]
    assert runs[0]["metrics"] == runs[1]["metrics"]
    assert runs[0]["baselines"] == runs[1]["baselines"]


@pytest.mark.parametrize("n_clusters", [1, 42])
def test_a_run_that_cannot_start_leaves_no_folder_and_says_nothing(run_config, planted, tmp_path, n_clusters):
    said = []
    with pytest.raises(InputError, match="n_clusters"):
        start(run_config(n_clusters=n_clusters), planted(), tmp_path / "run", say=said.append)
    assert not (tmp_path / "run").exists()
    assert said == []


def test_a_run_that_diverges_has_no_metrics_json(run_config, planted, tmp_path, monkeypatch):
    config = run_config(epochs=9)
    object.__setattr__(config, "training", type(config.training)(epochs=9, lr=1e30, device="cpu"))
    with pytest.raises(NonFiniteLossError):
        start(config, planted(), tmp_path)
    assert "metrics.json" not in names(tmp_path)
    assert (tmp_path / "checkpoints").is_dir(), "a run that is not over keeps them"


def test_the_weights_of_the_first_seed_embed_again(done):
    system = PamC(5, 2, **done.config.model)
    load_weights(system, done.path / "model.safetensors")
    np.testing.assert_array_equal(system.embed(done.data).numpy(), np.load(done.path / "embeddings.npy"))


def test_a_report_is_written_before_the_run_counts_as_finished(run_config, planted, tmp_path):
    seen = []

    def report(run):
        seen.append((names(tmp_path), run.metrics["system"]))

    start(run_config(seeds=(0,)), planted(), tmp_path, report=report)
    ((present, system),) = seen
    assert system == "pamc"
    assert "metrics.json" not in present
    assert {"checkpoints", "embeddings.npy", "model.safetensors"} <= set(present)
    assert names(tmp_path) == FILES


def test_a_report_that_fails_can_be_made_up_for_without_training(run_config, planted, tmp_path, monkeypatch):
    def fail(run):
        raise KeyboardInterrupt

    config, data = run_config(), planted()
    with pytest.raises(KeyboardInterrupt):
        start(config, data, tmp_path / "a", report=fail)
    monkeypatch.setattr(PamC, "training_step", lambda self, data: pytest.fail("it trains again"))
    run = run_system(config, data, RunFolder.reopen(tmp_path / "a"))
    monkeypatch.undo()
    whole = start(config, data, tmp_path / "b")
    assert run.metrics["metrics"] == whole.metrics["metrics"]
    assert run.first.history_ == whole.first.history_
    assert run.metrics["seconds"]["total"] >= sum(run.metrics["seconds"]["training"]["values"]) > 0
    for name in ("embeddings.npy", "clusters.npy", "metrics.jsonl", "config.yaml", "model.safetensors"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name


def test_a_run_that_need_not_go_on_keeps_nothing_on_the_way(run_config, planted, tmp_path):
    seen = []
    start(run_config(), planted(), tmp_path, resumable=False, report=lambda run: seen.extend(names(tmp_path)))
    assert "checkpoints" not in seen


def test_the_quality_is_that_of_the_clusters_and_asks_for_no_class(done):
    quality = done.run.first.quality(done.data).scores()
    assert {name: value["values"][0] for name, value in done.metrics["quality"].items()} == quality


def test_where_a_score_is_not_defined_for_all_seeds_it_is_left_out(run_config, planted, tmp_path):
    data = planted(nodes=2)
    data.edge_index = torch.tensor([[0, 1], [1, 0]])
    metrics = start(run_config(), data, tmp_path).metrics
    assert "silhouette" not in metrics["quality"], "each node is a cluster"


def test_all_anchors_stand_beside_it_on_request_and_are_found_once_for_all_runs_on_a_graph(
    run_config, planted, tmp_path, monkeypatch
):
    config, data, said = replace(run_config(seeds=(0,)), baselines="full"), planted(), []
    first = start(config, data, tmp_path / "a", say=said.append).metrics["baselines"]
    assert list(first) == [
        "kmeans-raw", "kmeans-filtered-1", "kmeans-filtered-2", "kmeans-filtered-3", "kmeans-filtered-5", "spectral-raw",
        "spectral-filtered-2", "spectral-graph", "walks-64", "kmeans-initial",
    ]  # fmt: skip
    assert said == ["k-means on raw and on filtered features, spectral clustering, walks, for comparison"]
    assert yaml.safe_load((tmp_path / "a" / "config.yaml").read_text())["baselines"] == "full"
    monkeypatch.setattr(clustering_run, "clustering_baselines", lambda *given, **more: pytest.fail("once is enough"))
    assert start(config, data, tmp_path / "b").metrics["baselines"] == first


def test_weights_of_edges_count_for_the_anchors(run_config, planted, tmp_path):
    data = planted(seed=4)
    weighted = data.clone()
    weighted.edge_weight = torch.where(data.y[data.edge_index[0]] == data.y[data.edge_index[1]], 1e-6, 1.0)
    runs = [start(run_config(seeds=(0,)), graph, tmp_path / name).metrics for name, graph in (("a", data), ("b", weighted))]
    plain, mixed = (run["baselines"]["kmeans-filtered-1"]["acc"]["mean"] for run in runs)
    assert mixed < plain
    assert runs[0]["baselines"]["kmeans-raw"] == runs[1]["baselines"]["kmeans-raw"]
