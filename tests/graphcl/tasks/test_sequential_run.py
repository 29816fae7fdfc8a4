from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from graphcl.errors import InputError
from graphcl.recsys import load
from graphcl.recsys.ranking import evaluate
from graphcl.recsys.sequences import sequence_split
from graphcl.tasks import Recommender, RunConfig, run_system
from graphcl.tasks.sequential_run import SequentialJudge
from graphcl.training import RunFolder, TrainingConfig

MODEL = {"dim": 16, "layers": 1, "heads": 1, "dropout": 0.1, "max_length": 8, "batch_size": 32}


def config(system="sasrec", seeds=(0, 1), epochs=12, model=None, **more) -> RunConfig:
    training = TrainingConfig(epochs=epochs, lr=0.01, device="cpu")
    own = {} if system == "markov" else MODEL
    return RunConfig(system, "walks", seeds=seeds, every=4, model=own if model is None else model, training=training, **more)


@pytest.fixture(scope="module")
def split(walks):
    return sequence_split(walks, name="walks")


@pytest.fixture(scope="module")
def done(split, tmp_path_factory):
    path = tmp_path_factory.mktemp("run") / "r"
    run = run_system(config(), split, RunFolder(path))
    return run, path, json.loads((path / "metrics.json").read_text())


def test_the_next_item_is_ranked_at_five_ten_and_twenty_under_the_narrow_id(done, split):
    run, _, metrics = done
    names = [f"{name}@{k}" for name in ("hr", "ndcg", "mrr", "coverage", "gini", "novelty") for k in (5, 10, 20)]
    assert list(metrics["metrics"]) == names
    want = evaluate(run.first.scorer_, split.split, (5, 10), ("hr", "ndcg", "mrr"), protocol="lit-loo-s3").metrics
    for name, value in want.items():
        assert metrics["metrics"][name]["values"][0] == pytest.approx(value)
    protocol = metrics["protocol"]
    assert (protocol["id"], protocol["selection"], protocol["refit"]) == ("lit-loo-s3", "valid", False)
    assert protocol["checks"]["graph"] == "passed"
    best = max(row["valid ndcg@10"] for row in run.first.history_ if "valid ndcg@10" in row)
    assert protocol["valid ndcg@10"][0] == best


def test_popularity_and_markov_stand_beside_and_order_wins(done):
    metrics = done[2]
    assert tuple(metrics["baselines"]) == ("popularity", "markov") == tuple(metrics["seconds"]["baselines"])
    popular = metrics["baselines"]["popularity"]["ndcg@10"]["mean"]
    assert metrics["metrics"]["ndcg@10"]["mean"] > popular + 0.2
    assert metrics["baselines"]["markov"]["ndcg@10"]["mean"] > popular + 0.2


def test_every_user_is_kept_and_the_model_comes_back(done, split):
    run, path, metrics = done
    frame = pl.read_parquet(path / "per_user.parquet")
    assert frame["method"].unique(maintain_order=True).to_list() == ["sasrec", "popularity", "markov"]
    mine = frame.filter(pl.col("method") == "sasrec")
    assert mine["ndcg@10"].mean() == pytest.approx(metrics["metrics"]["ndcg@10"]["values"][0])
    assert np.load(path / "items.npy").shape == (20, 16)
    assert Recommender.load(path).recommend(k=5).equals(run.first.recommend(k=5))
    environment = json.loads((path / "environment.json").read_text())
    assert environment["data"]["sha256"] == split.provenance.sha256


def test_the_same_run_gives_the_same_numbers(done, split, tmp_path):
    again = run_system(config(seeds=(0,), baselines=False), split, RunFolder(tmp_path / "r")).metrics
    assert again["metrics"]["ndcg@10"]["values"] == done[2]["metrics"]["ndcg@10"]["values"][:1]


def test_a_protocol_that_lists_seen_items_chooses_and_judges_with_them(split):
    judges = [SequentialJudge(config("markov", protocol=name), split) for name in (None, "lit-loo-recbole")]
    faces = [judge.face(0, progress=False).fit(judge.data) for judge in judges]
    assert [face.mask_seen for face in faces] == [True, False]
    assert [face.trained_.model.mask_seen for face in faces] == [True, False]
    verdicts = [judge.judge([face], lambda line: None) for judge, face in zip(judges, faces, strict=True)]
    assert [verdict.protocol["id"] for verdict in verdicts] == ["lit-loo-s3", "lit-loo-recbole"]
    assert [tuple(verdict.baselines) for verdict in verdicts] == [("popularity",)] * 2, "markov itself is what is judged"
    want = evaluate(faces[1].scorer_, split.split, (10,), ("ndcg",), protocol="lit-loo-recbole").metrics["ndcg@10"]
    assert verdicts[1].metrics["ndcg@10"]["mean"] == pytest.approx(want)


def test_strict_cuts_the_same_events_in_time(split, tmp_path):
    run_system(config("markov", seeds=(0,), protocol="strict"), split, RunFolder(tmp_path / "r"))
    metrics = json.loads((tmp_path / "r" / "metrics.json").read_text())
    assert metrics["protocol"]["id"] == "strict"
    assert metrics["protocol"]["checks"]["time"] == "passed"
    judge = SequentialJudge(config("markov", protocol="strict"), split)
    assert judge.data.test.num_events + judge.data.histories("test").num_events == 60 * 3 + split.train.num_events - 60
    bare = [None if part is None else replace(part, times=None) for part in (split.train, split.valid, split.test)]
    with pytest.raises(InputError, match="to split by time, got none"):
        SequentialJudge(config(protocol="strict"), replace(split, train=bare[0], valid=bare[1], test=bare[2]))


def test_without_validation_the_last_events_are_held_out_and_all_is_refit(walks, tmp_path):
    split = sequence_split(walks, valid=False, name="walks")
    run_system(config(seeds=(0,), epochs=4), split, RunFolder(tmp_path / "r"))
    protocol = json.loads((tmp_path / "r" / "metrics.json").read_text())["protocol"]
    assert (protocol["selection"], protocol["refit"]) == ("valid-from-train", True)
    assert protocol["checks"]["graph"] == "refit on train and valid"


def test_what_cannot_be_judged_is_refused_before_training(split):
    with pytest.raises(InputError, match="a sequential system takes a SequenceSplit; got Split"):
        SequentialJudge(config(), load("davis"))
    with pytest.raises(InputError, match="the split was made by protocol 'lit-loo'; got 'lit-ratio'"):
        SequentialJudge(config(protocol="lit-ratio"), split)
