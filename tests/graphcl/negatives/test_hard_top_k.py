import math

import pytest
import torch
import torch.nn.functional as F

import graphcl.kernels.pair_tiles as pair_tiles
from graphcl.errors import InputError
from graphcl.kernels import Rule
from graphcl.losses import PairLoss, coupled
from graphcl.negatives import Exact, HardTopK

F64 = torch.float64
A = torch.tensor([[1, 0, 0], [1, 1, 0], [0, 1, 1], [1, 1, 1]], dtype=F64)
B = torch.tensor([[2, 1, 0], [1, 2, 0], [0, 1, 2], [1, 1, 2]], dtype=F64)


def unit(n, d, seed=0):
    torch.manual_seed(seed)
    return F.normalize(torch.randn(n, d, dtype=F64), dim=1)


def by_hand(a, z, scale, k, rule):
    """Sorted rows, one after the other."""
    rows = []
    for i in range(len(a)):
        keep = [
            j
            for j in range(len(z))
            if (rule.exclude is None or rule.exclude[i] != j)
            and (rule.different is None or rule.different[0][i] != rule.different[1][j])
        ]
        logits = (scale * z[keep] @ a[i]).sort(descending=True).values
        rows.append(logits[: k if isinstance(k, int) else math.ceil(k * len(keep) - 1e-9)].logsumexp(0))
    return torch.stack(rows)


@pytest.fixture(params=[None, 64])
def tiles(request, monkeypatch):
    """Once with all candidates in one block, once with blocks of a few."""
    if request.param:
        monkeypatch.setattr(pair_tiles, "TILE_BYTES", request.param)
        monkeypatch.setattr(pair_tiles, "MIN_ROWS", 2)


def test_golden_value_of_the_hard_contrastive_loss():
    loss = PairLoss(coupled, negatives=HardTopK(2), temperature=0.5, symmetric="off")
    assert loss(A, B).item() == pytest.approx(0.8102778842, abs=1e-9)


@pytest.mark.usefixtures("tiles")
@pytest.mark.parametrize("k", [1, 2, 5, 30, 0.2, 0.5, 1.0])
def test_it_is_the_sum_over_the_hardest_with_its_gradients(k):
    a, z, scale = unit(7, 3).requires_grad_(), unit(13, 3, 1).requires_grad_(), torch.tensor(1.7, dtype=F64, requires_grad=True)
    ids, others = torch.arange(7) % 3, torch.arange(13) % 4
    negatives = HardTopK(k) if isinstance(k, int) else HardTopK(fraction=k)
    for rule in (Rule(), Rule(torch.arange(7)), Rule(torch.arange(7), different=(ids, others))):
        out, want = negatives.log_z(a, z, scale=scale, rule=rule), by_hand(a, z, scale, k, rule)
        torch.testing.assert_close(out, want)
        got, wanted = (torch.autograd.grad(x.sum(), (a, z, scale), retain_graph=True) for x in (out, want))
        torch.testing.assert_close(got, wanted)


@pytest.mark.usefixtures("tiles")
def test_all_are_the_exact_sum():
    a, z, rule = unit(9, 3), unit(11, 3, 1), Rule(torch.arange(9))
    exact = Exact().log_z(a, z, scale=3.0, rule=rule)
    for negatives in (HardTopK(11), HardTopK(10), HardTopK(fraction=1.0)):
        torch.testing.assert_close(negatives.log_z(a, z, scale=3.0, rule=rule), exact)


def test_it_grows_with_k_up_to_the_exact_value_and_misses_it_by_no_more_than_the_logarithm_of_the_share():
    a, z = unit(20, 3), unit(30, 3, 1)
    exact = Exact().log_z(a, z, scale=3.0, rule=Rule())
    last = torch.full_like(exact, -torch.inf)
    for k in (1, 4, 16, 30):
        value = HardTopK(k).log_z(a, z, scale=3.0, rule=Rule())
        assert (value > last).all()
        assert (exact - value <= math.log(30 / k) + 1e-12).all()
        last = value


