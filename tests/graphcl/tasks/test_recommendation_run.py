from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import torch

from graphcl.errors import InputError
from graphcl.recsys import load
from graphcl.recsys.data import given_split
from graphcl.recsys.ranking import evaluate, leakage
from graphcl.recsys.ranking.rows import fingerprint, union
from graphcl.tasks import RunConfig, recommendation_run, run_system
from graphcl.tasks.recommendation_run import BESIDE, RecommendationJudge
from graphcl.training import RunFolder, TrainingConfig

MODEL = {"dim": 8, "layers": 2}


def config(system="lightgcn", seeds=(0, 1), epochs=4, **more):
    training = TrainingConfig(epochs=epochs, lr=0.01, device="cpu")
    return RunConfig(system, "davis", seeds=seeds, every=2, model=MODEL, training=training, **more)


@pytest.fixture(scope="module")
def davis():
    return load("davis")


@pytest.fixture(scope="module")
def without_valid(davis):
    """The same rows without a validation part, as published splits come."""
    frames = [
        pl.DataFrame({"user": part.users.decode(part.rows), "item": part.items.decode(part.indices)})
        for part in (davis.train, davis.test)
    ]
    return given_split(*frames, name="bare")


@pytest.fixture(scope="module")
def done(davis, tmp_path_factory):
    path, reads = tmp_path_factory.mktemp("run"), leakage._test_reads.copy()
    run = run_system(config(), davis, RunFolder(path / "r"))
    read = leakage._test_reads[fingerprint(davis.test)] - reads[fingerprint(davis.test)]
    return run, path / "r", json.loads((path / "r" / "metrics.json").read_text()), read


def test_metrics_are_those_of_the_best_epoch_of_each_seed_by_full_ranking(done, davis):
    run, path, metrics, _ = done
    users, items = (torch.from_numpy(np.load(path / name)) for name in ("users.npy", "items.npy"))
    want = evaluate((users, items), davis, (10, 20)).metrics
    for name, value in metrics["metrics"].items():
        assert value["values"][0] == pytest.approx(want[name]), name
        assert len(value["values"]) == 2
    best = [max(row["valid ndcg@20"] for row in run.first.history_ if "valid ndcg@20" in row)]
    assert metrics["protocol"]["valid ndcg@20"][0] == pytest.approx(best[0])


def test_the_protocol_says_how_the_numbers_came_about(done):
    protocol = done[2]["protocol"]
    assert (protocol["name"], protocol["id"], protocol["selection"], protocol["refit"]) == (
        "recommendation", "lit-ratio", "valid", False,
    )  # fmt: skip
    assert protocol["checks"] == dict.fromkeys(("disjoint", "graph", "repeatable", "chance"), "passed")
    assert all("below popularity" in stamp for stamp in protocol["stamps"])
    assert protocol["stamp"] == ("; ".join(protocol["stamps"]) or None)
    assert protocol["best_epochs"] == [epoch for epoch in protocol["best_epochs"] if epoch in (1, 3)]
    assert done[2]["counts"]["items"] == 14


@pytest.mark.parametrize(("every", "lr", "told"), [(100, 0.01, True), (1, 1e-12, False)])
def test_it_is_said_when_the_last_epoch_was_the_best(every, lr, told, davis, tmp_path):
    """The only one that is looked at is the best; at a rate of nothing it is the first."""
    lines = []
    settings = replace(config(seeds=(3,), epochs=2, baselines=False), every=every)
    settings = replace(settings, training=replace(settings.training, lr=lr))
    run_system(settings, davis, RunFolder(tmp_path / "r"), say=lines.append)
    assert any("the last of 2 epochs with seed 3: more --epochs" in line for line in lines) is told


def test_the_test_part_is_read_once_a_seed_and_once_a_baseline(done):
    assert done[3] == 2 + len(BESIDE)


def test_simple_models_stand_beside_it_with_their_times(done, davis):
    _, _, metrics, _ = done
    assert tuple(metrics["baselines"]) == BESIDE == tuple(metrics["seconds"]["baselines"])
    counts = torch.from_numpy(davis.train.item_degrees).double()
    want = evaluate(lambda users: counts.expand(len(users), -1), davis, (10, 20)).metrics["ndcg@20"]
    assert metrics["baselines"]["popularity"]["ndcg@20"]["mean"] == pytest.approx(want)


