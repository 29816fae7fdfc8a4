"""Single steps of the kernels, on a GPU, or in Triton's interpreter: `TRITON_INTERPRET=1 pytest tests/graphcl/kernels`."""

import os

import pytest
import torch

from graphcl.kernels import GaussianKernel, IMQKernel, LogKernel, RieszKernel, SoftplusKernel
from graphcl.kernels.triton.kernel_numbers import kernel_numbers

triton = pytest.importorskip("triton", reason="triton is not installed")
INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
if not INTERPRETED and not torch.cuda.is_available():
    pytest.skip("kernels run on a GPU, or with TRITON_INTERPRET=1 pytest tests/graphcl/kernels", allow_module_level=True)

tl = triton.language

from graphcl.kernels.triton.tile import add_weighted, keep_unseen, kernel_slope, kernel_value, load_rows  # noqa: E402

DEVICE = "cpu" if INTERPRETED else "cuda"


@pytest.fixture(autouse=True)
def _on_device():
    with torch.device(DEVICE):
        yield


@triton.jit
def evaluate(t, p, q, value, slope, KIND: tl.constexpr):
    at = tl.arange(0, 16)
    tl.store(value + at, kernel_value(tl.load(t + at), p, q, KIND))
    tl.store(slope + at, kernel_slope(tl.load(t + at), p, q, KIND))


@pytest.mark.parametrize(
    "kernel", [GaussianKernel(1.5), IMQKernel(0.7), RieszKernel(1.0), RieszKernel(-2.5), LogKernel(3.0), SoftplusKernel(4.0)],
    ids=repr,
)  # fmt: skip
def test_functions_and_slopes_are_those_of_torch(kernel):
    t = torch.linspace(0.1, 30, 16)
    if not kernel.of_distance:
        t = torch.linspace(-100, 100, 16)
    kind, p, q = kernel_numbers(kernel)
    value, slope = torch.empty(16), torch.empty(16)
    evaluate[(1,)](t, p, q, value, slope, kind)
    # Softplus gets its scale before, as part of the product, and its slope is that of the scaled product.
    argument, factor = (t, 1.0) if kernel.of_distance else (t / kernel.scale, kernel.scale)
    torch.testing.assert_close(value.double(), kernel.value(argument.double()), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(slope.double(), kernel.derivative(argument.double()) / factor, rtol=1e-5, atol=1e-6)


@triton.jit
def copy(z, index, out, D: tl.constexpr, WIDTH: tl.constexpr):
    at, column = tl.arange(0, 4), tl.arange(0, WIDTH)
    rows = load_rows(z, tl.load(index + at), at < 3, column, D, WIDTH)
    tl.store(out + at[:, None] * WIDTH + column[None, :], rows)


@pytest.mark.parametrize("d", [5, 8])
def test_rows_are_padded_with_zeros_on_both_sides(d):
    z, index, out = torch.randn(6, d), torch.tensor([5, 0, 3, 10**6]), torch.full((4, 8), 7.0)
    copy[(1,)](z, index, out, d, 8)
    want = torch.zeros(4, 8)
    want[:3, :d] = z[[5, 0, 3]]
    assert torch.equal(out, want)


@triton.jit
def strike(seen, pointers, out, last, COLUMNS: tl.constexpr):
    row, column = tl.arange(0, 4), tl.arange(0, COLUMNS)
    at, end = tl.load(pointers + row), tl.load(pointers + row + 1)
    for start in range(0, last, COLUMNS):
        other = start + column
        keep = (row >= 0)[:, None] & (other < last)[None, :]
        keep, at = keep_unseen(keep, other, other < last, seen, at, end)
        tl.store(out + row[:, None] * last + other[None, :], keep.to(tl.int32), mask=(other < last)[None, :])


@pytest.mark.parametrize("columns", [2, 4, 16])
def test_cursors_strike_what_is_listed_in_whichever_tile_it_lies(columns):
    lists = [[0, 1, 2, 3, 10], [], [4, 4, 9], [12]]  # a pair may be listed twice
    seen = torch.tensor([column for part in lists for column in part], dtype=torch.int32)
    pointers = torch.tensor([0, *(len(part) for part in lists)]).cumsum(0)
    out = torch.full((4, 13), 7, dtype=torch.int32)
    strike[(1,)](seen, pointers, out, 13, columns)
    assert [(out[k] == 0).nonzero().flatten().tolist() for k in range(4)] == [sorted(set(part)) for part in lists]


@triton.jit
def weigh(weights, rows, out):
    at = tl.arange(0, 16)
    place = at[:, None] * 16 + at[None, :]
    tl.store(out + place, add_weighted(tl.load(weights + place), tl.load(rows + place), tl.zeros((16, 16), tl.float32), "tf32"))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_weights_below_the_range_of_fp16_count_in_every_type(dtype):
    torch.manual_seed(0)
    weights, rows, out = torch.rand(16, 16) * 1e-12, torch.randn(16, 16).to(dtype), torch.empty(16, 16)
    weigh[(1,)](weights, rows, out)
    torch.testing.assert_close(out * 1e12, (weights * 1e12) @ rows.float(), rtol=2e-2, atol=2e-2)
