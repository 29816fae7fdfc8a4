"""On a GPU, or in Triton's interpreter: `TRITON_INTERPRET=1 pytest tests/graphcl/kernels`."""

import os

import pytest
import torch

from graphcl.errors import InputError
from graphcl.kernels import gather_sum, segment_logsumexp, segment_max, segment_mean, segment_softmax, segment_sum
from graphcl.kernels.csr import dots_at
from graphcl.kernels.pattern import Pattern

pytest.importorskip("triton", reason="triton is not installed")
INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
if not INTERPRETED and not torch.cuda.is_available():
    pytest.skip("kernels run on a GPU, or with TRITON_INTERPRET=1 pytest tests/graphcl/kernels", allow_module_level=True)

from graphcl.kernels.triton import row_sizes  # noqa: E402
from graphcl.kernels.triton.row_launch import dot_rows, reduce_rows  # noqa: E402

DEVICE = "cpu" if INTERPRETED else "cuda"
TYPES = {torch.float32: 1e-5, torch.float16: 2e-3, torch.bfloat16: 1e-2}
SEGMENT_FUNCTIONS = (segment_sum, segment_mean, segment_max, segment_softmax, segment_logsumexp)


@pytest.fixture(autouse=True)
def _on_device():
    with torch.device(DEVICE):
        yield


def drawn(n, m, entries):
    """Rows of very different lengths, the last one empty."""
    torch.manual_seed(0)
    row = (torch.rand(entries) ** 4 * (n - 1)).long().sort().values
    crow = torch.zeros(n + 1, dtype=torch.int64)
    crow[1:] = torch.bincount(row, minlength=n).cumsum(0)
    return row, Pattern(crow, torch.randint(m, (entries,)), m)


def dense(row, pattern, weight, x):
    matrix = torch.zeros(pattern.num_rows, pattern.num_columns, dtype=torch.float64)
    return matrix.index_put((row, pattern.col.long()), weight.double(), accumulate=True) @ x.double()


@pytest.mark.parametrize(
    ("d", "dtype"), [(1, torch.float32), (17, torch.float32), (130, torch.float32), (3, torch.float16), (17, torch.bfloat16)]
)
def test_products_and_both_gradients_match_the_dense_ones(d, dtype):
    row, pattern = drawn(7, 5, 60)
    x, weight = torch.randn(5, d).to(dtype).requires_grad_(), torch.randn(60, requires_grad=True)
    out = gather_sum(x, pattern, weight, backend="triton")
    want = dense(row, pattern, weight, x)
    grad = torch.randn(7, d).to(dtype)
    found = torch.autograd.grad(out, (x, weight), grad)
    expected = torch.autograd.grad(want, (x, weight), grad.double())
    for one, other in zip((out, *found), (want, *expected), strict=True):
        torch.testing.assert_close(one.double(), other.double(), rtol=TYPES[dtype], atol=10 * TYPES[dtype])
    assert (out.dtype, found[0].dtype, found[1].dtype) == (dtype, dtype, torch.float32)


def test_gradients_of_dot_products_at_the_entries():
    row, pattern = drawn(7, 5, 60)
    a, b, grad = torch.randn(7, 40, requires_grad=True), torch.randn(5, 40, requires_grad=True), torch.randn(60)
    found = dots_at(pattern, a, b, backend="triton")
    want = (a.double()[row] * b.double()[pattern.col.long()]).sum(1)
    torch.testing.assert_close(found.double(), want, rtol=1e-5, atol=1e-5)
    for one, other in zip(*(torch.autograd.grad(y, (a, b), grad.to(y)) for y in (found, want)), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [((23,), torch.float32), ((23, 2, 3), torch.float32), ((11, 5), torch.float16), ((11, 5), torch.bfloat16)],
)
@pytest.mark.parametrize("function", SEGMENT_FUNCTIONS)
def test_reductions_and_their_gradients_match_torch_in_double_precision(function, shape, dtype):
    torch.manual_seed(0)
    x = torch.randn(*shape).to(dtype).requires_grad_()
    ids = torch.randint(6, shape[:1])
    ids[ids == 4] = 3  # one is empty
    wide = x.detach().double().requires_grad_()
    out, want = function(x, ids, 6, backend="triton"), function(wide, ids, 6, backend="torch")
    tolerance = {"rtol": TYPES[dtype], "atol": TYPES[dtype]}
    torch.testing.assert_close(out.double(), want, **tolerance)
    grad = torch.randn_like(want)
    found, expected = torch.autograd.grad(out, x, grad.to(out.dtype))[0], torch.autograd.grad(want, wide, grad)[0]
    assert found.dtype == dtype
    torch.testing.assert_close(found.double(), expected, rtol=TYPES[dtype], atol=10 * TYPES[dtype])


