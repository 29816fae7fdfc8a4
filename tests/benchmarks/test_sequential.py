"""The programs that ours is timed against are the same models, and the benchmark notices when they are not."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "sequential.py"
SIZES = (60, 40, 6)


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("sequential_benchmark", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["sasrec", "sasrec-prefix", "mclrec", "icsrec"])
def test_the_plain_program_has_our_loss_and_gradients(script, name):
    case = script.Case(name, None, SIZES, 32)
    script.check_equal(case, case.sequences())


@pytest.mark.parametrize("name", ["sasrec", "sasrec-prefix", "mclrec", "icsrec"])
def test_a_program_with_another_loss_gets_no_times(script, name, monkeypatch):
    case = script.Case(name, None, SIZES, 32)
    honest = script.PLAIN[name].training_step
    monkeypatch.setattr(script.PLAIN[name], "training_step", lambda self, batch: {"loss": 1.01 * honest(self, batch)["loss"]})
    with pytest.raises(SystemExit, match="no times are given for unequal models"):
        script.check_equal(case, case.sequences())


def test_a_program_that_looks_at_padding_gets_no_times(script, monkeypatch):
    case = script.Case("sasrec-prefix", None, SIZES, 32)
    monkeypatch.setattr(script, "NEVER", 0.0)
    with pytest.raises(SystemExit, match="no times are given"):
        script.check_equal(case, case.sequences())


def test_a_side_without_a_gradient_is_named(script):
    case = script.Case("sasrec", None, SIZES, 32)
    system = case.system(case.sequences(), dropout=0.0)
    batch = next(system.source().batches(0))
    plain = script.PlainShifted(system)
    plain.encoder.position_table.requires_grad_(False)
    with pytest.raises(SystemExit, match=r"only one side has a gradient of encoder\.position_table"):
        script.compare("sasrec", [(system, batch), (plain, batch)], "both")


def test_the_similarities_of_two_views_by_hand(script):
    first, second = torch.tensor([[1.0, 0.0], [0.0, 2.0]]), torch.tensor([[3.0, 1.0], [0.0, 1.0]])
    positive, negatives = script.logits_of(first, second)
    assert positive.flatten().tolist() == [3.0, 2.0, 3.0, 2.0]
    assert negatives.tolist() == [[0.0, 0.0], [0.0, 2.0], [2.0, 1.0], [0.0, 1.0]]
    # The positive lies 1 above the hardest negative; the negatives lie 2 and 1 below the positive.
    assert float(script.too_easy(torch.tensor([[3.0]]), torch.tensor([[1.0, 2.0]]))) == pytest.approx(2.5)
