import pytest
import torch

from graphcl.errors import InputError
from graphcl.kernels import segment_logsumexp, segment_softmax

F64 = torch.float64
IDS = torch.tensor([3, 0, 3, 3, 0, 1])


@pytest.mark.parametrize("shape", [(6,), (6, 3), (6, 2, 2)])
def test_each_segment_has_the_softmax_of_its_rows(shape):
    torch.manual_seed(0)
    x = torch.randn(*shape, dtype=F64)
    share, lse = segment_softmax(x, IDS, 5), segment_logsumexp(x, IDS, 5)
    for k in range(5):
        rows = IDS.eq(k)
        torch.testing.assert_close(share[rows], x[rows].softmax(0))
        torch.testing.assert_close(lse[k], x[rows].logsumexp(0))


def test_gradients_of_first_and_second_order():
    torch.manual_seed(0)
    x = torch.randn(6, 2, dtype=F64, requires_grad=True)
    some = torch.tensor([0, 1, 3])  # segment 2 is empty, and so is its sum
    for function in (lambda x: segment_softmax(x, IDS, 5), lambda x: segment_logsumexp(x, IDS, 5).index_select(0, some)):
        assert torch.autograd.gradcheck(function, (x,))
        assert torch.autograd.gradgradcheck(function, (x,))


def test_logits_of_any_size_and_shift_are_finite():
    x = torch.tensor([1e4, 1e4, -1e4, -1e4, 3e38, 0.0], requires_grad=True)
    share = segment_softmax(x, torch.tensor([0, 0, 1, 1, 2, 2]), 3)
    assert share.tolist() == [0.5, 0.5, 0.5, 0.5, 1.0, 0.0]
    share[0].backward()
    assert bool(x.grad.isfinite().all())


def test_what_does_not_count_is_zero_alone_and_among_others():
    x = torch.tensor([-torch.inf, 0.0, -torch.inf, -torch.inf], requires_grad=True)
    ids = torch.tensor([0, 0, 1, 1])
    share = segment_softmax(x, ids, 3)
    assert share.tolist() == [0, 1, 0, 0]
    assert segment_logsumexp(x, ids, 3).tolist() == [0, -torch.inf, -torch.inf]
    share.sum().backward()
    assert x.grad.tolist() == [0, 0, 0, 0]


def test_halves_are_summed_in_single_precision():
    x, ids = torch.zeros(5000, dtype=torch.bfloat16), torch.zeros(5000, dtype=torch.int64)
    assert segment_logsumexp(x, ids, 1).dtype == torch.float32
    torch.testing.assert_close(segment_logsumexp(x, ids, 1).exp(), torch.tensor([5000.0]))
    assert torch.equal(segment_softmax(x, ids, 1), torch.full_like(x, 1 / 5000))


@pytest.mark.parametrize("function", [segment_softmax, segment_logsumexp])
def test_integers_are_refused(function):
    with pytest.raises(InputError, match="must be floating"):
        function(torch.ones(3, dtype=torch.int64), torch.tensor([0, 0, 1]), 2)
