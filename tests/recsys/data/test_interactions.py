from dataclasses import replace

import numpy as np
import pytest

from graphcl.errors import InputError
from graphcl.recsys.data import IdMap, Interactions


@pytest.fixture
def data():
    return Interactions(
        IdMap.of(["a", "b", "c", "d"], "user"),
        IdMap.of([10, 20, 30], "item"),
        np.array([0, 2, 2, 3, 3]),
        np.array([0, 2, 1], dtype=np.int32),
        np.array([5, 3, 1], dtype=np.float32),
        np.array([100, 300, 200]),
    )


def test_rows_degrees_and_matrix_agree(data):
    assert (data.num_users, data.num_items, data.num_interactions) == (4, 3, 3)
    assert data.rows.tolist() == [0, 0, 2]
    assert data.user_degrees.tolist() == [2, 0, 1, 0]
    assert data.item_degrees.tolist() == [1, 1, 1]
    assert data.to_scipy().toarray().tolist() == [[5, 0, 3], [0, 0, 0], [0, 1, 0], [0, 0, 0]]
    assert replace(data, values=None).to_scipy().toarray().sum() == 3
    assert str(data) == "3 interactions of 4 users and 3 items (25.0000%)"


def test_a_user_without_interactions_has_an_empty_row(data):
    assert data.user_items(0).tolist() == [0, 2]
    assert data.user_items(1).tolist() == []
    with pytest.raises(InputError, match="expected a user number from 0 to 3, got 4"):
        data.user_items(4)


def test_selecting_keeps_the_ids_and_compacting_drops_those_without_pairs(data):
    some = data.select(np.array([False, True, True]))
    assert some.users is data.users
    assert some.indptr.tolist() == [0, 1, 1, 2, 2]
    assert (some.indices.tolist(), some.values.tolist(), some.times.tolist()) == ([2, 1], [3, 1], [300, 200])
    small = some.compact()
    assert (small.users.ids.to_list(), small.items.ids.to_list()) == (["a", "c"], [20, 30])
    assert (small.indptr.tolist(), small.indices.tolist()) == ([0, 1, 2], [1, 0])
    assert small.compact() is small


def test_the_checksum_knows_ids_pairs_and_times_and_nothing_else(data):
    assert replace(data).sha256 == data.sha256
    others = [
        replace(data, users=IdMap.of(["a", "b", "c", "e"])),
        replace(data, indices=np.array([0, 1, 1], dtype=np.int32)),
        replace(data, times=np.array([100, 300, 201])),
        replace(data, values=None),
    ]
    assert len({data.sha256, *(other.sha256 for other in others)}) == 5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"indptr": np.array([0, 3])}, r"expected indptr as int64 of shape \(5,\), one row a user"),
        ({"indptr": np.array([0, 2, 1, 3, 3])}, "climb from 0 to 3"),
        ({"indptr": np.array([0, 2, 2, 3, 4])}, "climb from 0 to 3, got 0 to 4"),
        ({"indices": np.array([0, 2, 1])}, "expected indices as int32"),
        ({"indices": np.array([0, 3, 1], dtype=np.int32)}, "item numbers from 0 to 2, got 0 to 3"),
        ({"indices": np.array([2, 0, 1], dtype=np.int32)}, "user number 0 has 2 before 0"),
        ({"indices": np.array([1, 1, 1], dtype=np.int32)}, "user number 0 has 1 before 1"),
        ({"values": np.ones(3)}, "expected values as float32"),
        ({"times": np.ones(2, dtype=np.int64)}, r"expected times as int64 of shape \(3,\)"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(data, change, message):
    with pytest.raises(InputError, match=message):
        replace(data, **change)


def test_nothing_at_all_is_a_matrix_too():
    empty = Interactions(IdMap.count(0), IdMap.count(2), np.zeros(1, dtype=np.int64), np.zeros(0, dtype=np.int32))
    assert empty.to_scipy().shape == (0, 2)
    assert "empty" in str(empty)
