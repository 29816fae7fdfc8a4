"""A run that was over too early goes on with more epochs, as if it had had them from the start."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

GRAPH = ("sgl", "davis", "--set", "dim=8", "--set", "lr=0.01", "--device", "cpu")  # best at the fourth epoch, and later still
SEQUENCES = (
    "icsrec", "walks", "--set", "dim=16", "--set", "layers=1", "--set", "dropout=0.1", "--set", "max_length=8",
    "--set", "intents=5", "--set", "batch_size=32", "--set", "lr=0.01", "--device", "cpu",
)  # fmt: skip
LOOKS = ("--every", 1, "--seeds", 2, "--refit", "--no-baselines")


def told(folder: Path):
    metrics = json.loads((folder / "metrics.json").read_text())
    return {key: value for key, value in metrics.items() if key not in ("seconds", "peak_memory_mb")}


@pytest.mark.parametrize(("words", "few", "many"), [(GRAPH, 4, 8), (SEQUENCES, 2, 5)])
def test_a_run_that_goes_on_with_more_epochs_ends_with_the_bits_of_a_longer_one(cli, sequence_root, tmp_path, words, few, many):
    root = ("--data", sequence_root) if "walks" in words else ()
    assert cli("run", *words, *root, *LOOKS, "--epochs", many, "--out", "whole").code == 0
    short = cli("run", *words, *root, *LOOKS, "--epochs", few, "--out", "r")
    told_of = f"validation chose the last of {few} epochs with seed 0, 1: more --epochs may give more"
    assert f"{told_of}, by graphcl run --resume r --epochs N" in short.err
    assert cli("run", "--resume", "r", *root).out == "the run in r is finished: nothing is left to do\n"
    longer = cli("run", "--resume", "r", "--epochs", many, *root)
    assert longer.code == 0, longer.err
    assert f"seed-0: continued after {few} epochs" in longer.err
    assert told(tmp_path / "r") == told(tmp_path / "whole")
    for name in ("users.npy", "items.npy", "model.safetensors", "metrics.jsonl", "config.yaml", "per_user.parquet"):
        assert (tmp_path / "r" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes(), name


def test_a_longer_run_that_was_killed_goes_on_with_the_epochs_it_was_given_last(cli, tmp_path, stopped_at):
    words = ("run", *GRAPH, *LOOKS, "--set", "checkpoint_seconds=0")
    assert cli(*words, "--epochs", 7, "--out", "whole").code == 0
    assert cli(*words, "--epochs", 4, "--out", "r").code == 0
    stopped_at(("seed-0", 6))
    assert cli("run", "--resume", "r", "--epochs", 7).code == 130
    assert not (tmp_path / "r" / "metrics.json").exists(), "nobody takes the former result for that of the longer run"
    assert cli("run", "--resume", "r").code == 0
    assert told(tmp_path / "r") == told(tmp_path / "whole")


def test_what_is_wrong_with_more_epochs_leaves_the_finished_run_as_it_is(cli, sequence_root, tmp_path):
    root = ("--data", sequence_root)
    assert cli("run", *SEQUENCES, *root, *LOOKS, "--epochs", 2, "--out", "r").code == 0
    before = {path.name: path.read_bytes() for path in (tmp_path / "r").iterdir() if path.is_file()}
    assert "--epochs 2: this run has 2 already" in cli("run", "--resume", "r", "--epochs", 2, *root).complaint
    assert "unknown data set 'recsys/walks'" in cli("run", "--resume", "r", "--epochs", 4).complaint
    table = sequence_root / "recsys" / "walks" / "raw" / "walks.txt"
    lines = table.read_text().splitlines()
    table.write_text("\n".join(lines[:-1]) + "\n")
    assert "was started on data with checksum" in cli("run", "--resume", "r", "--epochs", 4, *root).complaint
    assert {path.name: path.read_bytes() for path in (tmp_path / "r").iterdir() if path.is_file()} == before


def test_a_run_whose_best_epoch_was_not_its_last_keeps_nothing_to_go_on_from(cli, tmp_path):
    answer = cli("run", *GRAPH, "--set", "lr=5", *LOOKS, "--patience", 2, "--epochs", 9, "--out", "r")
    assert answer.code == 0, answer.err
    assert "may give more" not in answer.err
    assert not (tmp_path / "r" / "checkpoints").exists()
    assert "is over and kept nothing to go on from" in cli("run", "--resume", "r", "--epochs", 20).complaint


def test_more_epochs_are_for_recommenders(cli):
    small = ("--set", "hidden=8", "--set", "width=4", "--set", "warmup=2", "--set", "n_init=2", "--device", "cpu")
    assert cli("run", "pamc", "karate", *small, "--epochs", 4, "--seeds", 1, "--out", "r").code == 0
    assert "kept nothing to go on from" in cli("run", "--resume", "r", "--epochs", 8).complaint
