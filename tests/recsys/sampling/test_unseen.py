from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from scipy.stats import chisquare

from graphcl.errors import InputError
from graphcl.recsys.ranking.rows import Rows
from graphcl.recsys.sampling import unseen
from graphcl.recsys.sampling.unseen import Unseen


def rows_of(lists, items):
    indptr = np.concatenate([[0], np.cumsum([len(row) for row in lists])]).astype(np.int64)
    return Rows(indptr, np.array([i for row in lists for i in row], dtype=np.int32), len(lists), items)


LISTS = [[], [0], [9], [2, 3, 7], [0, 2, 4, 6, 8], [1, 2, 3, 4, 5, 6, 7, 8], list(range(9)), list(range(1, 10)), [0, 9]]


@pytest.mark.parametrize("user", range(len(LISTS)))
def test_negatives_are_uniform_over_what_the_user_lacks_and_never_seen(user):
    generator = torch.Generator().manual_seed(user)
    users = torch.full((8000,), user)
    counts = torch.bincount(Unseen(rows_of(LISTS, 10)).draw(users, generator), minlength=10).numpy()
    lacking = np.setdiff1d(np.arange(10), LISTS[user])
    assert counts.sum() == counts[lacking].sum() == 8000
    assert len(lacking) == 1 or chisquare(counts[lacking]).pvalue > 1e-3


def test_each_rank_is_the_item_of_that_rank(monkeypatch):
    """Every unseen item of random rows of every length, in one call."""
    rng = np.random.default_rng(0)
    lists = [sorted(rng.choice(37, size=size, replace=False)) for size in [*range(37), 36, 1, 0]]
    lacking = [np.setdiff1d(np.arange(37), row) for row in lists]
    users = np.repeat(np.arange(len(lists)), [len(row) for row in lacking])
    ranks = torch.from_numpy(np.concatenate([np.arange(len(row)) for row in lacking]))
    order = torch.from_numpy(rng.permutation(len(users)))
    monkeypatch.setattr(unseen, "below", lambda limit, generator: ranks[order])
    drawn = Unseen(rows_of(lists, 37)).draw(torch.from_numpy(users)[order])
    assert torch.equal(drawn, torch.from_numpy(np.concatenate(lacking))[order])


def test_entries_of_one_user_are_independent():
    users = torch.tensor([[4]]).expand(10_000, 2)
    drawn = Unseen(rows_of(LISTS, 10)).draw(users, torch.Generator().manual_seed(1))
    assert drawn.shape == (10_000, 2)
    both = torch.bincount((drawn[:, 0] // 2) * 5 + drawn[:, 1] // 2, minlength=25)
    assert chisquare(both.numpy()).pvalue > 1e-3


def test_a_catalogue_at_the_limit_of_its_ids():
    last = 2**31 - 2
    drawn = Unseen(rows_of([[0, last]], last + 1)).draw(torch.zeros(1000, dtype=torch.int64), torch.Generator().manual_seed(0))
    assert drawn.min() > 0
    assert drawn.max() < last
    assert drawn.double().mean() == pytest.approx(last / 2, rel=0.1)


def test_rows_without_any_interaction_have_every_item_to_draw():
    rows = Unseen(rows_of([[], []], 3))
    assert set(rows.draw(torch.tensor([0, 1] * 50), torch.Generator().manual_seed(0)).tolist()) == {0, 1, 2}
    assert rows.draw(torch.empty(0, dtype=torch.int64)).shape == (0,)


def test_rows_are_shared_or_copied_but_never_written():
    rows = rows_of(LISTS, 10)
    assert Unseen(rows).items.data_ptr() == rows.indices.ctypes.data
    rows.indices.flags.writeable = rows.indptr.flags.writeable = False
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        locked = Unseen(rows)
    assert locked.items.tolist() == rows.indices.tolist()


def test_the_generator_decides():
    rows, users = Unseen(rows_of(LISTS, 10)), torch.arange(9).repeat(20)
    first = rows.draw(users, torch.Generator().manual_seed(5))
    assert torch.equal(first, rows.draw(users, torch.Generator().manual_seed(5)))
    torch.manual_seed(5)
    assert torch.equal(first, rows.draw(users))
    assert not torch.equal(first, rows.draw(users))


def test_what_cannot_be_drawn_is_named():
    rows = Unseen(rows_of([[0], [0, 1, 2]], 3))
    with pytest.raises(InputError, match=r"user 1 has all 3 items, so there is no negative"):
        rows.draw(torch.tensor([0, 1]))
    with pytest.raises(InputError, match=r"users must lie in \[0, 2\); got -1 to 2"):
        rows.draw(torch.tensor([2, -1]))
    with pytest.raises(InputError, match="0 items"):
        Unseen(rows_of([[]], 0))
    with pytest.raises(InputError, match="items of a user must rise"):
        Unseen(rows_of([[2, 1]], 3))
