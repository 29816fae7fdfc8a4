import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphcl.errors import InputError
from graphcl.recsys.data import Events, IdMap
from graphcl.recsys.data.events import as_events

ROWS = [(0, 1), (1, 0), (0, 1), (0, 0), (0, 1)]


@pytest.mark.parametrize(
    ("policy", "values", "times"),
    [
        ("last", [8, 4, 2], [5, 7, 6]),
        ("first", [8, 1, 2], [5, 3, 6]),
        ("sum", [8, 21, 2], [5, 7, 6]),
        ("count", [1, 3, 1], [5, 7, 6]),
    ],
)
def test_duplicates_follow_the_policy_and_time_decides_before_order(events, policy, values, times):
    data = events(ROWS, weight=[1, 2, 4, 8, 16], time=[3, 6, 7, 5, 4]).interactions(policy)
    assert data.indptr.tolist() == [0, 2, 3]
    assert data.indices.tolist() == [0, 1, 0]
    assert data.values.tolist() == values
    assert data.times.tolist() == times


def test_order_decides_where_there_are_no_times_or_equal_ones(events):
    weight = [1, 2, 4, 8, 16]
    for time in (None, [9] * 5):
        assert events(ROWS, weight=weight, time=time).interactions("last").values.tolist() == [8, 16, 2]
        assert events(ROWS, weight=weight, time=time).interactions("first").values.tolist() == [8, 1, 2]


def test_duplicates_can_be_refused(events):
    with pytest.raises(InputError, match=r"user 'u0' and item 'i1' come twice \(2 rows repeat a pair\)"):
        events(ROWS).interactions("refuse")
    assert events(ROWS[:2]).interactions("refuse").num_interactions == 2
    with pytest.raises(InputError, match="expected weights to sum"):
        events(ROWS).interactions("sum")
    with pytest.raises(InputError, match="unknown duplicate policy 'lst'; did you mean last"):
        events(ROWS).interactions("lst")


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4), st.integers(0, 3)), max_size=40))
def test_interactions_are_what_a_dictionary_would_hold(rows):
    user, item, time = (np.array([row[n] for row in rows], dtype=np.int64) for n in range(3))
    weight = np.arange(len(rows), dtype=np.float32)
    data = Events(IdMap.count(5), IdMap.count(5), user.astype(np.int32), item.astype(np.int32), weight, time)
    last = {}
    for n in sorted(range(len(rows)), key=lambda n: rows[n][2]):
        last[rows[n][:2]] = float(n)
    got = data.interactions()
    assert dict(zip(zip(got.rows.tolist(), got.indices.tolist(), strict=True), got.values.tolist(), strict=True)) == last
    again = as_events(got).interactions("refuse")
    assert again.sha256 == got.sha256


def test_rows_go_in_order_of_user_then_time_then_as_given(events):
    rows = events([(1, 0), (0, 0), (1, 1), (0, 1), (1, 2)], time=[5, 9, 4, 9, 4])
    assert rows.by_time().tolist() == [1, 3, 2, 4, 0]
    assert events([(1, 0), (0, 0), (1, 1)]).by_time().tolist() == [1, 0, 2]


def test_events_are_left_as_they_are(events):
    rows = events(ROWS)
    assert as_events(rows) is rows
    assert len(rows.take(np.array([0, 2]))) == 2
