from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from scipy.stats import chisquare

from graphcl.errors import InputError
from graphcl.recsys.ranking.rows import Rows
from graphcl.recsys.sampling.samplers import SAMPLERS, Interaction, Pool, UserStratified, UserUniform
from graphcl.recsys.sampling.unseen import Unseen


def rows_of(lists, items):
    indptr = np.concatenate([[0], np.cumsum([len(row) for row in lists])]).astype(np.int64)
    return Rows(indptr, np.array([i for row in lists for i in row], dtype=np.int32), len(lists), items)


# A stranger first, last and between; user 2 has everything.
LISTS = [[], [4], [0, 1, 2, 3, 4, 5], [0, 1, 2, 3, 5], [], [2, 3], [0, 4, 5], []]


@pytest.fixture
def pool():
    return Pool(Unseen(rows_of(LISTS, 6)))


def pairs(sampler, number, block, seed=0):
    """(row of the pool, place) of each draw, block by block."""
    parts = list(sampler.draw(number, block, torch.Generator().manual_seed(seed)))
    assert [len(row) for row, _ in parts] == [block] * (number // block) + [number % block] * (number % block > 0)
    return [pair for row, place in parts for pair in zip(row.tolist(), place.tolist(), strict=True)]


ALL = [(row, place) for row, length in enumerate([1, 5, 2, 3]) for place in range(length)]


def test_the_pool_holds_users_with_a_positive_and_a_negative(pool):
    assert pool.users.tolist() == [1, 3, 5, 6]
    assert pool.degree.tolist() == [1, 5, 2, 3]
    assert pool.num_pairs == 11


@pytest.mark.parametrize("block", [1, 4, 11, 100])
def test_interaction_shows_every_pair_once(pool, block):
    sampler = Interaction(pool)
    assert sampler.draws == 11
    assert sorted(pairs(sampler, 11, block)) == ALL
    assert Counter(pairs(sampler, 22, block)) == Counter(ALL * 2)


def test_interaction_shows_pairs_in_random_order(pool):
    firsts = Counter(pairs(Interaction(pool), 11, 11, seed)[0] for seed in range(1100))
    assert chisquare([firsts[pair] for pair in ALL]).pvalue > 1e-3


def test_user_uniform_draws_users_alike_and_then_their_items_alike(pool):
    sampler = UserUniform(pool)
    assert sampler.draws == 11
    drawn = Counter(pairs(sampler, 20_000, 999))
    expected = [20_000 / 4 / int(pool.degree[row]) for row, _ in ALL]
    assert sorted(drawn) == ALL
    assert chisquare([drawn[pair] for pair in ALL], expected).pvalue > 1e-3
    # One item in eleven belongs to the lightest user, who is one user of four.
    assert drawn[0, 0] / 20_000 == pytest.approx(1 / 4, abs=0.02)


def test_user_stratified_draws_each_user_equally_often_and_their_items_alike(pool):
    sampler = UserStratified(pool)
    assert sampler.draws == 11 // 4 * 4
    assert Counter(row for row, _ in pairs(sampler, 8, 3)) == dict.fromkeys(range(4), 2)
    drawn = Counter(pairs(sampler, 8 * 1000, 999))
    for row, length in enumerate([1, 5, 2, 3]):
        counts = [drawn[row, place] for place in range(length)]
        assert sum(counts) == 2000
        assert length == 1 or chisquare(counts).pvalue > 1e-3


def test_user_stratified_mixes_users(pool):
    firsts = Counter(pairs(UserStratified(pool), 8, 8, seed)[0][0] for seed in range(800))
    assert chisquare([firsts[row] for row in range(4)]).pvalue > 1e-3


def test_users_with_one_item_each_are_drawn_once():
    sampler = UserStratified(Pool(Unseen(rows_of([[0], [], [1], [1]], 2))))
    assert sorted(pairs(sampler, sampler.draws, 2)) == [(0, 0), (1, 0), (2, 0)]


def test_the_table_has_the_three_names():
    assert list(SAMPLERS) == ["interaction", "user-uniform", "user-stratified"]


def test_nothing_to_draw_is_refused():
    with pytest.raises(InputError, match="no interactions"):
        Pool(Unseen(rows_of([[], []], 3)))
    with pytest.raises(InputError, match="every user in train has all 2 items"):
        Pool(Unseen(rows_of([[0, 1], [], [0, 1]], 2)))
