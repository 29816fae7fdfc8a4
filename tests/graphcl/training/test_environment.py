from __future__ import annotations

import json
import platform
from importlib import import_module

import numpy as np
import torch

import graphcl
from graphcl.training import device_name, environment, peak_memory_mb
from graphcl.training.environment import PACKAGES


def test_it_says_what_a_result_was_computed_with():
    content = environment()
    assert content["graphcl"] == graphcl.__version__
    assert content["python"] == platform.python_version()
    assert content["device"] == "cpu"
    assert content["threads"] == torch.get_num_threads()
    assert set(content["packages"]) == set(PACKAGES)
    assert content["packages"]["torch"] == torch.__version__
    assert content["packages"]["numpy"] == np.__version__
    json.dumps(content, allow_nan=False)


def test_a_package_that_is_not_installed_is_none(monkeypatch):
    monkeypatch.setattr(import_module("graphcl.training.environment"), "PACKAGES", ("no-such-package-anywhere",))
    assert environment()["packages"] == {"no-such-package-anywhere": None}


def test_outside_a_checkout_there_is_no_commit(monkeypatch, tmp_path):
    monkeypatch.setattr(graphcl, "__file__", str(tmp_path / "graphcl" / "__init__.py"))
    assert environment()["commit"] is None


def test_a_checkout_without_git_at_hand_has_no_commit_and_does_not_fail(monkeypatch, tmp_path):
    (tmp_path / ".git").mkdir()
    monkeypatch.setattr(graphcl, "__file__", str(tmp_path / "graphcl" / "__init__.py"))
    monkeypatch.setenv("PATH", "")
    assert environment()["commit"] is None


def test_the_cpu_is_called_cpu():
    assert device_name(torch.device("cpu")) == "cpu"


def test_peak_memory_is_in_megabytes_and_grows_with_what_was_held():
    before = peak_memory_mb(torch.device("cpu"))
    assert 50 < before < 1_000_000
    held = np.ones(int(before + 40) * 2**17)  # more than everything so far, in MB of float64
    assert peak_memory_mb(torch.device("cpu")) > held.nbytes / 2**20