@pytest.mark.parametrize("kind", ["sum", "max", "lse"])
@pytest.mark.parametrize("d", [1, 33])
def test_results_do_not_depend_on_where_rows_are_cut_or_on_the_tile(kind, d, monkeypatch):
    row, pattern = drawn(6, 9, 60)
    # Small integers add up without rounding.
    x, weight = torch.randint(-4, 5, (9, d)).float(), torch.randint(1, 3, (60,)).float()
    found = []
    for longest, tile, widest in [(2, 32, 4), (3, 1024, 128), (16, 64, 16), (10_000, 1024, 64)]:
        for name, value in (("LONGEST", longest), ("BLOCK", longest), ("TILE", tile), ("WIDEST", widest)):
            monkeypatch.setattr(row_sizes, name, value)
        found.append(reduce_rows(pattern.crow, pattern.col, weight, x, kind=kind))
    rows = [(weight[:, None] * x[pattern.col.long()])[row == i] for i in range(6)]
    join = {"sum": lambda t: t.sum(0), "max": lambda t: t.amax(0) if len(t) else -torch.inf * torch.ones(d)}
    want = torch.stack([join.get(kind, lambda t: t.logsumexp(0))(t) for t in rows])
    for one in found:
        if kind == "lse":
            torch.testing.assert_close(one, want, rtol=1e-5, atol=1e-5)
        else:
            assert torch.equal(one, want)


def test_the_same_bits_on_every_run():
    _, pattern = drawn(6, 9, 300)
    x, weight = torch.randn(9, 5), torch.randn(300)
    first = reduce_rows(pattern.crow, pattern.col, weight, x)
    assert all(torch.equal(reduce_rows(pattern.crow, pattern.col, weight, x), first) for _ in range(3))


def test_halves_of_cut_rows_are_rounded_once():
    out = reduce_rows(torch.tensor([0, 5000]), None, None, torch.ones(5000, 1, dtype=torch.bfloat16))
    assert out.item() == torch.tensor(5000.0).bfloat16().item()
    assert reduce_rows(torch.tensor([0, 300]), None, None, torch.ones(300, 64).half(), dtype=torch.float32)[0, 63] == 300


def test_infinities_and_nan_are_those_of_torch():
    x = torch.tensor([[torch.nan], [1.0], [torch.inf], [2.0], [-torch.inf], [-torch.inf], [3.0], [-torch.inf]])
    crow = torch.tensor([0, 2, 4, 6, 8])
    for kind, function in (("max", torch.amax), ("lse", torch.logsumexp), ("sum", torch.sum)):
        want = torch.stack([function(x[i : i + 2], dim=0) for i in range(0, 8, 2)])
        torch.testing.assert_close(reduce_rows(crow, None, None, x, kind=kind), want, equal_nan=True)


def test_nothing_to_reduce_is_no_launch_or_an_empty_one():
    nothing = torch.zeros(0, dtype=torch.int32)
    assert reduce_rows(torch.zeros(1, dtype=torch.int64), nothing, None, torch.ones(3, 2)).shape == (0, 2)
    assert reduce_rows(torch.zeros(3, dtype=torch.int64), nothing, None, torch.ones(3, 0)).shape == (2, 0)
    assert torch.equal(segment_sum(torch.ones(0, 2), torch.zeros(0, dtype=torch.int64), 3, backend="triton"), torch.zeros(3, 2))
    assert dot_rows(nothing, nothing, torch.ones(3, 2), torch.ones(3, 2)).shape == (0,)
    assert dot_rows(nothing.new_zeros(2), nothing.new_zeros(2), torch.ones(3, 0), torch.ones(3, 0)).tolist() == [0, 0]


def test_double_precision_and_integers_stay_with_torch():
    with pytest.raises(InputError, match="single precision"):
        segment_sum(torch.ones(3).double(), torch.zeros(3, dtype=torch.int64), 1, backend="triton")
