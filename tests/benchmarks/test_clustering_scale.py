"""The dense way that PamC is timed against is SCGC-K's loss, and the benchmark notices when it is not."""

from __future__ import annotations

import importlib.util
import math
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch
import torch.nn.functional as F

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "clustering_scale.py"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("clustering_scale_benchmark", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("width", [3, 10, 64])
def test_the_dense_way_has_our_loss_and_gradient(script, width):
    script.check_equal(script.Case(300, width, encoder=False))


def test_another_loss_gets_no_times(script, monkeypatch):
    case, honest = script.Case(300, 10, encoder=False), script.plain
    monkeypatch.setattr(script, "plain", lambda z, weights, t: 1.01 * honest(z, weights, t))
    with pytest.raises(SystemExit, match="no times are given for unequal losses"):
        script.check_equal(case)


def test_the_dense_loss_by_hand(script):
    z = torch.tensor([[2.0, 0.0], [0.0, 3.0], [1.0, 0.0]], dtype=torch.float64)
    weights = torch.tensor([[0.5, 0.0, 0.5], [0.0, 1.0, 0.0], [0.5, 0.0, 0.5]], dtype=torch.float64)
    e = math.e**0.5  # nodes 0 and 2 agree, and a node with itself counts as 0
    want = -(2 * math.log((0.5 + 0.5 * e) / (2 + e)) + math.log(1 / 3)) / 3
    assert float(script.plain(z, weights, 2.0)) == pytest.approx(want, abs=1e-7)


def test_both_whole_steps_share_encoder_and_self_training(script):
    case = script.Case(300, 8, encoder=True)
    z = F.normalize(case.system.encoder(case.data.x, case.data.edge_index), dim=1)
    terms = case.system.training_step(case.data)
    sharpen = case.system.self_training * terms["self_training"]
    torch.testing.assert_close(case.loss("dense"), script.plain(z, case.positives(), script.TEMPERATURE) + sharpen)
    torch.testing.assert_close(case.loss("pamc"), terms["contrast"] + sharpen)
    assert all(gradient.abs().sum() > 0 for gradient in case.step("dense")[1:])


def test_the_exponent_is_the_slope_of_the_logarithms(script):
    sizes = [10, 30, 100, 1000]
    assert script.exponent(sizes, [3 * n**1.25 for n in sizes]) == pytest.approx(1.25)
    assert script.exponent([1, math.e, math.e**2], [1, 1, math.e**3]) == pytest.approx(1.5)
