import pytest
import torch

from graphcl.errors import InputError
from graphcl.kernels import Rule

TWO, FOUR = torch.arange(2), torch.arange(4)


def test_nothing_given_is_everything_allowed():
    Rule().check(2, 4)
    assert Rule() == Rule(exclude=None)


def test_ids_that_fit_pass():
    grid = torch.zeros(4, 3, dtype=torch.int32)
    rule = Rule(TWO, (TWO, FOUR), (TWO, FOUR), (grid[:2], grid), (torch.tensor([0, 0, 2]), torch.tensor([3, 0])))
    rule.check(2, 4)
    with pytest.raises(InputError):
        rule.check(2, 3)  # the same ids do not fit one column less


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (Rule(FOUR), r"exclude must be a vector of length 2; got \(4,\)"),
        (Rule(TWO.float()), r"exclude must be integers, .* got torch.float32"),
        (Rule(same=(FOUR, TWO)), r"same must give the ids of the anchors as a vector of length 2; got \(4,\)"),
        (Rule(different=(TWO, TWO)), r"different must give the ids of the candidates as a vector of length 4; got \(2,\)"),
        (Rule(same=(TWO.double(), FOUR)), "same must be integers"),
        (Rule(clusters=(TWO, FOUR)), r"clusters must give the ids of the anchors as \(2, C\)"),
        (Rule(clusters=(torch.ones(2, 3).long(), torch.ones(4, 2).long())), "the same clusterings, .* got 3 and 2"),
        (Rule(clusters=(torch.ones(2, 0).long(), torch.ones(4, 0).long())), "at least one, .* got 0 and 0"),
        (Rule(seen=(torch.tensor([0, 1]), TWO)), r"seen must be row pointers \(3,\) that rise from 0"),
        (Rule(seen=(torch.tensor([0, 2, 1]), TWO[:1])), r"that rise from 0"),
        (Rule(seen=(torch.tensor([0, 1, 3]), TWO)), "that rise from 0"),
        (Rule(seen=(torch.tensor([0, 1, 2]), torch.tensor([0, 4]))), r"seen must list columns in \[0, 4\); got 0 to 4"),
        (Rule(seen=(torch.tensor([0, 1, 2]), TWO.float())), "seen must be integers"),
    ],
)
def test_ids_that_do_not_fit_are_named(rule, message):
    with pytest.raises(InputError, match=message):
        rule.check(2, 4)
