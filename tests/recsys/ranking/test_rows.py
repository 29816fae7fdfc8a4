from __future__ import annotations

import numpy as np
import pytest

from graphcl.errors import InputError
from graphcl.recsys.ranking.rows import (
    Rows,
    check_rows,
    contains,
    degrees,
    fingerprint,
    holds,
    matrix,
    pairs,
    popularity,
    union,
)


def rows_of(*lists, items=6):
    indptr = np.concatenate([[0], np.cumsum([len(row) for row in lists])]).astype(np.int64)
    return Rows(indptr, np.array([i for row in lists for i in row], dtype=np.int32), len(lists), items)


DATA = rows_of([1, 4], [], [0, 1, 5], [])


def test_good_rows_pass_and_bad_ones_are_named():
    check_rows(DATA, "train")
    check_rows(rows_of([], []), "train")
    check_rows(rows_of([5], [0]), "train")  # a fall from one user to the next is none
    with pytest.raises(InputError, match="those of user 1 do not"):
        check_rows(rows_of([0], [2, 2]), "train")
    with pytest.raises(InputError, match="those of user 2 do not"):
        check_rows(rows_of([0], [], [3, 2]), "train")
    with pytest.raises(InputError, match=r"item ids must lie in \[0, 6\)"):
        check_rows(rows_of([6]), "train")
    with pytest.raises(InputError, match="valid: indptr must rise"):
        check_rows(Rows(np.array([0, 1]), np.array([0, 1], dtype=np.int32), 1, 6), "valid")


def test_pairs_follow_the_order_of_the_users():
    row, item = pairs(DATA, np.array([2, 1, 0, 2]))
    assert row.tolist() == [0, 0, 0, 2, 2, 3, 3, 3]
    assert item.tolist() == [0, 1, 5, 1, 4, 0, 1, 5]
    assert [len(part) for part in pairs(DATA, np.zeros(0, dtype=np.int64))] == [0, 0]


def test_membership_is_that_of_python_sets():
    rng = np.random.default_rng(0)
    lists = [sorted(rng.choice(17, size=rng.integers(0, 9), replace=False)) for _ in range(23)]
    rows, users = rows_of(*lists, items=17), rng.permutation(23)[:11]
    items = rng.integers(-1, 17, size=(11, 13))
    want = [[item in set(lists[user]) for item in listed] for user, listed in zip(users, items, strict=True)]
    assert contains(rows, users, items).tolist() == want
    row, item = np.nonzero(items >= 0)[0], items[items >= 0]
    assert holds(rows, users, row, item).tolist() == [i in set(lists[users[r]]) for r, i in zip(row, item, strict=True)]
    assert not contains(rows_of([], items=3), np.array([0]), np.array([[0, -1]])).any()


def test_counts_and_union():
    assert degrees(DATA).tolist() == [2, 0, 3, 0]
    assert popularity(DATA).tolist() == [1, 2, 0, 0, 1, 1]
    both = union(DATA, rows_of([0, 1], [3], [], []))
    assert both.indptr.tolist() == [0, 3, 4, 7, 7]
    assert both.indices.tolist() == [0, 1, 4, 3, 0, 1, 5]
    assert both.indices.dtype == np.int32
    assert matrix(DATA).toarray()[2].tolist() == [1, 1, 0, 0, 0, 1]


def test_the_fingerprint_is_of_content_and_sizes():
    assert fingerprint(DATA) == fingerprint(rows_of([1, 4], [], [0, 1, 5], []))
    others = [rows_of([1], [4], [0, 1, 5], []), rows_of([1, 4], [], [0, 1, 4], []), rows_of([1, 4], [], [0, 1, 5], [], items=7)]
    assert fingerprint(DATA) not in {fingerprint(other) for other in others}
