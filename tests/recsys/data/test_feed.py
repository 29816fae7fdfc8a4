import gzip
import io

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphcl.errors import InputError
from graphcl.recsys.data import feed as module
from graphcl.recsys.data.feed import _blocks, open_feed

FRAME = pl.DataFrame({"user": [1, 2, 3], "item": ["x", "y", "z"]})


def rows_of(source, *columns):
    feed = open_feed(source, "interactions")
    return [row for table in feed.batches(list(columns)) for row in table.frame.iter_rows()]


def test_every_make_of_file_and_frame_gives_the_same_rows(tmp_path):
    FRAME.write_csv(tmp_path / "a.csv")
    FRAME.write_csv(tmp_path / "a.tsv", separator="\t")
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress((tmp_path / "a.csv").read_bytes()))
    FRAME.write_parquet(tmp_path / "a.parquet")
    FRAME.write_ipc(tmp_path / "a.arrow")
    np.savez(tmp_path / "a.npz", user=[1, 2, 3], item=["x", "y", "z"], other=np.eye(2))
    pandas = pd.DataFrame(FRAME.to_dict(as_series=False))
    frames = [FRAME, FRAME.lazy(), pandas, iter([FRAME[:1], pandas[1:]])]
    for source in [*sorted(tmp_path.iterdir()), *frames]:
        got = [(item, str(user)) for item, user in rows_of(source, "item", "user")]
        assert got == [("x", "1"), ("y", "2"), ("z", "3")], source


def test_arrow_tables_batches_and_readers_are_frames():
    pa = pytest.importorskip("pyarrow")
    table = pa.table(FRAME.to_dict(as_series=False))
    for source in (table, table.to_batches()[0], table.to_reader(), table.to_batches()):
        assert rows_of(source, "user", "item") == FRAME.rows()


def test_pandas_columns_keep_zones_integers_and_gaps():
    frame = pd.DataFrame(
        {
            "t": pd.to_datetime(["2020-01-01T02:00:00+02:00", None], utc=True),
            "n": pd.array([2**60 + 1, None], dtype="Int64"),
            "s": ["a", None],
        }
    )
    got = rows_of(frame, "t", "n", "s")
    assert (got[0][0].timestamp(), *got[0][1:]) == (1577836800, 2**60 + 1, "a")
    assert got[1] == (None, None, None)


@pytest.mark.parametrize("kind", ["csv", "parquet", "arrow"])
def test_files_come_in_batches_that_know_their_rows(tmp_path, monkeypatch, kind):
    monkeypatch.setattr(module, "BATCH_ROWS", 10)
    monkeypatch.setattr(module, "BLOCK_BYTES", 100)
    path = tmp_path / f"a.{kind}"
    frame = pl.DataFrame({"user": range(55), "item": [f"item{n}" for n in range(55)]})
    {"csv": frame.write_csv, "parquet": frame.write_parquet, "arrow": frame.write_ipc}[kind](path)
    tables = list(open_feed(path, "interactions").batches(["user"]))
    assert len(tables) > 5
    assert max(table.frame.height for table in tables) <= 20
    first = 2 if kind == "csv" else 1
    assert np.concatenate([table.rows for table in tables]).tolist() == list(range(first, first + 55))
    assert tables[-1].place(-1) == (f"a.csv line {56}" if kind == "csv" else f"a.{kind} row 55")


@given(st.lists(st.text(alphabet='ab,"\n\r', max_size=6), max_size=12), st.integers(1, 9))
def test_blocks_are_whole_lines_however_they_are_cut(cells, size):
    stream = io.BytesIO()
    for cell in cells:
        stream.write(('"' + cell.replace('"', '""') + '"\n').encode())
    content = stream.getvalue()
    blocks = list(_blocks(io.BytesIO(content), size))
    assert b"".join(blocks) == content
    assert all(block.count(b'"') % 2 == 0 and block.endswith(b"\n") for block in blocks)


def test_blank_lines_mean_nothing_but_empty_cells_do(write):
    path = write("a.csv", "user,item,note\n1,2,\n\n,,x\n3,4,y\n\n")
    (table,) = open_feed(path, "interactions").batches(["user", "item"])
    assert table.frame.rows() == [("1", "2"), (None, None), ("3", "4")]
    assert table.rows.tolist() == [2, 4, 5]


def test_typed_headers_lose_their_types(write):
    path = write("ml.inter", "user_id:token\titem_id:token\trating:float\n1\t2\t3\n")
    assert open_feed(path, "interactions").head.frame.columns == ["user_id", "item_id", "rating"]
    assert rows_of(path, "rating", "user_id") == [("3", "1")]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.csv", "", "a.csv: expected a header line and rows of interactions"),
        (
            "a.csv",
            "1,2\n3,4\n",
            "a.csv line 1: expected column names, got '1,2'; add a header line such as user,item,timestamp",
        ),
        ("a.csv", "user;item\n1;2\n", "expected columns separated by ',', but the header has ';'"),
        ("a.csv", "user,item\n1,2,3\n", r"a.csv: cannot be read as csv \(found more fields"),
        ("a.xlsx", "x", r"expected a file called .csv, .* or .npz, got '.xlsx'"),
        ("a.parquet", "nonsense", r"a.parquet: cannot be read as parquet .*; is it damaged"),
        ("a.csv.gz", "nonsense", "a.csv.gz: cannot be read as"),
    ],
)
def test_files_that_cannot_be_read_say_why(write, name, text, message):
    with pytest.raises(InputError, match=message):
        rows_of(write(name, text), "user", "item")


def test_what_is_no_table_is_refused(tmp_path):
    with pytest.raises(InputError, match="found none"):
        open_feed(tmp_path / "no.csv", "interactions")
    for source, got in ((5, "got int"), ([], "an iterable of nothing"), ([1], "an iterable of int")):
        with pytest.raises(InputError, match=got):
            open_feed(source, "interactions")
    with pytest.raises(InputError, match="batch 2 lacks the column 'item'"):
        rows_of([FRAME, FRAME.drop("item")], "user", "item")
