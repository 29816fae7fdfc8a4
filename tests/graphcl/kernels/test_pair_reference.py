import math

import torch

from graphcl.kernels import Columns, Rule
from graphcl.kernels.pair_reference import pair_logits_reference, pair_lse_reference, pair_weights_reference


def test_the_weights_are_those_that_a_double_loop_writes():
    torch.manual_seed(0)
    a, z, ids = torch.ones(3, 1), torch.ones(5, 1), torch.tensor([4, 1, 1, 0, 2])
    exclude, (row, column) = torch.tensor([1, 4, 9]), (torch.randint(2, (3,)), torch.randint(2, (5,)))
    clusters = (torch.randint(2, (3, 4)), torch.randint(2, (5, 4)))
    seen = (torch.tensor([0, 1, 1, 3]), torch.tensor([3, 0, 4]))
    listed = {(0, 3), (2, 0), (2, 4)}
    for same in (True, False):
        rule = Rule(exclude, **{"same" if same else "different": (row, column)}, clusters=clusters, seen=seen)
        weights = pair_weights_reference(a, Columns(z, ids=ids), rule)
        for i in range(3):
            for j in range(5):
                counts = ids[j] != exclude[i] and (row[i] == column[j]) == same and (i, j) not in listed
                assert weights[i, j] == counts * sum(int(clusters[0][i, c] != clusters[1][j, c]) for c in range(4))


def test_a_weight_of_two_is_the_candidate_twice():
    a, z = torch.randn(2, 3), torch.randn(2, 3)
    rule = Rule(clusters=(torch.zeros(2, 2, dtype=torch.int64), torch.tensor([[0, 1], [1, 1]])))
    out = pair_lse_reference(a, Columns(z), scale=1.0, rule=rule)
    torch.testing.assert_close(out, pair_lse_reference(a, Columns(z[[0, 1, 1]]), scale=1.0))
    logits = pair_logits_reference(a, Columns(z), scale=torch.tensor([1.0, 2.0]), rule=rule)
    torch.testing.assert_close(logits[1, 1], 2 * a[1] @ z[1] + math.log(2))
