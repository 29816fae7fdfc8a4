from __future__ import annotations

import platform

import numpy as np
import torch

import graphcl


def test_it_shows_versions_devices_and_where_data_is_looked_for(cli, tmp_path):
    answer = cli("info")
    assert answer.code == 0
    assert answer.err == ""
    shown = dict(line.split(maxsplit=1) for line in answer.out.splitlines() if not line.startswith("data root"))
    assert shown["graphcl"] == graphcl.__version__
    assert shown["python"] == platform.python_version()
    assert shown["torch"] == torch.__version__
    assert shown["numpy"] == np.__version__
    assert shown["devices"].split(",")[0].startswith("cuda" if torch.cuda.is_available() else "cpu")
    assert f"data root        {tmp_path / 'nowhere' / 'graphcl'}" in answer.out


def test_a_package_that_is_missing_is_said_to_be(cli, monkeypatch):
    monkeypatch.setattr("graphcl.training.environment", lambda: {"graphcl": "1", "packages": {"triton": None}})
    assert "triton     not installed" in cli("info").out


def test_a_data_root_that_does_not_exist_is_one_line(cli, monkeypatch):
    monkeypatch.setenv("GRAPHCL_DATA", "nothing")
    assert "named by GRAPHCL_DATA" in cli("info").complaint
