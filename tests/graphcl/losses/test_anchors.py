import math

import pytest
import torch

from graphcl.errors import InputError
from graphcl.losses import anchor_mean, check_ids

F64 = torch.float64


def test_the_mean_is_weighted_and_leaves_out_who_takes_no_part():
    terms = torch.tensor([1.0, 2.0, 6.0, math.nan], dtype=F64)
    has = torch.tensor([True, True, True, False])
    assert anchor_mean(terms[:3]).item() == 3
    assert anchor_mean(terms, None, has).item() == 3
    assert anchor_mean(terms, torch.tensor([1.0, 0, 3, 5]), has).item() == 19 / 4


def test_gradients_are_right_and_who_takes_no_part_gets_none():
    torch.manual_seed(0)
    terms, weight = torch.randn(5, dtype=F64, requires_grad=True), torch.rand(5, dtype=F64, requires_grad=True)
    has = torch.tensor([True, False, True, True, True])
    assert torch.autograd.gradcheck(anchor_mean, (terms, weight))
    assert torch.autograd.gradcheck(lambda t, w: anchor_mean(t, w, has), (terms, weight))


@pytest.mark.parametrize("bad", [[1.0, -1, 1], [0.0, 0, 0], [1.0, math.nan, 1], [math.inf, 1, 1]])
def test_weights_that_do_not_weigh_are_refused(bad):
    with pytest.raises(InputError, match="weight must be finite, >= 0 and above 0 for an anchor that takes part"):
        anchor_mean(torch.ones(3), torch.tensor(bad))


def test_weights_only_of_anchors_that_take_no_part_are_refused():
    with pytest.raises(InputError, match="above 0 for an anchor that takes part"):
        anchor_mean(torch.ones(2), torch.tensor([1.0, 0]), torch.tensor([False, True]))


def test_weights_of_another_shape_are_named():
    with pytest.raises(InputError, match=r"weight must be \(3,\), one for each anchor; got \(2,\)"):
        anchor_mean(torch.ones(3), torch.ones(2))


def test_ids_are_integers_one_a_row_and_not_all_equal():
    ids = torch.tensor([3, 3, 1])
    assert check_ids("ids", ids, 3) is ids
    with pytest.raises(InputError, match=r"ids must be \(4,\), one for each row of a view; got \(3,\)"):
        check_ids("ids", ids, 4)
    with pytest.raises(InputError, match=r"labels must be integers, .* got torch.float32"):
        check_ids("labels", ids.float(), 3)
    assert len(check_ids("labels", torch.full((3,), 7), 3, differ=False)) == 3
    with pytest.raises(InputError, match="labels are all equal to 7, so no anchor has a negative"):
        check_ids("labels", torch.full((3,), 7), 3)
