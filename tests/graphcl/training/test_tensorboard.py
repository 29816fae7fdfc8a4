from __future__ import annotations

import sys

import pytest

from graphcl.errors import InputError
from graphcl.training import TensorBoardLog


def scalars(path):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator").EventAccumulator(str(path))
    accumulator.Reload()
    return {name: [(event.step, event.value) for event in accumulator.Scalars(name)] for name in accumulator.Tags()["scalars"]}


def test_every_term_of_every_epoch_is_a_scalar(tmp_path):
    pytest.importorskip("tensorboard")
    with TensorBoardLog(tmp_path / "t" / "seed-0") as log:
        log.on_fit_start([])
        assert list(tmp_path.iterdir()) == [], "nothing is made before the first epoch"
        for epoch in range(3):
            log.on_epoch_end(epoch, {"loss": 1.0 - epoch, "fit": 0.5})
    assert scalars(tmp_path / "t" / "seed-0") == {
        "loss": [(0, 1.0), (1, 0.0), (2, -1.0)],
        "fit": [(0, 0.5), (1, 0.5), (2, 0.5)],
    }


def test_epochs_that_a_killed_run_lost_are_forgotten(tmp_path):
    pytest.importorskip("tensorboard")
    with TensorBoardLog(tmp_path) as log:
        for epoch in range(4):
            log.on_epoch_end(epoch, {"loss": 1.0})
    with TensorBoardLog(tmp_path) as log:
        log.on_fit_start([{}, {}])
        for epoch in range(2, 4):
            log.on_epoch_end(epoch, {"loss": 2.0})
    assert scalars(tmp_path)["loss"] == [(0, 1.0), (1, 1.0), (2, 2.0), (3, 2.0)]


def test_without_the_extra_the_remedy_is_named_at_once(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(InputError, match=r"training.tensorboard needs an extra: pip install 'graphcl\[tensorboard\]'"):
        TensorBoardLog(tmp_path)
