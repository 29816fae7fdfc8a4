import math

import pytest
import torch

from graphcl.errors import InputError
from graphcl.negatives import LogAverage, follow

F64 = torch.float64


def test_the_first_visit_takes_what_comes_and_later_ones_mix():
    average, ids = LogAverage(4, 0.25), torch.tensor([2, 0])
    first, second = torch.tensor([3.0, 5.0]), torch.tensor([7.0, 1.0])
    average.store(ids, average.blend(ids, first.log()))
    torch.testing.assert_close(average.log_u[ids].exp(), first)
    assert average.visited.tolist() == [True, False, True, False]
    torch.testing.assert_close(average.blend(ids, second.log()).exp(), 0.75 * first + 0.25 * second)
    torch.testing.assert_close(average.blend(torch.tensor([1]), torch.tensor([2.0])), torch.tensor([2.0]))


def test_blending_leaves_the_state_alone():
    average = LogAverage(3, 0.5)
    before = {name: value.clone() for name, value in average.state_dict().items()}
    average.blend(torch.tensor([0, 1]), torch.zeros(2))
    assert all(torch.equal(before[name], value) for name, value in average.state_dict().items())


def test_what_comes_twice_is_averaged_in_any_order():
    ids, values = torch.tensor([1, 0, 1, 1]), torch.tensor([2.0, 9.0, 4.0, 6.0])
    for order in (torch.arange(4), torch.tensor([3, 1, 0, 2])):
        average = LogAverage(2, 0.5)
        average.store(ids[order], values[order].log())
        torch.testing.assert_close(average.log_u.exp(), torch.tensor([9.0, 4.0]))


def test_with_nothing_remembered_only_the_last_counts_to_the_bit():
    average, ids = LogAverage(2, 1.0), torch.tensor([0, 1])
    average.store(ids, torch.tensor([4.0, 5.0]))
    new = torch.tensor([0.1, 0.2])
    assert torch.equal(average.blend(ids, new), new)


def test_logarithms_far_beyond_the_exponential_stay():
    average, ids = LogAverage(2, 0.5), torch.tensor([0, 0, 1])
    average.store(ids, torch.tensor([1000.0, 1000.0, -1000.0]))
    assert average.log_u.tolist() == pytest.approx([1000.0, -1000.0])
    mixed = average.blend(torch.tensor([0, 1]), torch.tensor([1000.0, -1000.0]))
    torch.testing.assert_close(mixed, torch.tensor([1000.0, -1000.0]))


@pytest.mark.parametrize("nothing", [-torch.inf, torch.nan])
def test_what_is_no_number_changes_nothing(nothing):
    average = LogAverage(2, 0.5)
    average.store(torch.tensor([0]), torch.tensor([3.0]))
    average.store(torch.tensor([0, 1]), torch.tensor([nothing, nothing]))
    assert average.log_u[0].item() == 3.0
    assert average.visited.tolist() == [True, False]


def test_the_mean_over_steps_is_the_mean_over_all_that_came():
    torch.manual_seed(0)
    average, ids = LogAverage(1, 0.05), torch.tensor([0])
    for value in torch.rand(600) + 0.5:
        average.store(ids, average.blend(ids, value.log()[None]))
    assert average.log_u.exp().item() == pytest.approx(1.0, abs=0.15)


def test_following_has_the_value_of_one_and_the_gradient_of_the_other_by_their_ratio():
    log_z = torch.tensor([1.0, 2.0, -torch.inf], dtype=F64, requires_grad=True)
    out = follow(log_z, torch.tensor([0.5, 4.0, 0.0], dtype=F64))
    assert out.tolist() == [0.5, 4.0, -torch.inf]
    grad = torch.autograd.grad(out.sum(), log_z)[0]
    assert grad.tolist() == pytest.approx([math.exp(0.5), math.exp(-2.0), 0.0])


def test_what_is_out_of_range_is_named():
    with pytest.raises(InputError, match=r"num_instances must be >= 1.*got 0"):
        LogAverage(0, 0.5)
    for gamma in (0.0, 1.1, math.nan):
        with pytest.raises(InputError, match=r"gamma must be in \(0, 1\]"):
            LogAverage(3, gamma)
    with pytest.raises(InputError, match=r"ids must lie in 0 .. 2.*got 1 .. 3\. Was the moving average made for another one\?"):
        LogAverage(3, 0.5).check(torch.tensor([1, 3]))
    assert repr(LogAverage(3, 0.5)) == "LogAverage(3, gamma=0.5)"
