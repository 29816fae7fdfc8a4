from __future__ import annotations

import json
import math
import os

import numpy as np
import pytest
import yaml

from graphcl.errors import InputError
from graphcl.training import RunFolder
from graphcl.training.run_folder import MARKERS


def test_nothing_is_made_before_the_first_write(tmp_path):
    folder = RunFolder(tmp_path / "a" / "b")
    assert not (tmp_path / "a").exists()
    folder.write_json("metrics.json", {"x": 1})
    assert [path.name for path in folder.path.iterdir()] == ["metrics.json"]


def test_yaml_json_and_arrays_come_back_as_they_were(tmp_path):
    folder = RunFolder(tmp_path)
    content = {"b": 1, "a": [1.5, None, "straße"]}
    assert yaml.safe_load(folder.write_yaml("c.yaml", content).read_text(encoding="utf-8")) == content
    assert json.loads(folder.write_json("c.json", content).read_text()) == content
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    back = np.load(folder.write_array("c.npy", array), allow_pickle=False)
    assert back.dtype == np.float32
    np.testing.assert_array_equal(back, array)


def test_yaml_keeps_the_order_and_the_letters(tmp_path):
    text = RunFolder(tmp_path).write_yaml("c.yaml", {"b": "é", "a": 2}).read_text(encoding="utf-8")
    assert text == "b: é\na: 2\n"


def test_a_writer_that_raises_leaves_nothing_behind(tmp_path):
    folder = RunFolder(tmp_path / "run")

    def half(file):
        file.write(b"half")
        raise KeyError

    with pytest.raises(KeyError):
        folder.write("x.bin", half)
    assert list(folder.path.iterdir()) == []


