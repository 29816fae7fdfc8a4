import pytest
import torch

from graphcl.errors import InputError
from graphcl.kernels import Rule
from graphcl.negatives.positive import positive_positions


def test_it_is_what_the_rule_leaves_out():
    exclude = torch.tensor([2, 0])
    assert positive_positions(Rule(exclude), 3, "stop") is exclude


@pytest.mark.parametrize("exclude", [None, torch.tensor([0, 3]), torch.tensor([-1, 1])])
def test_a_positive_that_is_not_there_is_told_with_the_remedy(exclude):
    with pytest.raises(InputError, match=r"one of 3 candidates by its position; do this where the positives are others"):
        positive_positions(Rule(exclude), 3, "do this")
