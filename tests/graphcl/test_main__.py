from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest


def start(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "COLUMNS": "100"}
    return subprocess.run(
        [sys.executable, "-m", "graphcl", *arguments], capture_output=True, text=True, check=False, cwd=folder, env=environment
    )


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    quick = ["--epochs", "2", "--seeds", "1", "--device", "cpu", "--set", "n_init=2"]
    return folder, start(folder, "run", "pamc", "karate", *quick, "--out", "r")


def test_a_run_works_from_start_to_end_in_a_process_of_its_own(finished):
    folder, done = finished
    assert done.returncode == 0, done.stderr
    assert "kmeans-raw" in done.stdout
    assert done.stdout.splitlines()[-1] == "run folder: r"
    assert (folder / "r" / "metrics.json").is_file()
    assert "Warning" not in done.stderr


def test_a_mistake_is_exit_code_2_and_one_line(tmp_path):
    done = start(tmp_path, "run", "pammc")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: unknown system 'pammc'; did you mean pamc?\n"


def test_a_bug_shows_its_traceback_and_exit_code_1(tmp_path):
    script = "import graphcl.models as m; m.find_system = None; import graphcl.cli as c; c.main(['run'])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 1
    assert "Traceback (most recent call last)" in done.stderr
    assert "TypeError" in done.stderr.splitlines()[-1]
