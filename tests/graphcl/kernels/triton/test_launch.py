"""On a GPU, or in Triton's interpreter: `TRITON_INTERPRET=1 pytest tests/graphcl/kernels`."""

import os

import pytest
import torch

from graphcl.kernels import Rule

pytest.importorskip("triton", reason="triton is not installed")
INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
if not INTERPRETED and not torch.cuda.is_available():
    pytest.skip("kernels run on a GPU, or with TRITON_INTERPRET=1 pytest tests/graphcl/kernels", allow_module_level=True)

from graphcl.kernels.pair_logits import LOG2E  # noqa: E402
from graphcl.kernels.triton import launch, sizes  # noqa: E402
from graphcl.kernels.triton.launch import Pairs, precision  # noqa: E402
from graphcl.kernels.triton.selection import Selection  # noqa: E402

DEVICE = "cpu" if INTERPRETED else "cuda"


@pytest.fixture(autouse=True)
def _on_device():
    with torch.device(DEVICE):
        yield


def pairs_of(n, m, d):
    torch.manual_seed(0)
    a, z = torch.randn(n, d), torch.randn(m, d)
    return Pairs(a, z, torch.full((1,), LOG2E), Selection(n, m, None, Rule(), None, a.device)), a @ z.T


@pytest.mark.parametrize("columns", [False, True])
def test_parts_of_the_streamed_side_are_merged(columns, monkeypatch):
    pairs, logits = pairs_of(7, 600, 3)
    grids, plain = [], launch.sum_pairs

    class Spy:
        def __getitem__(self, grid):
            grids.append(grid)
            return plain[grid]

    monkeypatch.setattr(launch, "sum_pairs", Spy())
    monkeypatch.setattr(sizes, "LEAST_TILES", 1)
    torch.testing.assert_close(pairs.sums(columns=columns), logits.logsumexp(0 if columns else 1), rtol=1e-5, atol=1e-5)
    assert grids == [(5, 1) if columns else (1, 10)]


def test_gradients_of_parts_are_added_in_single_precision_and_rounded_once(monkeypatch):
    pairs, logits = pairs_of(7, 600, 3)
    monkeypatch.setattr(sizes, "LEAST_TILES", 1)
    weights = (torch.ones(7), logits.logsumexp(1) * LOG2E)
    gradient, sums, dots = pairs.gradients(row_weights=weights, sums=True, dots=True, dtype=torch.bfloat16)
    want = logits.softmax(1)
    assert gradient.dtype == torch.bfloat16
    torch.testing.assert_close(gradient.float(), want @ pairs.z, rtol=4e-3, atol=1e-4)
    torch.testing.assert_close(sums, torch.ones(7), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(dots, (want * logits).sum(1), rtol=1e-4, atol=1e-4)


def test_products_are_as_exact_as_torch_is_told_to_make_them():
    before = torch.get_float32_matmul_precision()
    try:
        torch.set_float32_matmul_precision("highest")
        assert precision() == "tf32x3"
        torch.set_float32_matmul_precision("high")
        assert precision() == "tf32"
    finally:
        torch.set_float32_matmul_precision(before)
