import numpy as np
import pytest

from graphcl.errors import InputError
from graphcl.recsys.data import IdMap
from graphcl.recsys.sequences import given_histories

ITEMS = IdMap.of(["a", "b", "c"], "item")


def test_unknown_items_are_left_out_and_counted(listed):
    found, unknown = given_histories({"x": ["c", "?", "a", "a"], "y": ["?"], "z": []}, ITEMS)
    assert listed(found) == [[2, 0, 0], [], []]
    assert unknown == 2
    assert found.users.ids.to_list() == ["x", "y", "z"]
    assert found.items is ITEMS


def test_ids_may_be_numbers_of_any_spelling(listed):
    numbers = IdMap.of([30, 10], "item")
    found, unknown = given_histories({7: np.array([10, 30, 5]), 8: ["30"]}, numbers)
    assert (listed(found), unknown) == ([[1, 0], [0]], 1)


def test_nobody_is_no_row():
    found, unknown = given_histories({}, ITEMS)
    assert (found.num_users, found.num_events, unknown) == (0, 0, 0)


def test_a_history_that_is_no_list_is_told_with_its_user():
    with pytest.raises(InputError, match="user 'x': expected a list of ids, got the text 'abc'"):
        given_histories({"x": "abc"}, ITEMS)
