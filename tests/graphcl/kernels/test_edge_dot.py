import pytest
import torch

from graphcl.errors import InputError
from graphcl.kernels.adjacency import Adjacency
from graphcl.kernels.edge_dot import edge_dot
from graphcl.kernels.pattern import Pattern

F64 = torch.float64


def listed_pairs(n, m, num, seed=0):
    """Rows in order, with a pair that is listed twice."""
    torch.manual_seed(seed)
    row, col = torch.randint(n, (num,)).sort().values, torch.randint(m, (num,))
    if num > 1 and row[0] == row[1]:
        col[1] = col[0]
    crow = torch.zeros(n + 1, dtype=torch.int64)
    crow[1:] = torch.bincount(row, minlength=n).cumsum(0)
    return row, crow, col


@pytest.mark.parametrize("dtype", [torch.float32, F64])
@pytest.mark.parametrize(("n", "m", "d", "num"), [(1, 1, 1, 1), (7, 5, 3, 20), (257, 31, 16, 997), (5, 7, 4, 0), (3, 3, 0, 4)])
def test_dots_and_gradients_match_the_gathered_ones(n, m, d, num, dtype):
    row, crow, col = listed_pairs(n, m, num)
    a, b = torch.randn(n, d, dtype=dtype, requires_grad=True), torch.randn(m, d, dtype=dtype, requires_grad=True)
    a64, b64 = (t.detach().double().requires_grad_() for t in (a, b))
    want = (a64.index_select(0, row) * b64.index_select(0, col)).sum(1)
    out = edge_dot(a, b, (crow, col))
    tolerance = {"rtol": 1e-4, "atol": 1e-4} if dtype == torch.float32 else {}
    torch.testing.assert_close(out.double(), want, **tolerance)
    grad = torch.randn(num, dtype=F64)
    out.backward(grad.to(dtype))
    want.backward(grad)
    torch.testing.assert_close(a.grad.double(), a64.grad, **tolerance)
    torch.testing.assert_close(b.grad.double(), b64.grad, **tolerance)


def test_pointers_a_pattern_and_an_adjacency_name_the_same_pairs():
    torch.manual_seed(0)
    adj = Adjacency.from_edge_index(torch.randint(7, (2, 15)), 7)
    pattern = adj.pattern
    a, b = torch.randn(7, 3), torch.randn(7, 3)
    out = edge_dot(a, b, adj)
    assert torch.equal(out, edge_dot(a, b, pattern))
    assert torch.equal(out, edge_dot(a, b, (pattern.crow, pattern.col)))
    torch.testing.assert_close(out, (a @ b.t())[pattern.row.long(), pattern.col.long()])


def test_one_tensor_may_be_both_sides():
    torch.manual_seed(0)
    adj = Adjacency.from_edge_index(torch.randint(5, (2, 9)), 5)
    z = torch.randn(5, 3, dtype=F64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda z: edge_dot(z, z, adj), (z,))
    assert torch.autograd.gradgradcheck(lambda z: edge_dot(z, z, adj), (z,))


def test_columns_of_a_wider_array_are_taken():
    _, crow, col = listed_pairs(7, 5, 20)
    a, b = torch.randn(7, 8), torch.randn(4, 5)
    want = edge_dot(a[:, ::2].contiguous(), b.t().contiguous(), (crow, col))
    torch.testing.assert_close(edge_dot(a[:, ::2], b.t(), (crow, col)), want)


def test_the_same_bits_come_out_of_every_run():
    _, crow, col = listed_pairs(503, 499, 20_000)
    pattern = Pattern.from_csr(crow, col, 499)
    results = []
    for _ in range(3):
        torch.manual_seed(1)
        a, b = torch.randn(503, 33, requires_grad=True), torch.randn(499, 33, requires_grad=True)
        out = edge_dot(a, b, pattern)
        out.square().sum().backward()
        results.append((out.detach(), a.grad, b.grad))
    for other in results[1:]:
        assert all(torch.equal(x, y) for x, y in zip(results[0], other, strict=True))


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        (torch.zeros(7), torch.zeros(5, 2), r"a must be \(rows, D\); got \(7,\)"),
        (torch.zeros(7, 2), torch.zeros(4, 2), r"\(7, D\) and \(5, D\).*got \(7, 2\) and \(4, 2\)"),
        (torch.zeros(7, 2), torch.zeros(5, 3), r"got \(7, 2\) and \(5, 3\)"),
        (torch.zeros(7, 2), torch.zeros(5, 2, dtype=F64), r"b must be torch\.float32 like a"),
        (torch.zeros(7, 2, dtype=torch.int32), torch.zeros(5, 2), "a must be float32 or float64"),
    ],
)
def test_sides_that_do_not_fit_are_refused(a, b, message):
    _, crow, col = listed_pairs(7, 5, 20)
    with pytest.raises(InputError, match=message):
        edge_dot(a, b, Pattern.from_csr(crow, col, 5))


def test_pointers_from_outside_are_checked():
    with pytest.raises(InputError, match=r"columns must be in \[0, 2\)"):
        edge_dot(torch.zeros(1, 2), torch.zeros(2, 2), (torch.tensor([0, 1]), torch.tensor([5])))
