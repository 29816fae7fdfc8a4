import pytest
import torch

from graphcl.kernels.triton.row_plan import row_plan


def reduced(levels, crow, x):
    """What the launches of a plan add up, in integers, so that equal is equal."""
    out = torch.full((len(crow) - 1,), -99)
    for level in levels:
        begin = crow if level.begin is None else level.begin
        sums = torch.stack([x[begin[i] : begin[i + 1]].sum() for i in range(len(begin) - 1)])
        target = torch.arange(len(sums)) if level.target is None else level.target
        partial = torch.full((level.num_partial,), -99)
        for place, value in zip(target.tolist(), sums.tolist(), strict=True):
            if place < 0:
                partial[-1 - place] = value
            else:
                out[place] = value
        x = partial
    return out


@pytest.mark.parametrize("longest", [2, 3, 64])
@pytest.mark.parametrize("lengths", [[1], [0], [0, 5, 0, 1, 40, 2, 0], [100], [64, 65, 128, 129]])
def test_launches_reduce_every_entry_once_in_stretches_of_bounded_length(lengths, longest):
    torch.manual_seed(0)
    crow = torch.tensor([0, *lengths]).cumsum(0)
    x = torch.randint(100, (sum(lengths),))
    levels = row_plan(crow, longest)
    want = torch.stack([x[crow[i] : crow[i + 1]].sum() for i in range(len(lengths))])
    assert torch.equal(reduced(levels, crow, x), want)
    assert all(int((crow if level.begin is None else level.begin).diff().max()) <= longest for level in levels)


def test_rows_that_are_short_take_one_launch_and_no_memory():
    crow = torch.tensor([0, 3, 3, 5], dtype=torch.int32)
    (level,) = row_plan(crow, 3)
    assert (level.begin, level.target, level.num_partial) == (None, None, 0)


def test_only_long_rows_are_met_again():
    first, second = row_plan(torch.tensor([0, 2, 9, 10, 20]), 5)
    assert first.begin.tolist() == [0, 2, 7, 9, 10, 15, 20]
    assert first.target.tolist() == [0, -1, -2, 2, -3, -4]
    assert (second.begin.tolist(), second.target.tolist()) == ([0, 2, 4], [1, 3])


def test_a_plan_is_found_once_for_as_long_as_the_pointers_live():
    crow = torch.tensor([0, 9])
    assert row_plan(crow, 2) is row_plan(crow, 2)
    assert row_plan(crow, 3) is not row_plan(crow, 2)


def test_no_rows_have_a_plan():
    assert len(row_plan(torch.zeros(1, dtype=torch.int64), 4)) == 1
