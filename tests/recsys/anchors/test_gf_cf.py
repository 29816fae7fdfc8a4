from __future__ import annotations

import numpy as np
import pytest
import torch

from graphcl.errors import InputError
from graphcl.recsys.anchors import GFCF
from graphcl.recsys.ranking import Rows


def rows_of(dense):
    indptr = np.concatenate([[0], np.cumsum(dense.sum(1))]).astype(np.int64)
    return Rows(indptr, np.nonzero(dense)[1].astype(np.int32), *dense.shape)


def random_rows(users=40, items=23, seed=0):
    dense = np.random.default_rng(seed).random((users, items)) < 0.25
    dense[:, 7] = False  # an item that nobody has
    dense[4] = False  # a user without anything
    return dense.astype(np.float64), rows_of(dense)


def reference(train, histories, alpha, rank):
    users, items = train.sum(1), train.sum(0)
    root = np.sqrt(items)
    inverse = np.divide(1, root, out=np.zeros_like(root), where=root > 0)
    block = train * np.divide(1, np.sqrt(users), out=np.zeros_like(users), where=users > 0)[:, None] * inverse
    right = np.linalg.svd(block)[2][:rank].T
    return histories @ (block.T @ block + alpha * (inverse[:, None] * right) @ (right.T * root))


@pytest.mark.parametrize(("alpha", "rank"), [(0.3, 5), (1.5, 1), (0.0, 5), (0.3, 22), (0.3, 256)])
def test_scores_are_the_two_filters(alpha, rank):
    dense, rows = random_rows()
    model = GFCF(alpha, rank=rank).fit(rows)
    got = model.score(torch.arange(40)).numpy()
    np.testing.assert_allclose(got, reference(dense, dense, alpha, min(rank, 22)), rtol=1e-4, atol=1e-5)
    assert got.dtype == np.float32
    assert (got[4] == 0).all()
    assert (got[:, 7] == 0).all()


def test_people_who_were_not_there_are_scored_by_the_same_filters():
    dense, rows = random_rows()
    model = GFCF(rank=4).fit(rows)
    new = (np.random.default_rng(5).random((6, 23)) < 0.3).astype(np.float64)
    new[0, 7] = 1  # an item that training does not know says nothing
    want = reference(dense, new, 0.3, 4)
    np.testing.assert_allclose(model.score_histories(rows_of(new)).numpy(), want, rtol=1e-4, atol=1e-5)
    assert torch.equal(model.score_histories(rows), model.score(torch.arange(40)))


def test_every_direction_kept_gives_back_the_history_itself():
    dense, rows = random_rows(60, 11, seed=2)
    dense[:, 7] = 0
    local, both = (GFCF(alpha).fit(rows).score(torch.arange(60)).numpy() for alpha in (0.0, 0.5))
    np.testing.assert_allclose(both - local, 0.5 * dense, atol=1e-5)


def test_a_seed_gives_the_same_bits_and_renumbering_users_changes_nothing():
    dense, rows = random_rows()
    first = GFCF(rank=5, seed=3).fit(rows).score(torch.arange(40))
    assert torch.equal(first, GFCF(rank=5, seed=3).fit(rows).score(torch.arange(40)))
    order = np.random.default_rng(1).permutation(40)
    other = GFCF(rank=5).fit(rows_of(dense[order])).score(torch.arange(40))
    torch.testing.assert_close(other, first[torch.from_numpy(order)], rtol=1e-4, atol=1e-5)


def test_bad_input_is_told():
    for wrong in ({"alpha": -0.1}, {"alpha": np.nan}, {"rank": 0}):
        with pytest.raises(InputError, match="alpha must be >= 0 and rank >= 1"):
            GFCF(**wrong)
    with pytest.raises(InputError, match="GFCF has learnt nothing yet"):
        GFCF().score(torch.tensor([0]))