@pytest.mark.usefixtures("tiles")
def test_among_equals_the_first_are_kept():
    a = torch.tensor([[1.0, 0.0]], dtype=F64)
    z = torch.tensor([[0.5, 0], [1, 0], [1, 0], [0.5, 0], [1, 0], [0.5, 0], [1, 0], [0.5, 0]], dtype=F64, requires_grad=True)
    for k, kept in ((1, [1]), (2, [1, 2]), (5, [0, 1, 2, 4, 6]), (7, [0, 1, 2, 3, 4, 5, 6])):
        grad = torch.autograd.grad(HardTopK(k).log_z(a, z, scale=2.0, rule=Rule()).sum(), z)[0]
        assert grad.any(1).nonzero().squeeze(1).tolist() == kept


def test_scales_of_the_anchors_do_not_change_who_is_kept():
    a, z, scale = unit(5, 3), unit(9, 3, 1), torch.tensor([1.0, 2.0, 3.0, 0.5, 9.0], dtype=F64)
    want = torch.stack([by_hand(a[i : i + 1], z, scale[i], 3, Rule())[0] for i in range(5)])
    torch.testing.assert_close(HardTopK(3).log_z(a, z, scale=scale, rule=Rule()), want)


def test_an_anchor_with_fewer_negatives_has_all_of_them_and_one_with_none_has_minus_infinity_and_no_gradient():
    a, z = unit(3, 3).requires_grad_(), unit(3, 3, 1).requires_grad_()
    ids = torch.tensor([0, 0, 1]), torch.tensor([0, 0, 0])
    negatives = HardTopK(2)
    out = negatives.log_z(a, z, scale=2.0, rule=Rule(torch.tensor([0, 1, 2]), different=ids))
    assert out[:2].tolist() == [-torch.inf] * 2
    torch.testing.assert_close(out[2], (2.0 * z[:2] @ a[2]).logsumexp(0))
    out[:2].sum().backward()
    assert torch.count_nonzero(a.grad) == torch.count_nonzero(z.grad) == 0
    assert negatives.log_count(a, z, Rule(different=ids)).exp().tolist() == [0, 0, 2]


def test_half_precision_is_computed_in_single():
    a, z = unit(5, 4).half(), unit(9, 4, 1).half()
    out = HardTopK(3).log_z(a, z, scale=2.0, rule=Rule())
    torch.testing.assert_close(out, HardTopK(3).log_z(a.float(), z.float(), scale=2.0, rule=Rule()))


def test_only_the_kept_pairs_and_one_block_are_held(monkeypatch):
    widest = 0
    product = torch.mm

    def spy(left, right, **options):
        nonlocal widest
        widest = max(widest, left.shape[0] * right.shape[1])
        return product(left, right, **options)

    monkeypatch.setattr(pair_tiles, "TILE_BYTES", 8 * 2000)
    monkeypatch.setattr(pair_tiles, "MIN_ROWS", 8)
    monkeypatch.setattr(torch, "mm", spy)
    a, z = unit(300, 4).requires_grad_(), unit(400, 4, 1)
    HardTopK(3).log_z(a, z, scale=2.0, rule=Rule()).sum().backward()
    assert 0 < widest <= 2000


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "give either k, .* or fraction, .*got None and None"),
        ({"k": 2, "fraction": 0.1}, "give either k"),
        ({"k": 0}, "k must be >= 1.*got 0"),
        ({"fraction": 0.0}, r"fraction must be in \(0, 1\].*got 0.0"),
        ({"fraction": math.nan}, r"fraction must be in \(0, 1\]"),
    ],
)
def test_a_selection_that_is_none_is_named(arguments, message):
    with pytest.raises(InputError, match=message):
        HardTopK(**arguments)


def test_weights_of_clusterings_are_refused():
    stages = torch.zeros(3, 1, dtype=torch.int64)
    with pytest.raises(InputError, match="the hardest negatives count once each"):
        HardTopK(1).log_z(unit(3, 2), unit(3, 2), scale=1.0, rule=Rule(clusters=(stages, stages)))


def test_it_prints_its_selection():
    assert repr(HardTopK(5)) == "HardTopK(5)"
    assert repr(HardTopK(fraction=0.25)) == "HardTopK(fraction=0.25)"
