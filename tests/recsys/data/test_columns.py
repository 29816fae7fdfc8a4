from datetime import UTC, date, datetime

import numpy as np
import polars as pl
import pytest

from graphcl.datasets.faults import Faults
from graphcl.datasets.frames import Table
from graphcl.errors import InputError
from graphcl.recsys.data.columns import Columns, find_columns, read_ids, read_times, read_weights

NAMED = {"user": None, "item": None, "weight": None, "time": None}
NOON = int(datetime(2024, 3, 31, 12, tzinfo=UTC).timestamp())


def table(text=False, **columns):
    frame = pl.DataFrame({name: pl.Series(values, strict=False) for name, values in columns.items()})
    return Table("r.csv", frame, np.arange(2, 2 + frame.height), unit="line" if text else "row", text=text)


def test_usual_names_are_found_and_given_ones_come_first():
    head = table(User_ID=[1], item=[1], other=[1], rating=[1], timestamp=[1])
    assert find_columns(head, **NAMED) == Columns("User_ID", "item", "rating", "timestamp")
    assert find_columns(head, **(NAMED | {"user": "other", "time": "rating"})).user == "other"
    assert find_columns(table(user=[1], item=[1]), **NAMED).names() == ["user", "item"]


def test_missing_columns_are_said_with_what_there_is():
    with pytest.raises(
        InputError, match=r"r.csv: expected a column of items called item, item_id or itemid, found user, product"
    ):
        find_columns(table(user=[1], product=[1]), **NAMED)
    with pytest.raises(InputError, match=r"unknown column 'usr'; did you mean user"):
        find_columns(table(user=[1], item=[1]), **(NAMED | {"user": "usr"}))
    with pytest.raises(InputError, match="got 'user' twice"):
        find_columns(table(user=[1], item=[1]), **(NAMED | {"item": "user"}))


def test_ids_that_are_missing_are_faults_with_their_place():
    faults = Faults()
    assert read_ids(table(text=True, user=[" 007", "7 "]), "user", "user", faults).to_list() == ["007", "7"]
    faults.check()
    read_ids(table(text=True, user=["a", " ", None]), "user", "user", faults)
    read_ids(table(item=[1.0, float("nan")]), "item", "item", faults)
    with pytest.raises(
        InputError, match=r"r.csv line 3, column 'user': no user; every .*; r.csv row 3, column 'item': no item"
    ):
        faults.check()


def test_weights_are_numbers_of_zero_or_more():
    faults = Faults()
    assert read_weights(table(w=["1", " 2.5 ", "0"]), "w", faults).tolist() == [1, 2.5, 0]
    assert read_weights(table(w=[1, 2]), "w", faults).dtype == np.float32
    faults.check()
    read_weights(table(w=["1", "x", "-2", None]), "w", faults)
    with pytest.raises(InputError, match=r"row 3, column 'w': expected a weight of 0 or more, got 'x'; r.csv row 4.*got '-2'"):
        faults.check()
    with pytest.raises(InputError, match="expected numbers as weights, got Boolean"):
        read_weights(table(w=[True]), "w", Faults())


@pytest.mark.parametrize(
    "cells",
    [
        [
            "2024-03-31T12:00:00Z",
            "2024-03-31 12:00:00",
            "2024-03-31T14:00:00+02:00",
            "2024-03-31 12:00",
            "2024-03-31T12:00:00.75Z",
        ],
        [f"{NOON}", f" {NOON}.9 "],
        [datetime(2024, 3, 31, 12), datetime(2024, 3, 31, 12, 0, 0, 5)],
        [NOON, NOON],
        [NOON + 0.5, float(NOON)],
    ],
)
def test_times_of_any_make_are_whole_seconds(cells):
    faults = Faults()
    assert set(read_times(table(t=cells), "t", faults).tolist()) == {NOON}
    faults.check()


def test_dates_are_their_midnight_and_long_numbers_keep_every_digit():
    assert read_times(table(t=[date(1970, 1, 2)]), "t", Faults()).tolist() == [86400]
    assert read_times(table(t=["1970-01-02", "1969-12-31"]), "t", Faults()).tolist() == [86400, -86400]
    assert read_times(table(t=["1711886400123456789"]), "t", Faults()).tolist() == [1711886400123456789]


@pytest.mark.parametrize("bad", ["soon", "", None, "2024-13-01", "nan"])
def test_times_that_cannot_be_read_are_faults_with_their_place(bad):
    faults = Faults()
    read_times(table(text=True, t=["5", bad]), "t", faults)
    with pytest.raises(InputError, match=r"r.csv line 3, column 't': expected a number or a date like 2024-03-31"):
        faults.check()


def test_columns_that_are_no_times_are_refused():
    with pytest.raises(InputError, match="expected numbers or dates as times, got Boolean"):
        read_times(table(t=[True]), "t", Faults())
