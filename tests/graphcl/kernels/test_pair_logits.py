import math

import pytest
import torch

from graphcl.kernels import Columns, Rule
from graphcl.kernels.pair_logits import BothWeights, Logits, RowWeights, finite, inverse, log_add
from graphcl.kernels.pair_reference import pair_logits_reference

F64 = torch.float64
HERE = slice(0, 4), slice(0, 5)


def made(bias=True, **options):
    torch.manual_seed(0)
    a, z, b = torch.randn(4, 3, dtype=F64), torch.randn(5, 3, dtype=F64), torch.randn(5, dtype=F64)
    rule = Rule(exclude=torch.arange(4))
    logits = Logits(a, z, b if bias else None, torch.full((1,), 1.7, dtype=F64), None, rule, **options)
    return logits, pair_logits_reference(a, Columns(z, b if bias else None), scale=1.7, rule=rule)


def test_logits_are_those_of_the_formula_to_base_two():
    logits, want = made()
    torch.testing.assert_close(logits.tile(*HERE) * math.log(2), want)


def test_only_small_logits_without_a_bias_are_bounded():
    assert not made()[0].bounded()
    assert made(bias=False)[0].bounded()
    a = torch.ones(1, 1)
    for scale, bounded in ((51.0, True), (53.0, False)):  # 75 / log2(e) is 52
        assert Logits(a, a, None, torch.tensor([scale]), None, Rule()).bounded() is bounded


@pytest.mark.parametrize("bounded", [True, False])
def test_weights_of_both_sides_are_the_softmax_of_rows_and_of_columns(bounded):
    logits, want = made(bias=False, spare=True)
    rows, columns = want.logsumexp(1), want.logsumexp(0)
    g, h = torch.randn(4, dtype=F64), torch.randn(5, dtype=F64)
    out = BothWeights(logits, bounded, (rows, g), (columns, h)).tile(*HERE)
    torch.testing.assert_close(out, g[:, None] * want.softmax(1) + h * want.softmax(0))


def test_weights_of_rows_are_exponentials_less_a_shift():
    logits, want = made(bias=False)
    torch.testing.assert_close(RowWeights(logits, None).tile(*HERE), want.exp())
    torch.testing.assert_close(logits.powers(*HERE), want.exp())
    torch.testing.assert_close(RowWeights(logits, finite(want.logsumexp(1))).tile(*HERE), want.softmax(1))


@pytest.mark.parametrize("dim", [0, 1])
def test_sums_of_logarithms_are_associative_and_minus_infinity_adds_nothing(dim):
    tile = torch.randn(4, 5, dtype=F64) * 100
    tile[:, 1] = -torch.inf
    total = torch.full((tile.shape[1 - dim],), -torch.inf, dtype=F64)
    want = tile.mul(math.log(2)).logsumexp(dim) / math.log(2)
    log_add(total, tile.clone(), dim, out=torch.empty_like(tile))
    torch.testing.assert_close(total, want, rtol=1e-12, atol=1e-12)
    log_add(total, torch.full_like(tile, -torch.inf), dim, out=torch.empty_like(tile))
    torch.testing.assert_close(total, want, rtol=1e-12, atol=1e-12)


def test_a_side_in_which_nothing_counts_has_finite_weights():
    lse = torch.tensor([1.0, -torch.inf])
    torch.testing.assert_close(finite(lse), torch.tensor([math.log2(math.e), 0.0]))
    torch.testing.assert_close(inverse(lse), torch.tensor([math.exp(-1), 1.0]))
