import pytest
import torch

from graphcl.kernels import Columns, Rule
from graphcl.kernels.pair_reference import pair_weights_reference
from graphcl.negatives.count import log_count


def rules(n, m):
    torch.manual_seed(3)
    ids, others = torch.randint(3, (n,)), torch.randint(3, (m,))
    exclude = torch.randint(-1, m + 1, (n,))
    stages = torch.randint(2, (n, 4)), torch.randint(2, (m, 4))
    seen = torch.arange(n + 1), torch.arange(n) % m
    return {
        "all": Rule(),
        "exclude": Rule(exclude),
        "same": Rule(same=(ids, others)),
        "different": Rule(different=(ids, others)),
        "same, exclude": Rule(exclude, same=(ids, others)),
        "different, exclude": Rule(exclude, different=(ids, others)),
        "both": Rule(exclude, same=(ids, others), different=(ids, others.flip(0))),
        "clusters": Rule(clusters=stages),
        "seen": Rule(exclude, seen=seen),
        "nobody": Rule(different=(torch.zeros(n).long(), torch.zeros(m).long())),
    }


@pytest.mark.parametrize("which", rules(7, 11))
def test_it_counts_the_pairs_that_count(which):
    rule = rules(7, 11)[which]
    a, z = torch.randn(7, 2, dtype=torch.float64), torch.randn(11, 2, dtype=torch.float64)
    want = pair_weights_reference(a, Columns(z), rule).sum(1)
    torch.testing.assert_close(log_count(a, z, rule).exp(), want)


def test_two_views_leave_the_positive_and_the_anchor_out_once_each():
    ids = torch.tensor([4, 5, 4])
    rule = Rule(torch.arange(3), different=(ids, torch.cat([ids, ids])))
    assert log_count(torch.ones(3, 1), torch.ones(6, 1), rule).exp().round().tolist() == [2, 4, 2]
