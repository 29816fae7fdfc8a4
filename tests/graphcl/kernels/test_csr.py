import subprocess
import sys

import pytest
import torch

from graphcl.kernels import csr
from graphcl.kernels.csr import CSR, dots_at, multiply
from graphcl.kernels.pattern import Pattern


def random_matrix(n, m, dtype=torch.float64, seed=0):
    torch.manual_seed(seed)
    dense = torch.randn(n, m, dtype=dtype) * (torch.rand(n, m) < 0.4)
    csr = dense.to_sparse_csr()
    return dense, CSR(Pattern.from_csr(csr.crow_indices(), csr.col_indices(), m), csr.values())


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize(("n", "m", "d"), [(1, 1, 1), (7, 3, 5), (3, 257, 2), (257, 31, 16), (4, 0, 3), (5, 4, 0)])
def test_the_product_and_both_gradients_match_the_dense_ones(n, m, d, transposed):
    dense, matrix = random_matrix(n, m)
    rows, cols = (m, n) if transposed else (n, m)
    matrix.values.requires_grad_()
    dense = dense.requires_grad_()
    x = torch.randn(cols, d, dtype=torch.float64)
    ours, theirs = x.clone().requires_grad_(), x.clone().requires_grad_()
    out = multiply(matrix, ours, transposed=transposed)
    want = (dense.t() if transposed else dense) @ theirs
    torch.testing.assert_close(out, want)
    grad = torch.randn(rows, d, dtype=torch.float64)
    out.backward(grad)
    want.backward(grad)
    torch.testing.assert_close(ours.grad, theirs.grad)
    entries = dense.grad[matrix.pattern.row.long(), matrix.pattern.col.long()]
    torch.testing.assert_close(matrix.values.grad, entries)


@pytest.mark.parametrize(("n", "m", "d"), [(1, 1, 1), (7, 3, 5), (3, 257, 2), (257, 31, 16), (4, 0, 3), (5, 4, 0)])
def test_dots_at_the_entries_match_the_dense_ones(n, m, d):
    _, matrix = random_matrix(n, m)
    row, col = matrix.pattern.row.long(), matrix.pattern.col.long()
    a, b = torch.randn(n, d, dtype=torch.float64), torch.randn(m, d, dtype=torch.float64)
    torch.testing.assert_close(dots_at(matrix.pattern, a, b), (a[row] * b[col]).sum(1))


def test_derivatives_of_first_and_second_order_are_right():
    _, matrix = random_matrix(5, 4)
    values = matrix.values.clone().requires_grad_()
    x = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    a = torch.randn(5, 3, dtype=torch.float64, requires_grad=True)

    def product(v, x):
        return multiply(CSR(matrix.pattern, v), x)

    def mirrored(v, a):
        return multiply(CSR(matrix.pattern, v), a, transposed=True)

    def dots(a, b):
        return dots_at(matrix.pattern, a, b)

    for function, inputs in ((product, (values, x)), (mirrored, (values, a)), (dots, (a, x))):
        assert torch.autograd.gradcheck(function, inputs)
        assert torch.autograd.gradgradcheck(function, inputs)


def test_values_written_to_in_place_are_seen_by_the_transpose():
    dense, matrix = random_matrix(7, 7)
    x = torch.randn(7, 2, dtype=torch.float64)
    multiply(matrix, x, transposed=True)
    with torch.no_grad():
        matrix.values.mul_(2.0)
    torch.testing.assert_close(multiply(matrix, x, transposed=True), 2 * dense.t() @ x)


def test_symmetry_is_of_values_not_only_of_positions():
    dense, _ = random_matrix(7, 7)
    mean = (dense + dense.t()).to_sparse_csr()
    pattern = Pattern.from_csr(mean.crow_indices(), mean.col_indices(), 7)
    assert CSR(pattern, mean.values()).is_symmetric
    assert not CSR(pattern, torch.arange(pattern.nnz, dtype=torch.float64)).is_symmetric


def test_what_was_in_fresh_memory_never_reaches_the_result():
    _, matrix = random_matrix(31, 31, torch.float32)
    x = torch.randn(31, 4)
    want = multiply(matrix, x)
    torch.use_deterministic_algorithms(True)  # fills fresh memory with NaN
    try:
        assert torch.equal(multiply(matrix, x), want)
        assert not dots_at(matrix.pattern, x, x).isnan().any()
    finally:
        torch.use_deterministic_algorithms(False)


def test_no_notice_of_torch_about_sparse_tensors_reaches_the_user():
    # Torch says each once per process, so it takes a fresh one.
    script = """
import torch
from graphcl.kernels.csr import CSR, dots_at, multiply
from graphcl.kernels.pattern import Pattern
pattern = Pattern.from_csr(torch.tensor([0, 1, 2]), torch.tensor([1, 0]), 2)
x = torch.ones(2, 3, requires_grad=True)
multiply(CSR(pattern, torch.ones(2, requires_grad=True)), x).sum().backward()
dots_at(pattern, x, x).sum().backward()
"""
    done = subprocess.run(
        [sys.executable, "-W", "error::UserWarning", "-c", script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("transposed", [False, True])
def test_a_product_in_panels_of_columns_has_the_bits_of_the_whole_one(monkeypatch, dtype, transposed):
    """Wide enough for four panels and a rest; the cache is set so low that the operand leaves it, or so that it does not."""
    torch.manual_seed(0)
    n, m, nnz, width = 60, 40, 700, 4 * csr.PANEL + 5
    keys = torch.randperm(n * m)[:nnz].sort().values
    counts = torch.bincount(keys // m, minlength=n)
    pattern = Pattern(torch.cat([counts.new_zeros(1), counts.cumsum(0)]), keys % m, m)
    matrix = CSR(pattern, torch.randn(nnz, dtype=dtype))
    x = torch.randn(n if transposed else m, width, dtype=dtype)
    calls, addmm = [], torch.addmm
    monkeypatch.setattr(torch, "addmm", lambda *args, **kwargs: calls.append(1) or addmm(*args, **kwargs))
    whole = multiply(matrix, x, transposed=transposed)
    assert len(calls) == 1
    monkeypatch.setattr(csr, "CACHE", len(x) * csr.PANEL * x.element_size())
    assert torch.equal(multiply(matrix, x, transposed=transposed), whole)
    assert len(calls) == 1 + 5
    strided = x.T.contiguous().T
    torch.testing.assert_close(multiply(matrix, strided, transposed=transposed), whole)
    assert len(calls) == 1 + 5 + 5
