import pytest
import torch

from graphcl.errors import InputError
from graphcl.kernels import segment_max

F64 = torch.float64


@pytest.mark.parametrize(("shape", "k"), [((1,), 1), ((7, 3), 4), ((31, 2, 5), 6)])
def test_maxima_are_those_of_the_rows_of_each_segment(shape, k):
    torch.manual_seed(0)
    x, ids = torch.randn(*shape, dtype=F64), torch.randint(k, shape[:1])
    want = torch.stack([x[ids == i].amax(0) if (ids == i).any() else torch.zeros(shape[1:], dtype=F64) for i in range(k)])
    assert torch.equal(segment_max(x, ids, k), want)


def test_the_gradient_goes_to_the_row_that_is_the_maximum():
    torch.manual_seed(0)
    x, ids = torch.randn(9, 2, dtype=F64, requires_grad=True), torch.tensor([3, 0, 3, 3, 0, 1, 1, 1, 1])
    assert torch.autograd.gradcheck(lambda x: segment_max(x, ids, 4), (x,))
    assert torch.autograd.gradgradcheck(lambda x: segment_max(x, ids, 4).square(), (x,))


def test_rows_that_share_a_maximum_share_its_gradient():
    x = torch.tensor([[2.0, 1.0], [2.0, 3.0], [0.0, 3.0], [2.0, 3.0]], requires_grad=True)
    segment_max(x, torch.zeros(4, dtype=torch.int64), 1).backward(torch.tensor([[6.0, 9.0]]))
    y = x.detach().clone().requires_grad_()
    y.amax(0, keepdim=True).backward(torch.tensor([[6.0, 9.0]]))
    torch.testing.assert_close(x.grad, y.grad)
    torch.testing.assert_close(x.grad[:, 1], torch.tensor([0.0, 3.0, 3.0, 3.0]))


def test_empty_segments_are_zero_and_infinities_and_nan_pass():
    x = torch.tensor([-torch.inf, torch.nan, 1.0, torch.inf])
    out = segment_max(x, torch.tensor([0, 2, 2, 3]), 5)
    assert out[[0, 1, 3, 4]].tolist() == [-torch.inf, 0, torch.inf, 0]
    assert bool(out[2].isnan())


def test_halves_keep_their_type_and_value():
    x = torch.tensor([1.0, 3.0, -2.0], dtype=torch.bfloat16)
    assert torch.equal(segment_max(x, torch.tensor([0, 0, 1]), 2), x[1:])


def test_integers_are_refused():
    with pytest.raises(InputError, match="must be floating"):
        segment_max(torch.ones(3, dtype=torch.int64), torch.tensor([0, 0, 1]), 2)
