import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from graphcl.errors import InputError
from graphcl.kernels import segment_mean, segment_sum
from graphcl.kernels.segment.segments import Segments
from graphcl.kernels.segment.sums import spread

F64 = torch.float64


@pytest.mark.parametrize(("n", "d", "k"), [(1, 1, 1), (7, 3, 4), (31, 5, 2), (13, 2, 40)])
def test_segments_sum_as_the_broadcast_product_does(n, d, k):
    torch.manual_seed(0)
    x, ids = torch.randn(n, d, dtype=F64), torch.randint(k, (n,))
    want = (F.one_hot(ids, k).to(F64)[:, :, None] * x[:, None, :]).sum(0)
    torch.testing.assert_close(segment_sum(x, ids, k), want)


@given(ids=st.lists(st.integers(0, 6), min_size=1, max_size=30), seed=st.integers(0, 2**16))
def test_the_order_of_rows_does_not_matter_and_nothing_is_lost(ids, seed):
    torch.manual_seed(seed)
    x, ids = torch.randn(len(ids), 3, dtype=F64), torch.tensor(ids)
    order = torch.randperm(len(ids))
    out = segment_sum(x, ids, 7)
    torch.testing.assert_close(segment_sum(x[order], ids[order], 7), out)
    torch.testing.assert_close(out.sum(0), x.sum(0))


def test_empty_segments_are_zero_wherever_they_are():
    out = segment_sum(torch.ones(3, 2), torch.tensor([1, 3, 3]), 6)
    assert out[:, 0].tolist() == [0, 1, 0, 2, 0, 0]


def test_no_rows_give_only_zeros():
    assert torch.equal(segment_sum(torch.ones(0, 2), torch.zeros(0, dtype=torch.int64), 3), torch.zeros(3, 2))


def test_each_row_receives_the_gradient_of_its_segment():
    torch.manual_seed(0)
    x, ids = torch.randn(7, 2, dtype=F64, requires_grad=True), torch.tensor([0, 2, 2, 5, 0, 2, 5])
    grad = torch.randn(6, 2, dtype=F64)
    segment_sum(x, ids, 6).backward(grad)
    assert torch.equal(x.grad, grad[ids])
    assert torch.autograd.gradcheck(lambda x: segment_sum(x, ids, 6), (x,))


def test_the_rows_are_left_as_they_were():
    x = torch.ones(3, 2)
    segment_sum(x, torch.tensor([0, 0, 1]), 2)
    assert torch.equal(x, torch.ones(3, 2))


@pytest.mark.parametrize("ids", [torch.zeros(4, dtype=torch.int64), torch.zeros(3, 1, dtype=torch.int64)])
def test_one_id_a_row_is_asked_for(ids):
    with pytest.raises(InputError, match=r"one segment a row, \(3,\); got"):
        segment_sum(torch.ones(3, 2), ids, 2)


@pytest.mark.parametrize(("ids", "got"), [([0, 1, 2], "0 .. 2"), ([-1, 0, 1], "-1 .. 1")])
def test_ids_out_of_range_are_named(ids, got):
    with pytest.raises(InputError, match=rf"must lie in 0 .. 1; got {got}"):
        segment_sum(torch.ones(3, 2), torch.tensor(ids), 2)


@pytest.mark.parametrize(("shape", "k"), [((1,), 1), ((7, 3), 4), ((31, 2, 5), 6)])
def test_means_divide_by_the_rows_of_each_segment(shape, k):
    torch.manual_seed(0)
    x, ids = torch.randn(*shape, dtype=F64), torch.randint(k, shape[:1])
    want = torch.stack([x[ids == i].mean(0) if (ids == i).any() else torch.zeros(shape[1:], dtype=F64) for i in range(k)])
    torch.testing.assert_close(segment_mean(x, ids, k), want)


def test_gradients_of_sums_and_means_have_gradients():
    torch.manual_seed(0)
    x, ids = torch.randn(5, 2, dtype=F64, requires_grad=True), torch.tensor([2, 0, 2, 2, 0])
    for function in (segment_sum, segment_mean):
        assert torch.autograd.gradcheck(lambda x, f=function: f(x, ids, 4).square(), (x,))
        assert torch.autograd.gradgradcheck(lambda x, f=function: f(x, ids, 4).square(), (x,))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_halves_are_added_in_single_precision_and_rounded_once(dtype):
    # One by one, a half would stop at 2048 or at 256.
    x, ids = torch.ones(5000, 1, dtype=dtype, requires_grad=True), torch.zeros(5000, dtype=torch.int64)
    out = segment_sum(x, ids, 1)
    assert out.dtype == dtype
    assert out.item() == torch.tensor(5000.0).to(dtype).item()
    assert segment_mean(60000 * x, ids, 1).item() == torch.tensor(60000.0).to(dtype).item()
    out.backward(torch.full_like(out, 3))
    assert torch.equal(x.grad, torch.full_like(x, 3))


def test_counts_stay_counts():
    assert torch.equal(segment_sum(torch.tensor([2, 3, 4]), torch.tensor([1, 1, 0]), 2), torch.tensor([4, 5]))


def test_every_row_gets_the_value_of_its_segment_and_the_gradient_is_the_sum():
    y, ids = torch.randn(3, 2, dtype=F64, requires_grad=True), torch.tensor([2, 0, 2, 2])
    out = spread(y, Segments(ids.double(), ids, 3))
    assert torch.equal(out, y[ids])
    out.sum().backward()
    assert y.grad[:, 0].tolist() == [1, 0, 3]


def test_means_of_integers_are_refused():
    with pytest.raises(InputError, match=r"must be floating; got torch.int64. Convert it: x.float"):
        segment_mean(torch.ones(3, dtype=torch.int64), torch.tensor([0, 0, 1]), 2)
