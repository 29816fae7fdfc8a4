import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphcl.errors import InputError
from graphcl.recsys.data import Events, IdMap
from graphcl.recsys.ranking import fingerprint
from graphcl.recsys.sequences import Sequences

ROWS = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 6), st.integers(0, 5)), max_size=40)


def log(rows, times=True):
    user, item, time = (np.array([row[n] for row in rows], dtype=np.int64) for n in range(3))
    users, items = IdMap.count(5, "user"), IdMap.count(7, "item")
    return Events(users, items, user.astype(np.int32), item.astype(np.int32), None, time if times else None)


@given(ROWS, st.booleans(), st.booleans())
def test_events_are_ordered_by_time_and_then_as_given(rows, times, dedup):
    found = Sequences.of_events(log(rows, times), dedup_consecutive=dedup)
    neighbours = ties = 0
    for user in range(5):
        mine = [row for row in rows if row[0] == user]
        mine = sorted(mine, key=lambda row: row[2]) if times else mine
        if dedup:
            mine = [row for n, row in enumerate(mine) if n == 0 or row[1] != mine[n - 1][1]]
        part = slice(found.indptr[user], found.indptr[user + 1])
        assert found.values[part].tolist() == [row[1] for row in mine]
        if times:
            assert found.times[part].tolist() == [row[2] for row in mine]
        neighbours += max(len(mine) - 1, 0)
        ties += sum(a[2] == b[2] for a, b in itertools.pairwise(mine))
    assert found.tie_share == (pytest.approx(ties / max(neighbours, 1)) if times else None)


@given(ROWS)
def test_pairs_and_their_fingerprint_are_those_of_the_events(rows):
    found, pairs = Sequences.of_events(log(rows)), log(rows).interactions()
    mine = found.interactions()
    assert mine.indices.tolist() == pairs.indices.tolist()
    assert mine.times.tolist() == pairs.times.tolist()
    assert found.fingerprint == fingerprint(pairs)
    assert found.jagged().indptr.tolist() == found.indptr.tolist()
    assert found.jagged().values.tolist() == found.values.tolist()


@given(ROWS, st.integers(0, 6), st.booleans())
def test_what_was_cut_in_time_is_put_together_again(rows, cut, times):
    whole = Sequences.of_events(log(sorted(rows, key=lambda row: row[2]), times))
    when = Sequences.of_events(log(sorted(rows, key=lambda row: row[2]))).times
    together = whole.select(when < cut).extended(whole.select(when >= cut))
    assert together.values.tolist() == whole.values.tolist()
    assert together.indptr.tolist() == whole.indptr.tolist()
    assert (together.times is None) == (not times)
    assert together.sha256 == whole.sha256


def test_a_checksum_knows_the_order_and_the_fingerprint_does_not(sequences):
    first, second = sequences([[0, 1], [2]]), sequences([[1, 0], [2]])
    assert first.sha256 != second.sha256
    assert first.fingerprint == second.fingerprint


def test_a_row_that_says_what_it_holds(events):
    found = Sequences.of_events(events([(0, 0, 1), (0, 1, 1), (0, 1, 2), (1, 0, 2)]))
    assert str(found) == "4 events of 2 users and 2 items; 50.0% of neighbours have the same time"
    assert (found.num_events, found.num_users, found.num_items, found.lengths.tolist()) == (4, 2, 2, [3, 1])


def test_bad_input_is_told(sequences):
    users, items = IdMap.count(2, "user"), IdMap.count(3, "item")
    values, indptr = np.array([0, 1, 2], dtype=np.int32), np.array([0, 2, 3])
    with pytest.raises(InputError, match="expected values as int32"):
        Sequences(users, items, values.astype(np.int64), indptr)
    with pytest.raises(InputError, match=r"expected indptr as int64 of shape \(3,\)"):
        Sequences(users, items, values, indptr[:2])
    with pytest.raises(InputError, match="expected indptr to climb from 0 to 3, got 0 to 2"):
        Sequences(users, items, values, np.array([0, 1, 2]))
    with pytest.raises(InputError, match="expected item numbers from 0 to 2, got 0 to 3"):
        Sequences(users, items, np.array([0, 1, 3], dtype=np.int32), indptr)
    with pytest.raises(InputError, match=r"expected times as int64 of shape \(3,\)"):
        Sequences(users, items, values, indptr, np.zeros(2, dtype=np.int64))
    with pytest.raises(InputError, match="those of user number 0 do; use of_events"):
        Sequences(users, items, values, indptr, np.array([5, 4, 3]))
    Sequences(users, items, values, indptr, np.array([4, 5, 3]))  # another user may be earlier
    with pytest.raises(InputError, match="the item ids are not those of the sequences that they extend"):
        sequences([[0]], items=1).extended(sequences([[0]], items=2))
    with pytest.raises(InputError, match="times on both sides or on neither"):
        Sequences(users, items, values, indptr).extended(Sequences(users, items, values, indptr, np.zeros(3, dtype=np.int64)))
