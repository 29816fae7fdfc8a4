import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from graphcl.kernels import Columns, Rule
from graphcl.kernels.pair_reference import pair_weights_reference
from graphcl.negatives.left_out import left_out

F64 = torch.float64
PARTS = [(), ("exclude",), ("different",), ("seen",), ("exclude", "different"), ("exclude", "different", "seen")]


def random_rule(n, m, parts, seed):
    generator = torch.Generator().manual_seed(seed)
    crow = torch.cat([torch.zeros(1, dtype=torch.int64), torch.randint(4, (n,), generator=generator).cumsum(0)])
    whole = {
        "exclude": torch.randint(-1, m + 2, (n,), generator=generator),
        "different": (torch.randint(-2, 4, (n,), generator=generator), torch.randint(-1, 5, (m,), generator=generator)),
        "seen": (crow.int(), torch.randint(m, (int(crow[-1]),), generator=generator).int()),
    }
    return Rule(**{part: whole[part] for part in parts})


@settings(max_examples=120, deadline=None)
@given(n=st.integers(1, 9), m=st.integers(1, 12), k=st.integers(1, 5), parts=st.sampled_from(PARTS), seed=st.integers(0, 2**16))
def test_it_is_what_a_dense_mask_says(n, m, k, parts, seed):
    generator = torch.Generator().manual_seed(seed)
    a, z = torch.randn(n, 3, dtype=F64, generator=generator), torch.randn(m, 3, dtype=F64, generator=generator)
    cluster = torch.unique(torch.randint(k, (m,), generator=generator), return_inverse=True)[1]
    costs = torch.ones(int(cluster.max()) + 1)
    rule = random_rule(n, m, parts, seed)
    out = left_out(a, z, cluster, costs, rule, math.inf)
    assert out is not None
    gone = 1 - pair_weights_reference(a, Columns(z), rule)
    inside = torch.nn.functional.one_hot(cluster, len(costs)).double()
    count, dot = gone @ inside, (gone * (a @ z.T)) @ inside
    listed = count.nonzero()
    assert torch.equal(torch.stack([torch.arange(n).repeat_interleave(out.crow.diff()), out.cluster], 1), listed)
    torch.testing.assert_close(out.number.double(), count[tuple(listed.T)])
    torch.testing.assert_close(out.dot, dot[tuple(listed.T)])


def test_beyond_the_limit_nothing_is_made():
    a, z = torch.randn(6, 2), torch.randn(8, 2)
    cluster, costs = torch.arange(8) % 2, torch.full((2,), 4.0)
    labels = Rule(different=(torch.zeros(6, dtype=torch.int64), torch.zeros(8, dtype=torch.int64)))
    for rule, cost in ((labels, 6 * 2 * 4), (Rule(torch.arange(6)), 6 * 4)):
        assert left_out(a, z, cluster, costs, rule, cost) is not None
        assert left_out(a, z, cluster, costs, rule, cost - 1) is None


@pytest.mark.parametrize("name", [-7, 2**62])
def test_ids_may_be_any_integers(name):
    ids = torch.tensor([name, 5])
    out = left_out(
        torch.ones(2, 1), torch.ones(2, 1), torch.tensor([0, 1]), torch.ones(2), Rule(different=(ids, ids)), math.inf
    )
    assert out is not None
    assert out.cluster.tolist() == [0, 1]
