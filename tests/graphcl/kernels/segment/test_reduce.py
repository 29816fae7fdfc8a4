import pytest
import torch

from graphcl.kernels.segment.reduce import reduce_lse, reduce_max, reduce_sum, working_type
from graphcl.kernels.segment.segments import Segments


@pytest.mark.parametrize("index", [torch.int32, torch.int64])
def test_reductions_of_empty_and_of_full_segments(index):
    x = torch.tensor([[1.0, -5.0], [3.0, -7.0]])
    segments = Segments(x, torch.tensor([2, 2], dtype=index), 3)
    nothing = [-torch.inf, -torch.inf]
    assert reduce_sum(x, segments).tolist() == [[0, 0], [0, 0], [4, -12]]
    assert reduce_max(x, segments).tolist() == [nothing, nothing, [3, -5]]
    lse = reduce_lse(x, segments)
    assert lse[:2].tolist() == [nothing, nothing]
    torch.testing.assert_close(lse[2], x.logsumexp(0))


@pytest.mark.parametrize(
    ("given", "used"),
    [
        (torch.float16, torch.float32),
        (torch.bfloat16, torch.float32),
        (torch.float64, torch.float64),
        (torch.int64, torch.int64),
    ],
)
def test_halves_are_worked_with_in_single_precision(given, used):
    assert working_type(given) == used
    x = torch.ones(2, dtype=given)
    assert reduce_sum(x, Segments(x, torch.zeros(2, dtype=torch.int64), 1)).dtype == used


def test_repeated_sums_are_the_same_bit_for_bit():
    torch.manual_seed(0)
    x, ids = torch.randn(20_000, 8), torch.randint(50, (20_000,))
    segments = Segments(x, ids, 50)
    for function in (reduce_sum, reduce_max, reduce_lse):
        first = function(x, segments)
        assert all(torch.equal(function(x, segments), first) for _ in range(3))
