import polars as pl
import pytest

from graphcl.datasets.faults import Faults
from graphcl.datasets.frames import read_table
from graphcl.datasets.node_table import read_nodes
from graphcl.errors import InputError


def read(source, id=None, features=None, label=None):
    faults = Faults()
    nodes = read_nodes(read_table(source, "nodes"), faults, id=id, features=features, label=label)
    faults.check()
    return nodes


def test_defaults_take_the_id_the_label_and_every_numeric_column(csv):
    nodes = read(csv("n.csv", "age,name,node_id,label\n1,ann,007,b\n2.5,bob,8,a\n"))
    assert nodes.ids.to_list() == ["007", "8"]
    assert nodes.feature_names == ["age"]
    assert nodes.x.tolist() == [[1], [2.5]]
    assert nodes.labels.names == ["a", "b"]


def test_columns_can_be_chosen(csv):
    path = csv("n.csv", "k,a,b,y\nu,1,2,0\nv,3,4,1\n")
    assert read(path, features=["b"]).x.tolist() == [[2], [4]]
    assert read(path, features=[]).x is None
    assert read(path, label="a").feature_names == ["b", "y"]
    assert read(path, id="b").ids.to_list() == ["2", "4"]
    assert read(path, features=["a", "y"]).labels is None


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("id,a\nu,1\n,2\n", {}, r"n\.csv line 3: no id in column 'id'"),
        ("id,a\nu,1\nv,2\nu,3\n", {}, r"n\.csv line 4: id 'u' is already in line 2"),
        ("id,a\nu,1\nv,\nw,3\n", {}, r"n\.csv line 3, column 'a' \(id 'v'\): expected a number, the cell is empty"),
        ("id,a\nu,1\nv,nan\nw,3\n", {}, r"line 3, column 'a' \(id 'v'\): expected a finite number, got 'nan'"),
        ("id,a\nu,1\nv,inf\nw,3\n", {}, "expected a finite number, got 'inf'"),
        ("id,a\nu,1\nv,oops\nw,3\n", {}, "line 3, column 'a' .*expected a number, got 'oops'"),
        ("id,a\nu,x\nv,y\n", {"features": ["a"]}, "line 2, column 'a' .*expected a number, got 'x'"),
        ("id,a\nu,1\n", {"features": ["aa"]}, "n.csv: unknown column 'aa'; did you mean a"),
        ("id,a\nu,1\n", {"id": "idd"}, "unknown column 'idd'; did you mean id"),
        ("id,a\nu,1\n", {"features": ["id"]}, "'id' is the id or the label"),
        ("id,a\nu,1\n", {"label": "id"}, "'id' is both the id and the label"),
        ("id,y\nu,\n", {}, "column 'y': expected a class for some nodes"),
    ],
)
def test_faults_say_line_column_and_id(csv, text, options, message):
    with pytest.raises(InputError, match=message):
        read(csv("n.csv", text), **options)


def test_all_kinds_of_faults_come_in_one_line(csv):
    with pytest.raises(InputError) as caught:
        read(csv("n.csv", "id,a,b\nu,1,1\nu,2,nan\n,3,3\nw,,4\n"))
    said = str(caught.value)
    assert said.count("; ") >= 3
    assert "line 4: no id" in said
    assert "line 3: id 'u' is already in line 2" in said
    assert said.endswith("and 1 more")


def test_a_frame_counts_rows_and_other_types_are_refused():
    frame = pl.DataFrame({"id": [1, 2], "when": [None, None]}, schema={"id": pl.Int64, "when": pl.Date})
    assert read(frame).x is None
    with pytest.raises(InputError, match="nodes, column 'when': expected numbers, got Date"):
        read(frame, features=["when"])
    with pytest.raises(InputError, match="nodes row 2, column 'a'"):
        read(pl.DataFrame({"id": [1, 2], "a": [1.0, None]}))
