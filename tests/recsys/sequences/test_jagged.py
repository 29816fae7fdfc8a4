import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from graphcl.errors import InputError
from graphcl.recsys.sequences import Jagged

LISTS = st.lists(st.lists(st.integers(0, 99), max_size=7), min_size=1, max_size=9)


def listed(data):
    return [part.tolist() for part in torch.split(data.values, data.lengths.tolist())]


@given(LISTS, st.integers(0, 8), st.randoms())
def test_rows_are_those_of_lists(lists, number, random):
    rows = Jagged.of(lists)
    values, indptr = rows.values.clone(), rows.indptr.clone()
    assert (rows.num_rows, rows.lengths.tolist()) == (len(lists), [len(row) for row in lists])
    assert listed(rows) == lists
    assert rows.rows.tolist() == [number for number, row in enumerate(lists) for _ in row]
    assert rows.positions.tolist() == [place for row in lists for place in range(len(row))]
    assert listed(rows.last(number)) == [row[-number:] if number else [] for row in lists]
    chosen = [random.randrange(len(lists)) for _ in range(random.randrange(5))]
    assert listed(rows.take(torch.tensor(chosen, dtype=torch.int64))) == [lists[row] for row in chosen]
    assert torch.equal(rows.values, values)
    assert torch.equal(rows.indptr, indptr)


@given(LISTS, st.integers(1, 9))
def test_chunks_are_the_rows_in_their_order_and_no_larger_than_asked_for_but_by_a_row(lists, values):
    chunks = Jagged.of(lists).chunks(values)
    assert [row for chunk in chunks for row in listed(chunk)] == lists
    assert all(chunk.num_rows and len(chunk.values) <= values + len(listed(chunk)[0]) for chunk in chunks)
    filled = [len(chunk.values) for chunk in chunks if len(chunk.values)]
    assert len(filled) <= 1 + sum(map(len, lists)) // values  # nor smaller than need be


def test_a_result_shares_nothing_with_its_source():
    rows = Jagged.of([[1, 2, 3], [4]])
    rows.last(2).values.zero_()
    rows.take(torch.tensor([0, 1])).values.zero_()
    assert rows.values.tolist() == [1, 2, 3, 4]


def test_runs_may_overlap():
    rows = Jagged.of([[5, 6, 7, 8]])
    runs = rows.spans(torch.tensor([0, 1, 3, 4]), torch.tensor([2, 3, 1, 0]))
    assert listed(runs) == [[5, 6], [6, 7, 8], [8], []]
    assert listed(runs.to("cpu")) == listed(runs)


def test_no_rows_are_rows():
    empty = Jagged.of([])
    assert (empty.num_rows, empty.values.dtype, empty.indptr.tolist()) == (0, torch.int64, [0])
    assert empty.last(3).num_rows == 0


def test_bad_input_is_told():
    with pytest.raises(InputError, match=r"rows must lie in \[0, 2\); got 0 to 2"):
        Jagged.of([[1], []]).take(torch.tensor([0, 2]))
    with pytest.raises(InputError, match="the newest values to keep must be 0 or more; got -1"):
        Jagged.of([[1]]).last(-1)
    with pytest.raises(InputError, match="the values of a chunk must be 1 or more; got 0"):
        Jagged.of([[1]]).chunks(0)
