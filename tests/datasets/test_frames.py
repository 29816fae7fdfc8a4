import gzip
import subprocess
import sys

import numpy as np
import polars as pl
import pytest

from graphcl.datasets.frames import read_table, to_text
from graphcl.errors import InputError


def test_text_stays_text_and_lines_are_those_of_the_file(csv):
    table = read_table(csv("e.csv", "\ufeffsource, target\n007,a\n\n1.0,b\n"), "edges")
    assert table.frame.columns == ["source", "target"]
    assert table.frame["source"].to_list() == ["007", "1.0"]
    assert table.place(1) == "e.csv line 4"


def test_every_kind_of_file_gives_the_same_columns(csv, tmp_path):
    text = "source,target\na,b\nb,c\n"
    frame = pl.DataFrame({"source": ["a", "b"], "target": ["b", "c"]})
    (tmp_path / "e.csv.gz").write_bytes(gzip.compress(text.encode()))
    frame.write_parquet(tmp_path / "e.parquet")
    np.savez(tmp_path / "e.npz", source=np.array(["a", "b"]), target=np.array(["b", "c"]))
    sources = [
        csv("e.csv", text),
        csv("E.TSV", text.replace(",", "\t")),
        *(tmp_path / f"e.{kind}" for kind in ("csv.gz", "parquet", "npz")),
    ]
    for source in (*sources, str(sources[0]), frame, frame.to_pandas()):
        assert read_table(source, "edges").frame.equals(frame)


WITHOUT_PYARROW = """
import sys
sys.modules["pyarrow"] = None
import pandas as pd
from graphcl.datasets.frames import read_table, to_text
table = read_table(pd.DataFrame({
    "id": pd.array([1, None], dtype="Int64"), "b": ["x", None], "c": [1, "z"], "d": pd.Categorical(["u", "v"]),
}), "nodes")
print([to_text(table.frame[name], strip=False).to_list() for name in table.frame.columns])
"""


def test_pandas_is_read_without_pyarrow():
    done = subprocess.run([sys.executable, "-c", WITHOUT_PYARROW], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[['1', None], ['x', None], ['1', 'z'], ['u', 'v']]"


def test_ids_of_any_type_become_text():
    assert to_text(pl.Series([1.0, 2.5, float("nan")]), strip=False).to_list() == ["1", "2.5", None]
    assert to_text(pl.Series([3, None]), strip=False).to_list() == ["3", None]
    assert to_text(pl.Series([" 007 ", ""]), strip=True).to_list() == ["007", None]
    assert to_text(pl.Series([" a"]), strip=False).to_list() == [" a"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("e.csv", b"", "the file is empty"),
        ("e.csv", b"source,target\n", r"e\.csv: expected at least one row of edges, got none"),
        ("e.csv", b"0,1\n1,2\n", r"e\.csv line 1: expected column names, got '0,1'; add a header line such as source,target"),
        ("e.csv", b"source;target\na;b\n", "separated by ',', but the header has ';'"),
        ("e.csv", b"source,target\na,b,c\n", "cannot be read as csv .*more fields"),
        ("e.csv", b"source,target\n\xff\xfe,b\n", "cannot be read as csv .*utf-8"),
        ("e.csv.gz", gzip.compress(b"source,target\n" + b"a,b\n" * 999)[:-20], "cannot be read as csv"),
        ("e.csv.gz", b"source,target\n", "cannot be read as csv .*gzip"),
        ("e.parquet", b"PAR1 and nothing else", "cannot be read as parquet"),
        ("e.npz", b"PK", r"cannot be read as an \.npz archive"),
        ("e.xlsx", b"", r"expected a \.csv, .* got '\.xlsx'"),
        ("e", b"", "expected a .csv"),
    ],
)
def test_files_that_cannot_be_read_say_why(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        read_table(tmp_path / name, "edges")
    assert "\n" not in str(caught.value)


def test_missing_files_folders_and_other_objects_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"expected a file of edges at .*no\.csv, found none"):
        read_table(tmp_path / "no.csv", "edges")
    (tmp_path / "d.csv").mkdir()
    with pytest.raises(InputError, match="found a folder"):
        read_table(tmp_path / "d.csv", "edges")
    with pytest.raises(InputError, match="expected a path or a pandas or polars frame, got list"):
        read_table([1, 2], "edges")


@pytest.mark.parametrize(
    ("role", "arrays", "message"),
    [
        ("edges", {"edge_index": np.ones((3, 4))}, r"edge_index: expected shape \(2, E\), got \(3, 4\)"),
        ("edges", {"source": np.ones(2)}, "expected edge_index, or source and target, found source"),
        ("edges", {"source": np.ones(2), "target": np.ones(3)}, "arrays of one length"),
        ("nodes", {"id": np.ones(2), "x": np.ones((3, 4))}, "arrays of one length"),
        ("nodes", {"z": np.ones((2, 2))}, "expected id and x, found z"),
    ],
)
def test_archives_that_do_not_fit_are_refused(tmp_path, role, arrays, message):
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(InputError, match=message):
        read_table(tmp_path / "a.npz", role)
