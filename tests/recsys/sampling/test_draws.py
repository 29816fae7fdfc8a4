from __future__ import annotations

import pytest
import torch
from scipy.stats import chisquare

from graphcl.recsys.sampling.draws import below, shuffled


@pytest.mark.parametrize("limit", [1, 2, 7])
def test_numbers_below_a_limit_are_uniform(limit):
    drawn = below(torch.tensor(limit).expand(7000), torch.Generator().manual_seed(limit))
    counts = torch.bincount(drawn, minlength=limit)
    assert len(counts) == limit
    assert limit == 1 or chisquare(counts.numpy()).pvalue > 1e-3


def test_each_number_has_its_own_limit():
    limits = torch.tensor([[1, 2**40], [3, 2**52]])
    drawn = torch.stack([below(limits, torch.Generator().manual_seed(seed)) for seed in range(200)])
    assert drawn.dtype == torch.int64
    assert (drawn >= 0).all()
    assert (drawn < limits).all()
    assert (drawn[:, 0, 1] > 2**39).any()
    assert drawn[:, 1, 0].unique().tolist() == [0, 1, 2]


def test_the_largest_random_number_stays_below_any_limit(monkeypatch):
    largest = 1 - 2.0**-53
    monkeypatch.setattr(torch, "rand", lambda shape, **_: torch.full(shape, largest, dtype=torch.float64))
    limits = torch.tensor([1, 2, 3, 5, 1000, 2**31 - 1, 2**31, 2**40 + 1, 2**52])
    assert torch.equal(below(limits), limits - 1)


@pytest.mark.parametrize("draws", [1, 6, 7, 8, 14, 20])
def test_every_pass_is_a_permutation_and_the_last_is_cut(draws):
    order = shuffled(7, draws, torch.Generator().manual_seed(0))
    assert len(order) == draws
    for one in order.split(7):
        assert len(one.unique()) == len(one)
        assert set(one.tolist()) <= set(range(7))


def test_all_orders_are_equally_likely():
    generator = torch.Generator().manual_seed(3)
    orders = [tuple(one.tolist()) for one in shuffled(3, 3 * 3000, generator).split(3)]
    assert chisquare([orders.count(order) for order in set(orders)]).pvalue > 1e-3
    assert len(set(orders)) == 6
