from __future__ import annotations

import pytest
import yaml

from graphcl import datasets
from graphcl.cli.show import show_run
from graphcl.errors import InputError
from graphcl.tasks import resolve
from graphcl.training import RunFolder


@pytest.fixture
def karate():
    return datasets.load("karate")


@pytest.fixture
def config():
    settings = ["hidden=8", "width=4", "warmup=2", "n_init=2"]
    return resolve("pamc", "citation/karate", seeds=1, settings=settings, training={"epochs": 3, "device": "cpu"})


def test_the_configuration_alone_is_printed_and_nothing_is_made(config, karate, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert show_run(config, karate, out=None, only_config=True) is None
    assert yaml.safe_load(capsys.readouterr().out) == config.as_dict()
    assert list(tmp_path.iterdir()) == []


def test_results_go_to_standard_output_and_what_is_happening_to_standard_error(config, karate, tmp_path, capsys):
    run, folder = show_run(config, karate, out=tmp_path / "run")
    captured = capsys.readouterr()
    assert "pamc on citation/karate" in captured.out
    assert f"{run.metrics['metrics']['acc']['mean']:.4f}" in captured.out
    assert captured.out.splitlines()[-1] == f"run folder: {folder.path}"
    assert captured.err.splitlines()[0] == karate.provenance.summary()
    assert "epoch 3/3" in captured.err


def test_without_a_folder_a_fresh_one_is_made_under_runs(config, karate, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        show_run(config, karate, out=None)
    show_run(config, karate, out=None, stem="mine")
    names = sorted(path.name for path in (tmp_path / "runs").iterdir())
    assert len(names) == 3
    assert names[0].startswith("mine-20")
    assert all(name.startswith("pamc-citation-karate-20") for name in names[1:])


def test_a_folder_that_holds_a_run_is_refused_before_anything_else(config, karate, tmp_path, capsys):
    RunFolder(tmp_path).write_json("metrics.json", {})
    with pytest.raises(InputError, match="holds a run already"):
        show_run(config, karate, out=tmp_path)
    assert capsys.readouterr() == ("", "")


def test_clusters_without_scores_print_no_table(config, karate, tmp_path, capsys):
    karate.y = None
    config = resolve("pamc", "mine", n_clusters=3, seeds=1, settings=["hidden=8"], training={"epochs": 3, "device": "cpu"})
    show_run(config, karate, out=tmp_path / "run")
    assert capsys.readouterr().out == f"run folder: {tmp_path / 'run'}\n"
