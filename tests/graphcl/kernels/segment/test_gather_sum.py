import pytest
import torch

from graphcl.errors import InputError
from graphcl.kernels import gather_sum
from graphcl.kernels.pattern import Pattern

F64 = torch.float64
PATTERN = Pattern.from_csr(torch.tensor([0, 3, 3, 4, 7]), torch.tensor([0, 2, 4, 1, 0, 0, 3]), 5)  # row 1 empty, (3, 0) twice
ROW = torch.tensor([0, 0, 0, 2, 3, 3, 3])


def dense(x, weight):
    matrix = torch.zeros(4, 5, dtype=x.dtype).index_put((ROW, PATTERN.col.long()), weight, accumulate=True)
    return matrix @ x


@pytest.mark.parametrize("d", [1, 3, 17])
def test_it_is_the_dense_product_with_both_gradients(d):
    torch.manual_seed(0)
    x, weight = torch.randn(5, d, dtype=F64, requires_grad=True), torch.randn(7, dtype=F64, requires_grad=True)
    grad = torch.randn(4, d, dtype=F64)
    torch.testing.assert_close(gather_sum(x, PATTERN, weight), dense(x, weight))
    found = torch.autograd.grad(gather_sum(x, PATTERN, weight), (x, weight), grad)
    torch.testing.assert_close(found, torch.autograd.grad(dense(x, weight), (x, weight), grad))


def test_gradients_of_first_and_second_order():
    torch.manual_seed(0)
    x, weight = torch.randn(5, 2, dtype=F64, requires_grad=True), torch.randn(7, dtype=F64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x, w: gather_sum(x, PATTERN, w), (x, weight))
    assert torch.autograd.gradgradcheck(lambda x, w: gather_sum(x, PATTERN, w), (x, weight))


def test_without_weights_rows_are_added():
    x = torch.randn(5, 3, dtype=F64)
    torch.testing.assert_close(gather_sum(x, PATTERN), dense(x, torch.ones(7, dtype=F64)))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_halves_are_added_in_single_precision_with_gradients_of_their_types(dtype):
    torch.manual_seed(0)
    x, weight = torch.randn(5, 3).to(dtype).requires_grad_(), torch.randn(7, requires_grad=True)
    out = gather_sum(x, PATTERN, weight)
    assert torch.equal(out, dense(x.float(), weight).to(dtype))
    grad = torch.randn(4, 3).to(dtype)
    out.backward(grad)
    wide = x.detach().float().requires_grad_()
    dx, dw = torch.autograd.grad(dense(wide, weight), (wide, weight), grad.float())
    assert (x.grad.dtype, weight.grad.dtype) == (dtype, torch.float32)
    torch.testing.assert_close(x.grad, dx.to(dtype))
    torch.testing.assert_close(weight.grad, dw)


def test_what_does_not_fit_the_pattern_is_named():
    with pytest.raises(InputError, match=r"x must be \(5, D\)"):
        gather_sum(torch.ones(4, 2), PATTERN)
    with pytest.raises(InputError, match=r"weight must be \(7,\) of torch.float32"):
        gather_sum(torch.ones(5, 2), PATTERN, torch.ones(6))
    with pytest.raises(InputError, match=r"must be on cpu like the pattern"):
        gather_sum(torch.ones(5, 2, device="meta"), PATTERN)