def test_every_user_of_the_first_seed_and_of_the_baselines_is_kept_by_id(done, davis):
    _, path, metrics, _ = done
    frame = pl.read_parquet(path / "per_user.parquet")
    assert frame["method"].unique(maintain_order=True).to_list() == ["lightgcn", *BESIDE]
    mine = frame.filter(pl.col("method") == "lightgcn")
    assert mine["user"].to_list() == davis.users.ids.to_list()
    assert mine["ndcg@20"].mean() == pytest.approx(metrics["metrics"]["ndcg@20"]["values"][0])


def test_a_split_without_validation_gets_one_out_of_training_and_everything_is_refit(without_valid, tmp_path):
    run = run_system(config(seeds=(0,)), without_valid, RunFolder(tmp_path))
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    protocol = metrics["protocol"]
    assert (protocol["selection"], protocol["refit"], protocol["id"]) == ("valid-from-train", True, "lit-files")
    assert "selection=valid-from-train" in protocol["stamps"]
    assert protocol["checks"]["graph"] == "refit on train and valid"
    assert run.first.trained_.rows.num_interactions == without_valid.train.num_interactions
    judge = RecommendationJudge(config(), without_valid)
    assert fingerprint(union(judge.data.train, judge.data.valid)) == fingerprint(without_valid.train)
    assert judge._anchor("popularity").result.checks["graph"] == "refit on train and valid"


def test_without_a_refit_nobody_learns_from_what_chose(without_valid):
    judge = RecommendationJudge(config(refit=False), without_valid)
    assert judge.refit is False
    assert judge._anchor("popularity").result.checks["graph"] == "passed"


def test_a_protocol_may_narrow_that_of_the_split_and_others_are_refused_before_training(without_valid, davis, tmp_path):
    run_system(config(seeds=(0,), protocol="lit-ratio-ngcf", baselines=False), without_valid, RunFolder(tmp_path))
    assert json.loads((tmp_path / "metrics.json").read_text())["protocol"]["id"] == "lit-ratio-ngcf"
    with pytest.raises(InputError, match="the split was made by protocol 'lit-ratio'; got 'strict'"):
        RecommendationJudge(config(protocol="strict"), davis)


def test_a_graph_is_no_split(planted):
    with pytest.raises(InputError, match="takes a Split of interactions; got Data"):
        RecommendationJudge(config(), planted())


def test_baselines_are_fitted_once_for_all_systems_of_a_split(monkeypatch):
    split, fitted, said = load("davis"), [], []
    plain = RecommendationJudge._anchor
    monkeypatch.setattr(RecommendationJudge, "_anchor", lambda self, name: fitted.append(name) or plain(self, name))
    for system in ("lightgcn", "mf-bpr", "ease"):
        anchors = RecommendationJudge(config(system), split)._anchors(said.append)
        assert tuple(anchors) == tuple(name for name in BESIDE if name != system)
    assert fitted == list(BESIDE)
    RecommendationJudge(config(refit=True), split)._anchors(said.append)
    assert len(fitted) == 2 * len(BESIDE), "fitted on other rows"


def test_ease_is_left_out_where_its_square_does_not_fit(monkeypatch):
    said = []
    monkeypatch.setattr(recommendation_run, "available_memory", lambda device: 8 * 14**2 - 1)
    anchors = RecommendationJudge(config(), load("davis"))._anchors(said.append)
    assert "ease" not in anchors
    assert said[2] == "no ease: 14 items would take it long, or more memory than there is; it can be run by itself"


def test_a_model_without_embeddings_leaves_none(davis, tmp_path):
    training = TrainingConfig(device="cpu")
    run_system(
        RunConfig("item-knn", "davis", seeds=(0,), model={"neighbours": 5}, training=training, baselines=False),
        davis,
        RunFolder(tmp_path),
    )
    names = {path.name for path in tmp_path.iterdir()}
    assert names >= {"config.yaml", "environment.json", "metrics.json", "per_user.parquet", "model.json"}
    assert not names & {"users.npy", "items.npy", "embeddings.npy", "checkpoints", "metrics.jsonl"}
