import pytest
import torch

from graphcl.kernels import Columns, Rule
from graphcl.kernels.pair_reference import pair_weights_reference
from graphcl.negatives.drawn_rule import drawn_rule


@pytest.mark.parametrize("draws", [1, 5, 23])
def test_what_counts_for_a_drawn_column_is_what_counted_for_the_candidate(draws):
    torch.manual_seed(0)
    a, z = torch.randn(6, 2), torch.randn(9, 2)
    listed = torch.rand(6, 9) < 0.4
    listed[2] = False
    crow = torch.cat([torch.zeros(1, dtype=torch.int64), listed.sum(1).cumsum(0)])
    rule = Rule(
        exclude=torch.randint(9, (6,)),
        same=(torch.randint(2, (6,)), torch.randint(2, (9,))),
        different=(torch.randint(4, (6,)), torch.randint(4, (9,))),
        clusters=(torch.randint(3, (6, 3)), torch.randint(3, (9, 3))),
        seen=(crow, listed.nonzero()[:, 1]),
    )
    index = torch.randint(9, (draws,))
    drawn = drawn_rule(rule, index)
    drawn.check(6, draws)
    got = pair_weights_reference(a, Columns(z[index], ids=index), drawn)
    assert torch.equal(got, pair_weights_reference(a, Columns(z), rule)[:, index])


def test_an_empty_rule_stays_empty():
    assert drawn_rule(Rule(), torch.tensor([1, 1])) == Rule()
