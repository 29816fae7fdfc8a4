import math

import pytest
import torch
import torch.nn.functional as F

from graphcl.errors import InputError
from graphcl.losses.bpr import BPR, l2_penalty

F64 = torch.float64


def scores(n, k, seed=0):
    torch.manual_seed(seed)
    return torch.randn(n, dtype=F64), torch.randn(n, k, dtype=F64)


def test_a_worked_value():
    a = torch.tensor([[1, 0, 0], [1, 1, 0], [0, 1, 1], [1, 1, 1]], dtype=F64)
    b = torch.tensor([[2, 1, 0], [1, 2, 0], [0, 1, 2], [1, 1, 2]], dtype=F64)
    assert BPR()((a * b).sum(1), (a * b.roll(-1, 0)).sum(1)).item() == pytest.approx(0.3616496417, abs=1e-9)


@pytest.mark.parametrize(("n", "k"), [(1, 1), (7, 3), (2, 31)])
def test_values_match_the_formulas(n, k):
    positive, negative = scores(n, k)
    pairwise = -(positive[:, None] - negative).sigmoid().log()
    torch.testing.assert_close(BPR()(positive, negative), pairwise.mean())
    found = F.cross_entropy(torch.cat([positive[:, None], negative], 1), torch.zeros(n, dtype=torch.long))
    torch.testing.assert_close(BPR(reduce="logsumexp")(positive, negative), found)


@pytest.mark.parametrize("reduce", ["mean", "logsumexp"])
def test_one_negative_may_come_as_a_vector(reduce):
    positive, negative = scores(5, 1)
    torch.testing.assert_close(BPR(reduce=reduce)(positive, negative[:, 0]), BPR()(positive, negative))


def test_equal_scores():
    equal = torch.full((3, 4), 7.0, dtype=F64)
    assert BPR()(equal[:, 0], equal).item() == pytest.approx(math.log(2))
    assert BPR(reduce="logsumexp")(equal[:, 0], equal).item() == pytest.approx(math.log(5))


@pytest.mark.parametrize("reduce", ["mean", "logsumexp"])
def test_a_shift_of_each_row_changes_nothing_and_neither_does_the_order(reduce):
    loss, (positive, negative) = BPR(reduce=reduce), scores(5, 3)
    want, shift = loss(positive, negative), 10 * torch.randn(5, dtype=F64)
    torch.testing.assert_close(loss(positive + shift, negative + shift[:, None]), want)
    torch.testing.assert_close(loss(positive.flip(0), negative.flip(0, 1)), want)


@pytest.mark.parametrize("reduce", ["mean", "logsumexp"])
def test_gradients_are_right(reduce):
    positive, negative = (s.requires_grad_() for s in scores(5, 3))
    assert torch.autograd.gradcheck(BPR(reduce=reduce), (positive, negative))
    assert torch.autograd.gradgradcheck(BPR(reduce=reduce), (positive, negative))


@pytest.mark.parametrize("reduce", ["mean", "logsumexp"])
def test_extreme_scores_stay_finite_and_keep_their_gradient(reduce):
    positive = torch.tensor([-1e4, 1e4], requires_grad=True)
    negative = torch.tensor([[1e4], [-1e4]], requires_grad=True)
    loss = BPR(reduce=reduce)(positive, negative)
    loss.backward()
    assert loss.item() == pytest.approx(1e4)
    assert positive.grad.tolist() == [-0.5, 0.0]
    assert negative.grad.tolist() == [[0.5], [0.0]]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(dtype):
    positive, negative = (s.to(dtype) for s in scores(7, 5))
    loss = BPR(reduce="logsumexp")(positive, negative)
    torch.testing.assert_close(loss, BPR(reduce="logsumexp")(positive.float(), negative.float()), rtol=0, atol=0)


def test_the_penalty_is_half_the_squares_per_row_of_the_batch():
    users, items = torch.tensor([[1.0, 2.0], [0.0, 3.0]]), torch.ones(2, 4, 2)
    assert l2_penalty(users, items).item() == pytest.approx((14 + 16) / 4)
    users = torch.randn(3, 2, dtype=F64, requires_grad=True)
    l2_penalty(users).backward()
    torch.testing.assert_close(users.grad, users.detach() / 3)


def test_what_cannot_be_used_is_named():
    with pytest.raises(InputError, match="reduce must be 'mean' or 'logsumexp'; got 'sum'"):
        BPR(reduce="sum")
    three = torch.zeros(3)
    for positive, negative in [(three[:, None], three), (three, torch.zeros(2, 3)), (three, torch.zeros(3, 1, 1))]:
        with pytest.raises(InputError, match=r"the same N; got .* Row i of the negatives belongs to positive i"):
            BPR()(positive, negative)
    with pytest.raises(InputError, match="positive is empty"):
        BPR()(three[:0], three[:0])
    with pytest.raises(InputError, match="negative is empty"):
        BPR()(three, torch.zeros(3, 0))
    with pytest.raises(InputError, match="negative has a value that is not finite"):
        BPR()(three, three - torch.inf)
    for wrong in [(), (three,), (torch.zeros(3, 2), torch.zeros(2, 2))]:
        with pytest.raises(InputError, match="tensors of one batch; got"):
            l2_penalty(*wrong)
    with pytest.raises(InputError, match="embeddings is empty"):
        l2_penalty(torch.zeros(0, 2))


def test_it_prints_what_it_is():
    assert repr(BPR(reduce="logsumexp")) == "BPR(reduce=logsumexp)"
