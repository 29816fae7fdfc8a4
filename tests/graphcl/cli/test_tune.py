from __future__ import annotations

import csv
import multiprocessing
import shlex
import time

import pytest
import yaml

from graphcl.cli import main
from graphcl.models.recipes import Recipe

LIGHT = ["tune", "lightgcn", "davis", "--set", "dim=4", "--epochs", 3, "--device", "cpu"]
FILES = {"best.yaml", "study.db", "trials.csv", "tuning.png"}


def trials(folder):
    """The table of trials without the time that they took."""
    with (folder / "trials.csv").open(encoding="utf-8") as file:
        return [{name: text for name, text in row.items() if name != "seconds"} for row in csv.DictReader(file)]


def test_a_tuning_leaves_trials_a_picture_and_a_recipe_that_a_run_takes(cli, tmp_path):
    answer = cli(*LIGHT, "--trials", 3, "--out", "t")
    assert answer.code == 0, answer.err
    assert {path.removeprefix("t/") for path in answer.paths} == {"t", *FILES}
    lines = answer.err.splitlines()
    assert lines[0].startswith("by all items ranked for the users of the validation part")
    assert [line.split(":")[0] for line in lines[1:]] == [f"trial {at} ({at + 1}/3)" for at in range(3)]
    rows = trials(tmp_path / "t")
    best = max(rows, key=lambda row: float(row["valid ndcg@20"]))
    assert rows[0]["training.lr"] == "0.001"
    assert "lightgcn on davis" in answer.out
    assert "3 trials, 0 failed; validation, no result" in answer.out
    recipe = Recipe(**yaml.safe_load((tmp_path / "t" / "best.yaml").read_text(encoding="utf-8")))
    assert recipe.training["lr"] == float(best["training.lr"])
    assert recipe.model["edge_dropout"] == float(best["model.edge_dropout"])
    command = shlex.split(answer.out.splitlines()[-1])
    assert command[:4] == ["graphcl", "run", "lightgcn", "davis"]
    shown = cli(*command[1:], "--print-config")
    config = yaml.safe_load(shown.out)
    assert config["model"] == dict(recipe.model)
    assert {name: config["training"][name] for name in recipe.training} == dict(recipe.training)


def test_the_same_command_goes_on_and_so_does_resume_with_more_trials(cli, tmp_path):
    ease = ["tune", "ease", "davis"]
    assert cli(*ease, "--trials", 5, "--out", "whole").code == 0
    assert cli(*ease, "--trials", 2, "--out", "t").code == 0
    again = cli(*ease, "--out", "t")
    assert again.code == 0
    assert again.err.splitlines()[1:] == [again.err.splitlines()[1]], "the budget is the stored one"
    assert "going on after 2 trials" in again.err
    more = cli("tune", "--resume", "t", "--trials", 5)
    assert more.code == 0, more.err
    assert trials(tmp_path / "t") == trials(tmp_path / "whole")
    best, want = ((tmp_path / name / "best.yaml").read_text(encoding="utf-8") for name in ("t", "whole"))
    assert best == want
    other = cli(*ease, "--space", "l2=0.1:1", "--out", "t")
    assert "t holds a tuning with another space, model.l2=2.5:25000.0:log instead of model.l2=0.1:1.0" in other.err
    assert other.code == 2


