import math

import pytest
import torch
from torch.autograd import gradcheck

from graphcl.errors import InputError
from graphcl.kernels import Columns, Rule, pair_lse, pair_tiles
from graphcl.kernels.pair_power import pair_power_lse, softened_power
from graphcl.kernels.pair_reference import pair_weights_reference

F64 = torch.float64


def sides(n, m, d, dtype=F64):
    torch.manual_seed(0)
    return torch.randn(n, d, dtype=dtype), torch.randn(m, d, dtype=dtype)


def dense(a, columns, scale, gamma, rule=None):
    distance = (a[:, None] - columns.z).square().sum(2).sqrt()
    return (pair_weights_reference(a, columns, rule).log() - scale * distance**gamma).logsumexp(1)


def rules(n, m):
    torch.manual_seed(1)
    ids = torch.randint(4, (n,)), torch.randint(4, (m,))
    return {
        "all": (Rule(), None),
        "exclude": (Rule(exclude=torch.arange(n) % m), None),
        "named": (Rule(exclude=torch.arange(n)), torch.arange(m) % 5),
        "same": (Rule(same=ids), None),
        "different": (Rule(different=ids), None),
        "clusters": (
            Rule(clusters=(ids[0][:, None].repeat(1, 2) % torch.tensor([4, 2]), ids[1][:, None] % 3 + torch.arange(2))),
            None,
        ),
    }


@pytest.mark.parametrize("gamma", [0.5, 1.0, 1.7, 2.0, 3.0])
@pytest.mark.parametrize("name", rules(1, 1))
def test_it_is_the_dense_formula_under_every_rule(gamma, name):
    a, z = sides(13, 9, 4)
    rule, ids = rules(13, 9)[name]
    columns = Columns(z, ids=ids)
    torch.testing.assert_close(
        pair_power_lse(a, columns, scale=3.0, gamma=gamma, rule=rule), dense(a, columns, 3.0, gamma, rule)
    )


@pytest.mark.parametrize("gamma", [0.5, 1.0, 1.7, 2.0, 3.0])
@pytest.mark.parametrize("name", rules(1, 1))
def test_gradients_are_those_of_differences(gamma, name):
    rule, ids = rules(5, 6)[name]
    leaves = tuple(side.requires_grad_() for side in sides(5, 6, 3))
    # exp takes rows in which nothing counts from minus infinity to 0
    assert gradcheck(lambda a, z: pair_power_lse(a, Columns(z, ids=ids), scale=2.0, gamma=gamma, rule=rule).exp(), leaves)


@pytest.mark.parametrize(("rows", "budget"), [(1, 1), (3, 1), (2, 2 * 4 * 16), (16, 2**20)])
def test_blocks_of_any_size_give_the_same(monkeypatch, rows, budget):
    a, z = (side.requires_grad_() for side in sides(13, 11, 4))
    rule = Rule(exclude=torch.arange(13) % 11)
    want = pair_power_lse(a, Columns(z), scale=4.0, gamma=1.0, rule=rule)
    slopes = torch.autograd.grad(want.sin().sum(), (a, z))
    monkeypatch.setattr(pair_tiles, "MIN_ROWS", rows)
    monkeypatch.setattr(pair_tiles, "TILE_BYTES", budget)
    got = pair_power_lse(a, Columns(z), scale=4.0, gamma=1.0, rule=rule)
    torch.testing.assert_close(got, want)
    torch.testing.assert_close(torch.autograd.grad(got.sin().sum(), (a, z)), slopes)


def test_the_square_is_a_product_with_a_bias():
    a, z = sides(7, 9, 4)
    columns = Columns(z, bias=-5 * z.square().sum(1))
    want = pair_lse(a, columns, scale=10.0) - 5 * a.square().sum(1)
    torch.testing.assert_close(pair_power_lse(a, Columns(z), scale=5.0, gamma=2.0), want)


def test_far_pairs_neither_vanish_nor_spoil_the_sum():
    a = torch.tensor([[0.0], [1e3]])
    z = torch.tensor([[2.0], [3.0]])
    got = pair_power_lse(a, Columns(z), scale=1e3, gamma=1.0)
    torch.testing.assert_close(got, torch.tensor([-2e3, -997e3]))
    torch.testing.assert_close(pair_power_lse(a + 5e3, Columns(z + 5e3), scale=1e3, gamma=1.0), got)


def test_equal_rows_have_a_finite_value_and_no_gradient():
    z = torch.ones(3, 2, dtype=F64, requires_grad=True)
    value = pair_power_lse(z, Columns(z), scale=10.0, gamma=0.5)
    torch.testing.assert_close(value, torch.full((3,), math.log(3), dtype=F64), atol=0.011, rtol=0)
    (slope,) = torch.autograd.grad(value.sum(), z)
    assert (slope == 0).all()


def test_a_row_that_counts_nobody_is_empty():
    a, z = (side.requires_grad_() for side in sides(3, 2, 2))
    rule = Rule(same=(torch.tensor([0, 5, 1]), torch.tensor([0, 1])))
    value = pair_power_lse(a, Columns(z), scale=1.0, gamma=1.0, rule=rule)
    assert value[1] == -torch.inf
    slopes = torch.autograd.grad(value[[0, 2]].sum(), (a, z))
    assert all(slope.isfinite().all() for slope in slopes)
    assert (slopes[0][1] == 0).all()


def test_half_and_single_precision_are_close():
    a, z = sides(31, 17, 8)
    a, z = a / a.norm(dim=1, keepdim=True), z / z.norm(dim=1, keepdim=True)
    want = pair_power_lse(a, Columns(z), scale=10.0, gamma=1.0)
    single = pair_power_lse(a.float(), Columns(z.float()), scale=10.0, gamma=1.0)
    torch.testing.assert_close(single.double(), want, rtol=1e-5, atol=1e-5)
    half = pair_power_lse(a.bfloat16(), Columns(z.bfloat16()), scale=10.0, gamma=1.0)
    assert half.dtype == torch.float32
    torch.testing.assert_close(half.double(), want, rtol=2e-2, atol=2e-2)


def test_the_softened_power_is_the_power_with_a_slope_at_nothing():
    squared = torch.tensor([0.0, 0.25, 4.0], dtype=F64, requires_grad=True)
    torch.testing.assert_close(softened_power(squared, 1.0), torch.tensor([1e-6, 0.5, 2.0], dtype=F64), atol=1e-11, rtol=1e-11)
    (slope,) = torch.autograd.grad(softened_power(squared, 0.5).sum(), squared)
    assert slope.isfinite().all()


def test_what_makes_no_sense_is_named():
    a, z = sides(3, 4, 2)
    with pytest.raises(InputError, match="powers of distances take candidates without bias"):
        pair_power_lse(a, Columns(z, bias=z[:, 0]), scale=1.0, gamma=1.0)
    with pytest.raises(InputError, match=r"gamma must be a finite number > 0; got 0.0"):
        pair_power_lse(a, Columns(z), scale=1.0, gamma=0.0)
    with pytest.raises(InputError, match="scale must be a finite number > 0; got inf"):
        pair_power_lse(a, Columns(z), scale=math.inf, gamma=1.0)
    with pytest.raises(InputError, match="must share D"):
        pair_power_lse(a, Columns(z[:, :1]), scale=1.0, gamma=1.0)
