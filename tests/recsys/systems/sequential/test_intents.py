from __future__ import annotations

from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F

from graphcl.errors import InputError
from graphcl.recsys.systems.sequential import intents
from graphcl.recsys.systems.sequential.intents import Intents, k_means


def blobs(count=6, each=40, dim=5, seed=0):
    generator = torch.Generator().manual_seed(seed)
    middles = 20 * torch.randn(count, dim, generator=generator)
    own = torch.arange(count).repeat(each)
    return middles[own] + 0.1 * torch.randn(count * each, dim, generator=generator), own


def test_groups_that_stand_apart_are_found_and_their_means_are_the_centres():
    rows, own = blobs()
    centres = k_means(rows, 6, seed=0)
    nearest = torch.cdist(rows, centres).argmin(1)
    for group in range(6):
        assert len(nearest[own == group].unique()) == 1
        torch.testing.assert_close(centres[nearest[own == group][0]], rows[own == group].mean(0), rtol=1e-4, atol=1e-4)


def test_one_centre_is_the_mean():
    rows, _ = blobs()
    torch.testing.assert_close(k_means(rows, 1, seed=3), rows.mean(0, keepdim=True))


def test_as_many_centres_as_points_are_the_points():
    rows = torch.randn(17, 3, generator=torch.Generator().manual_seed(0))
    assert torch.equal(k_means(rows, 17, seed=0).sort(0).values, rows.sort(0).values)


def test_the_same_seed_gives_the_same_bits_and_takes_nothing_from_the_global_generator():
    rows = torch.randn(300, 4, generator=torch.Generator().manual_seed(0))
    torch.manual_seed(5)
    want = torch.rand(3)
    torch.manual_seed(5)
    first = k_means(rows, 20, seed=7)
    assert torch.equal(torch.rand(3), want)
    assert torch.equal(k_means(rows, 20, seed=7), first)
    assert not torch.equal(k_means(rows, 20, seed=8), first)


def test_an_iteration_never_adds_to_the_sum_of_squares():
    rows = torch.randn(400, 3, generator=torch.Generator().manual_seed(1))
    costs = [torch.cdist(rows, k_means(rows, 15, seed=0, steps=n)).amin(1).square().sum() for n in range(8)]
    assert all(after <= before * (1 + 1e-6) for before, after in pairwise(costs))


def test_points_that_coincide_leave_finite_centres():
    rows = torch.cat([torch.zeros(30, 2), torch.ones(2, 2)])
    centres = k_means(rows, 5, seed=0)
    assert torch.isfinite(centres).all()
    assert {tuple(row) for row in centres.tolist()} == {(0.0, 0.0), (1.0, 1.0)}


def test_many_rows_are_sampled_and_blocks_do_not_matter(monkeypatch):
    rows, own = blobs(3, 400)
    want = k_means(rows, 3, seed=0)  # 1,200 rows, of which 768 count
    away = torch.cdist(torch.stack([rows[own == group].mean(0) for group in range(3)]), want).amin(1)
    assert ((away > 1e-4) & (away < 0.05)).all()
    monkeypatch.setattr(intents, "_CELLS", 50)
    torch.testing.assert_close(k_means(rows, 3, seed=0), want)


def test_a_state_belongs_to_the_nearest_centre_as_it_is_and_gets_it_in_unit_length():
    module = Intents(4, 2)
    module.centres.copy_(torch.tensor([[1.0, 0], [10, 0], [0, -3], [1, 0]]))
    states = torch.tensor([[2.0, 0.5], [7, 1], [-1, -9]], requires_grad=True)
    own, centre = module(states)
    assert own.tolist() == [0, 1, 2]  # the first of two that are equal; by angle the second would do as well
    assert torch.equal(centre, F.normalize(module.centres, dim=1)[own])
    assert not centre.requires_grad


def test_centres_are_part_of_the_state():
    rows, _ = blobs()
    module = Intents(6, 5)
    module.find(rows, seed=0)
    other = Intents(6, 5)
    other.load_state_dict(module.state_dict())
    assert torch.equal(other(rows)[0], module(rows)[0])
    assert torch.equal(module.centres, k_means(rows, 6, seed=0))


def test_what_has_no_centres_is_told():
    with pytest.raises(InputError, match="at least 1 intent; got 0"):
        Intents(0, 4)
    with pytest.raises(InputError, match=r"must lie in 1 .. 3, the number of rows; got 4"):
        k_means(torch.zeros(3, 2), 4, seed=0)
    with pytest.raises(InputError, match="not finite, so they have no centres"):
        k_means(torch.full((3, 2), torch.nan), 2, seed=0)
