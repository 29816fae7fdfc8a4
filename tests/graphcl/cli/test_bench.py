from __future__ import annotations

import io
import json

import polars as pl
import pytest

QUICK = ["--seeds", 2, "--epochs", 2, "--device", "cpu", "--set", "dim=4"]
SMALL = ["bench", "recsys", "--datasets", "davis", "--systems", "lightgcn,mf-bpr", *QUICK]


def test_a_benchmark_is_one_table_of_runs_and_the_same_command_takes_them_as_they_are(cli, tmp_path):
    answer = cli(*SMALL, "--out", "b")
    assert answer.code == 0, answer.err
    assert {"b/bench.md", "b/bench.csv", "b/bench.html", "b/davis/lightgcn/metrics.json"} <= set(answer.paths)
    lines = answer.out.splitlines()
    assert lines[-1] == "benchmark: b"
    assert "\n".join(lines[:-1]) == (tmp_path / "b" / "bench.md").read_text(encoding="utf-8").rstrip("\n")
    frame = pl.read_csv(io.BytesIO((tmp_path / "b" / "bench.csv").read_bytes()))
    assert sorted(frame["method"]) == ["ease", "gf-cf", "ials", "item-knn", "lightgcn", "mf-bpr", "popularity"]
    for system in ("lightgcn", "mf-bpr"):
        metrics = json.loads((tmp_path / "b" / "davis" / system / "metrics.json").read_text())
        (row,) = frame.filter(pl.col("method") == system).to_dicts()
        assert row["ndcg@20"] == pytest.approx(metrics["metrics"]["ndcg@20"]["mean"], abs=1e-6)
        assert row["against"] == max(metrics["baselines"], key=lambda name: metrics["baselines"][name]["ndcg@20"]["mean"])
        assert row["users_low"] <= row["users_high"]
    assert "[1/2] lightgcn on davis" in answer.err
    again = cli(*SMALL, "--out", "b")
    assert (again.code, again.out) == (0, answer.out)
    assert again.err == "[1/2] lightgcn on davis: finished already\n[2/2] mf-bpr on davis: finished already\n"
    assert again.paths == answer.paths


def test_a_benchmark_that_was_stopped_goes_on_to_the_same_table(cli, tmp_path, monkeypatch):
    from graphcl.training import Checkpoint

    words = [*SMALL, "--set", "checkpoint_seconds=0", "--systems", "mf-bpr"]
    assert cli(*words, "--out", "whole").code == 0
    plain = Checkpoint.after_epoch

    def dies(self, system, state, observers):
        plain(self, system, state, observers)
        if (self.name, state.epoch) == ("seed-1", 1):
            raise KeyboardInterrupt

    monkeypatch.setattr(Checkpoint, "after_epoch", dies)
    assert cli(*words, "--out", "b").code == 130
    monkeypatch.setattr(Checkpoint, "after_epoch", plain)
    answer = cli(*words, "--out", "b")
    assert answer.code == 0, answer.err
    assert "seed-1: continued after 1 epochs" in answer.err
    drop = ["seconds", "peak_memory_mb"]
    one, two = (pl.read_csv(tmp_path / name / "bench.csv").drop(drop) for name in ("whole", "b"))
    assert one.equals(two)


def test_a_run_that_fails_is_told_and_the_others_are_run(cli):
    answer = cli("bench", "node", "--datasets", "karate", "--systems", "grace", *QUICK[:-2], "--set", "lr=1e30", "--out", "b")
    assert answer.code == 1
    assert "grace on karate failed: epoch 1: " in answer.err
    assert answer.err.splitlines()[-1].startswith("error: 1 of 1 runs failed")
    assert "Failed: grace on karate: epoch 1: " in answer.out
    assert {"b/bench.md", "b/karate/grace/failed.txt"} <= set(answer.paths)


def test_clusters_are_compared_as_well(cli):
    small = ["--set", "hidden=8", "--set", "warmup=1", "--set", "n_init=2"]
    words = ["--datasets", "karate", "--systems", "pamc", "--seeds", 2, "--epochs", 2, "--device", "cpu"]
    answer = cli("bench", "clustering", *words, *small, "--out", "b")
    assert answer.code == 0, answer.err
    text = answer.out
    assert "Protocol: selection: last, K = 2, positional features." in text
    assert "| *baselines* |" in text
    assert "| kmeans-raw |" in text


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["recsis"], ["unknown suite 'recsis'; did you mean recsys"]),
        (["recsys", "--systems", "lightgnc"], ["unknown recommendation system 'lightgnc'; did you mean lightgcn"]),
        (["recsys", "--systems", "pamc", "--datasets", "davis"], ["unknown recommendation system 'pamc'"]),
        (["recsys", "--datasets", "daviss"], ["unknown data set 'daviss'; did you mean davis"]),
        (["recsys", "--datasets", "digits"], ["data set 'digits' is a graph, and a recommendation system takes interactions"]),
        (["recsys", "--datasets", " , "], ["--datasets expects names with commas between them"]),
        (["recsys", "--datasets", "davis", "--set", "lair=1"], ["unknown key 'lair'"]),
        (["recsys", "--datasets", "davis", "--seeds", "0"], ["seeds is the number of runs"]),
        (["recsys", "--k", "3"], ["No such option: --k"]),
    ],
)
def test_what_cannot_be_run_is_one_line_and_leaves_nothing(cli, arguments, words):
    answer = cli("bench", *arguments, "--out", "b")
    for word in words:
        assert word in answer.complaint
    assert answer.paths == []


def test_a_folder_of_other_runs_is_refused(cli):
    words = ["bench", "recsys", "--datasets", "davis", "--systems", "ease", "--out", "b"]
    assert cli(*words).code == 0
    assert "b/davis/ease holds a run with other seeds" in cli(*words, "--seeds", 2).complaint
    (answer,) = [cli(*words[:-1], "b/bench.md")]
    assert answer.complaint == "--out b/bench.md is a file; name a folder"


def test_sequential_systems_beside_published_figures_and_with_tests_over_users(cli, sequence_root, tmp_path):
    settings = [
        word for setting in ("dim=8", "layers=1", "lr=0.02", "batch_size=64", "intents=8") for word in ("--set", setting)
    ]
    words = (
        "bench", "sequential", "--datasets", "walks", "--systems", "markov,sasrec,icsrec", "--data", sequence_root,
        "--seeds", 1, "--epochs", 6, *settings, "--device", "cpu", "--out", "b",
    )  # fmt: skip
    answer = cli(*words)
    assert answer.code == 0, answer.err
    assert "# Benchmark: sequential" in answer.out
    assert "| method | hr@5 | hr@10 | hr@20 | ndcg@5 | ndcg@10 | ndcg@20 | gain in ndcg@10 |" in answer.out
    rows = pl.read_csv(tmp_path / "b/bench.csv")
    assert rows.filter(pl.col("kind") == "system")["method"].sort().to_list() == ["icsrec", "markov", "sasrec"]
    assert set(rows.filter(pl.col("kind") == "baseline")["method"]) >= {"popularity", "markov"}
    assert rows.filter(pl.col("method") == "sasrec")["users_low"][0] is not None
    again = cli(*words)
    assert again.err.count("finished already") == 3
    assert again.out == answer.out
    assert "unknown sequential system 'lightgcn'" in cli("bench", "sequential", "--systems", "lightgcn").complaint