def test_a_tuning_that_is_killed_ends_as_if_nothing_had_happened(tmp_path, monkeypatch):
    """The process is killed when it has written a trial or two, whatever it does at that moment."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    context = multiprocessing.get_context("forkserver")
    ours = ["graphcl.cli", "graphcl.tasks.tune", "graphcl.report.tuning_picture", "graphcl.recsys.systems.lightgcn"]
    lazy = ["torch._dynamo", "optuna.storages._rdb.storage", "matplotlib.backends.backend_agg", "matplotlib.figure"]
    context.set_forkserver_preload([*ours, *lazy])
    words = [*map(str, LIGHT), "--trials", "4"]

    def start(folder):
        process = context.Process(target=main, args=([*words, "--out", str(folder)],))
        process.start()
        return process

    def finish(folder):
        process = start(folder)
        process.join(120)
        assert process.exitcode == 0

    finish(tmp_path / "whole")
    folder = tmp_path / "killed"
    process, until = start(folder), time.monotonic() + 60
    while not (folder / "study.db").exists() and time.monotonic() < until:
        time.sleep(0.01)
    time.sleep(0.1)
    process.kill()
    process.join()
    assert not (folder / "trials.csv").exists(), "it was over before it was killed"
    finish(folder)
    assert trials(folder) == trials(tmp_path / "whole")
    assert {path.name for path in folder.iterdir()} == FILES


def test_clusters_are_tuned_without_labels_and_nodes_on_validation(cli, tmp_path):
    small = ["--set", "hidden=8", "--epochs", 2, "--device", "cpu", "--trials", 2]
    clusters = cli("tune", "pamc", "karate", *small, "--set", "model.warmup=1", "--set", "n_init=2", "--out", "c")
    assert clusters.code == 0, clusters.err
    assert clusters.err.startswith("by modularity of the clusters on the graph, no label; over ")
    assert "modularity" in trials(tmp_path / "c")[0]
    nodes = cli("tune", "grace", "karate", *small, "--set", "projection=8", "--protocol", "random", "--space", "lr=1e30,0.01")
    assert nodes.code == 0, nodes.err
    assert nodes.err.startswith("by a linear probe on the validation nodes of split 'seed 0', random 10/10/80; over ")
    assert "runs/tune-grace-karate/best.yaml" in nodes.paths
    assert "--protocol random" in nodes.out.splitlines()[-1]


def test_trials_that_all_fail_are_told_with_the_reason_and_code_1(cli, tmp_path):
    words = ["--set", "lr=1e30", "--set", "hidden=8", "--epochs", 3, "--device", "cpu", "--trials", 2, "--out", "t"]
    answer = cli("tune", "grace", "karate", *words)
    assert answer.code == 1
    assert answer.err.splitlines()[-1].startswith("error: all 2 trials failed, the last because of: epoch 1: ")
    assert all(row["val_acc"] == "" and row["failure"] for row in trials(tmp_path / "t"))
    assert "t/best.yaml" not in answer.paths


def test_without_the_extra_it_says_what_to_install(cli, monkeypatch):
    monkeypatch.setattr("graphcl.cli.tune.find_spec", lambda name: None)
    answer = cli("tune", "grace", "karate")
    assert answer.complaint == "graphcl tune needs an extra: pip install 'graphcl[tune]'"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "name a system and a data set, for example: graphcl tune grace cora"),
        (["grace"], "name a system and a data set"),
        (["grcae", "karate"], "unknown system 'grcae'; did you mean grace"),
        (["grace", "karatte"], "unknown data set 'karatte'; did you mean karate"),
        (["ease", "digits"], "data set 'digits' is a graph, and a recommendation system takes interactions"),
        (["grace", "karate", "--trials", "0"], "--trials must be >= 1; got 0"),
        (["grace", "karate", "--k", "3"], "--k is for clustering systems, and grace is a node system"),
        (["grace", "karate", "--space", "lr"], "--space expects key=low:high"),
        (["grace", "karate", "--space", "lair=1:2"], "unknown key 'lair'"),
        (["grace", "karate", "--space", "lr=-1:2"], "lr must be > 0; got -1"),
        (["grace", "karate", "--set", "hidden=0", "--device", "cpu"], "hidden must be >= 1; got 0"),
        (["grace", "karate", "--protocol", "public"], "no public split"),
        (["popularity", "davis"], "there is nothing to vary in popularity"),
        (["--resume", "nowhere-at-all"], "--resume nowhere-at-all: there is no such folder"),
        (["--resume", "."], "--resume .: there is no tuning, for want of study.db"),
        (["grace", "karate", "--resume", "."], "only --data and --trials may stand beside it"),
    ],
)
def test_what_cannot_be_tuned_is_one_line_and_leaves_nothing(cli, arguments, words):
    answer = cli("tune", *arguments)
    if answer.err.startswith("by "):  # said before the first trial found the fault
        assert words in answer.err
        assert answer.code == 2
    else:
        assert words in answer.complaint
    assert answer.paths == []


def test_a_folder_of_something_else_is_refused(cli, tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.yaml").write_text("")
    assert "--out file is a file; name a folder" in cli("tune", "ease", "davis", "--out", "file").err
    assert "run holds a run; name another folder with --out" in cli("tune", "ease", "davis", "--out", "run").err