def test_a_writer_that_raises_leaves_the_old_file_as_it_was(tmp_path):
    folder = RunFolder(tmp_path)
    folder.write_json("x.json", {"old": 1})
    with pytest.raises(ValueError, match="Out of range"):
        folder.write_json("x.json", {"new": math.nan})
    assert json.loads((tmp_path / "x.json").read_text()) == {"old": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["x.json"]


def test_objects_are_never_pickled(tmp_path):
    with pytest.raises(ValueError, match="Object arrays cannot be saved"):
        RunFolder(tmp_path / "run").write_array("x.npy", np.array([{}], dtype=object))
    assert list((tmp_path / "run").iterdir()) == []


def test_others_may_read_what_was_written(tmp_path):
    assert RunFolder(tmp_path).write_json("x.json", {}).stat().st_mode & 0o777 == 0o644


def test_appending_writes_one_json_line_with_null_for_what_is_not_finite(tmp_path):
    folder = RunFolder(tmp_path / "run")
    folder.append("m.jsonl", {"epoch": 0, "loss": math.nan})
    folder.append("m.jsonl", {"epoch": 1, "loss": math.inf, "name": "a\nb"})
    lines = (folder.path / "m.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [{"epoch": 0, "loss": None}, {"epoch": 1, "loss": None, "name": "a\nb"}]


@pytest.mark.parametrize("marker", MARKERS)
def test_a_folder_that_holds_a_run_is_refused_and_left_alone(tmp_path, marker):
    (tmp_path / marker).write_text("mine")
    with pytest.raises(InputError, match="holds a run already; name another folder with --out, or remove it"):
        RunFolder(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [marker]


def test_a_folder_with_other_files_is_welcome(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    RunFolder(tmp_path).write_json("metrics.json", {})
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_a_path_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "f").write_text("x")
    with pytest.raises(InputError, match="f is a file; name a folder"):
        RunFolder(tmp_path / "f")


def test_a_path_below_a_file_is_refused_before_anything_is_written(tmp_path):
    (tmp_path / "f").write_text("x")
    with pytest.raises(InputError, match=r"cannot write to .*; name another folder with --out"):
        RunFolder(tmp_path / "f" / "deeper" / "run")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission_is_refused(tmp_path):
    (tmp_path / "locked").mkdir(mode=0o555)
    with pytest.raises(InputError, match="cannot write"):
        RunFolder(tmp_path / "locked" / "run")


def test_a_folder_that_cannot_be_made_after_all_says_why(tmp_path):
    folder = RunFolder(tmp_path / "gone" / "run")
    (tmp_path / "gone").write_text("x")  # somebody was quicker
    with pytest.raises(InputError, match=r"cannot write to .*\(Not a directory\)"):
        folder.append("metrics.jsonl", {"epoch": 0})


def test_a_fresh_folder_is_never_one_that_exists(tmp_path, monkeypatch):
    monkeypatch.setattr("graphcl.training.run_folder.time.strftime", lambda form: "20260101-000000")
    names = []
    for _ in range(3):
        folder = RunFolder.fresh(tmp_path, "pamc-digits")
        folder.write_json("metrics.json", {})
        names.append(folder.path.name)
    assert names == [f"pamc-digits-20260101-000000{end}" for end in ("", "-2", "-3")]


def test_runs_started_in_the_same_second_never_share_a_folder(tmp_path, monkeypatch):
    monkeypatch.setattr("graphcl.training.run_folder.time.strftime", lambda form: "20260101-000000")
    folders = [RunFolder.fresh(tmp_path, "run") for _ in range(3)]
    for number, folder in enumerate(folders):
        folder.append("metrics.jsonl", {"run": number})
    assert len({folder.path for folder in folders}) == 3
    for number, folder in enumerate(folders):
        assert (folder.path / "metrics.jsonl").read_text() == f'{{"run": {number}}}\n'


def test_a_fresh_folder_in_a_place_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "runs").write_text("x")
    with pytest.raises(InputError, match="cannot write"):
        RunFolder.fresh(tmp_path / "runs", "a")


def test_making_says_once_that_it_made(tmp_path):
    folder = RunFolder(tmp_path / "run")
    assert [folder.make(), folder.make()] == [True, False]


def begun(path, *names):
    for name in ("config.yaml", "checkpoints/x", *names):
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text("x")
    return path


def test_a_folder_whose_run_can_go_on_says_how(tmp_path):
    begun(tmp_path)
    with pytest.raises(InputError, match=r"holds an unfinished run: continue it with graphcl run --resume .*, or name another"):
        RunFolder(tmp_path)
    folder = RunFolder.reopen(tmp_path)
    assert folder.reopened
    assert not folder.make()
    folder.discard_checkpoints()
    assert [path.name for path in tmp_path.iterdir()] == ["config.yaml"]
    with pytest.raises(InputError, match="holds a run already"):
        RunFolder(tmp_path)


def test_a_finished_run_neither_goes_on_nor_is_written_over(tmp_path):
    begun(tmp_path, "metrics.json")
    assert RunFolder.finished(tmp_path)
    assert not RunFolder.finished(tmp_path / "nowhere")
    with pytest.raises(InputError, match="holds a run already"):
        RunFolder(tmp_path)
    with pytest.raises(InputError, match="there is no run that could go on"):
        RunFolder.reopen(tmp_path)


def test_a_finished_run_that_kept_its_checkpoints_goes_on_where_that_is_wanted(tmp_path):
    begun(tmp_path, "metrics.json")
    folder = RunFolder.reopen(tmp_path, finished=True)
    assert RunFolder.finished(tmp_path), "nothing has been trained yet"
    folder.take_up({"epochs": 9})
    assert not RunFolder.finished(tmp_path)
    assert (tmp_path / "config.yaml").read_text() == "epochs: 9\n"
    RunFolder.reopen(tmp_path).take_up({"epochs": 10})
    folder.discard_checkpoints()
    (tmp_path / "metrics.json").touch()
    with pytest.raises(InputError, match=r"is over and kept nothing to go on from, as only a recommender does whose best"):
        RunFolder.reopen(tmp_path, finished=True)


def test_files_that_were_not_whole_are_removed_when_a_folder_is_reopened(tmp_path):
    begun(tmp_path, ".writing-1.json", "checkpoints/.writing-2.safetensors", ".mine", "notes.txt")
    RunFolder.reopen(tmp_path)
    left = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file())
    assert left == [".mine", "checkpoints/x", "config.yaml", "notes.txt"]


def test_lines_written_at_once_are_those_that_appending_gives(tmp_path):
    rows, folder = [{"epoch": 0, "loss": 0.1}, {"epoch": 1, "loss": math.nan}], RunFolder(tmp_path)
    for row in rows:
        folder.append("a", row)
    folder.append("b", {"epoch": 99})
    folder.write_lines("b", rows)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_file_in_a_folder_of_its_own_is_whole_or_not_there(tmp_path):
    folder = RunFolder(tmp_path / "run")

    def half():
        with folder.replacing("deep/x") as path:
            path.write_text("half")
            raise KeyError

    with pytest.raises(KeyError):
        half()
    assert list((tmp_path / "run" / "deep").iterdir()) == []
    with folder.replacing("deep/x") as path:
        path.write_text("whole")
    assert (tmp_path / "run" / "deep" / "x").read_text() == "whole"
