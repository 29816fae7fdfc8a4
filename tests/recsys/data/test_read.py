import numpy as np
import pandas as pd
import polars as pl
import pytest

from graphcl.errors import InputError
from graphcl.recsys.data import IdMap, feed, read_events, read_interactions

TEXT = "user,item,rating,timestamp\nann,007,5,30\nbob,7,3,20\nann,7,4,10\nann,007,1,40\n"


def test_rows_become_numbers_in_order_of_appearance(write):
    events = read_events(write("r.csv", TEXT))
    assert events.users.ids.to_list() == ["ann", "bob"]
    assert events.items.ids.to_list() == ["007", "7"]
    assert (events.user.tolist(), events.item.tolist()) == ([0, 1, 0, 0], [0, 1, 1, 0])
    assert (events.weight.tolist(), events.time.tolist()) == ([5, 3, 4, 1], [30, 20, 10, 40])
    assert (events.user.dtype, events.weight.dtype, events.time.dtype) == (np.int32, np.float32, np.int64)


def test_interactions_hold_each_pair_once(write):
    path = write("r.csv", TEXT)
    data = read_interactions(path)
    assert data.to_scipy().toarray().tolist() == [[1, 4], [0, 3]]
    assert read_interactions(path, duplicates="sum").values.tolist() == [6, 4, 3]
    with pytest.raises(InputError, match="user 'ann' and item '007' come twice"):
        read_interactions(path, duplicates="refuse")


def test_light_rows_are_left_out_with_their_users_and_counted(write):
    events = read_events(write("r.csv", TEXT), min_weight=4)
    assert events.users.ids.to_list() == ["ann"]
    assert events.weight.tolist() == [5, 4]
    assert events.left_out == (("below min_weight", 2),)
    with pytest.raises(InputError, match="got none, 4 weigh less than 9"):
        read_events(write("r.csv", TEXT), min_weight=9)
    with pytest.raises(InputError, match="min_weight=9 needs a column of weights"):
        read_events(pl.DataFrame({"user": [1], "item": [1]}), min_weight=9)


def test_ids_stay_integers_where_they_were_and_columns_can_be_named():
    frame = pd.DataFrame({"who": [3, 1], "what": [2.0, 5.0], "often": [1, 2]})
    data = read_interactions(frame, user="who", item="what", weight="often")
    assert data.users.ids.to_list() == [3, 1]
    assert data.items.encode([5]).tolist() == [1]
    assert data.values.tolist() == [1, 2]
    assert data.times is None


def test_batches_give_what_one_piece_gives(write, monkeypatch, tmp_path):
    random = np.random.default_rng(0)
    frame = pl.DataFrame({
        "user": random.integers(0, 50, 2000), "item": random.integers(0, 80, 2000),
        "rating": random.integers(1, 6, 2000), "timestamp": random.integers(0, 10**9, 2000),
    }).with_columns(pl.format("u{}", "user").alias("user"))  # fmt: skip
    frame.write_csv(tmp_path / "r.csv")
    frame.write_parquet(tmp_path / "r.parquet")
    want = read_interactions(frame)
    monkeypatch.setattr(feed, "BATCH_ROWS", 77)
    monkeypatch.setattr(feed, "BLOCK_BYTES", 500)
    assert read_interactions(tmp_path / "r.parquet").sha256 == want.sha256
    text = read_interactions(tmp_path / "r.csv")
    assert text.to_scipy().toarray().tolist() == want.to_scipy().toarray().tolist()
    assert text.items.ids.to_list() == [str(n) for n in want.items.ids]


def test_reading_stops_at_the_batch_with_the_fault(monkeypatch):
    def frames():
        yield pl.DataFrame({"user": [1], "item": [1], "weight": [1.0]})
        yield pl.DataFrame({"user": [1, None], "item": [None, 2], "weight": [-1.0, 1.0]})
        raise AssertionError("read on after a fault")

    with pytest.raises(InputError) as error:
        read_events(frames())
    said = str(error.value)
    assert "interactions row 3, column 'user': no user" in said
    assert "interactions row 2, column 'item': no item" in said
    assert "interactions row 2, column 'weight': expected a weight of 0 or more, got '-1.0'" in said


def test_faults_name_file_line_and_column(write):
    path = write("log.csv", "user,item,time\n1,2,3\n\n1,,soon\n")
    with pytest.raises(InputError, match=r"log.csv line 4, column 'item': no item; .*; log.csv line 4, column 'time'.*'soon'"):
        read_interactions(path)
    with pytest.raises(InputError, match=r"log.csv: expected at least one row of interactions, got none$"):
        read_interactions(write("log.csv", "user,item\n"))


def test_the_maps_of_a_model_can_be_gone_on_from(write):
    users, items = IdMap.of(["zoe", "ann"], "user"), IdMap.of(["7"], "item")
    events = read_events(write("r.csv", TEXT), users=users, items=items)
    assert events.users.ids.to_list() == ["zoe", "ann", "bob"]
    assert events.items.ids.to_list() == ["7", "007"]
    assert events.user.tolist() == [1, 2, 1, 1]
