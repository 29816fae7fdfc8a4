import polars as pl
import pytest

from graphcl.datasets.edge_table import read_edges
from graphcl.datasets.faults import Faults
from graphcl.datasets.frames import read_table
from graphcl.errors import InputError


def read(source, first=None, second=None, weight=None):
    faults = Faults()
    rows = read_edges(read_table(source, "edges"), faults, source=first, target=second, weight=weight)
    faults.check()
    return rows


@pytest.mark.parametrize(
    ("header", "ends"),
    [("k,Source,Target", "bc"), ("dst,k,src", "ca"), ("from,k,to", "ac"), ("p,q,r", "ab"), ("source,q,r", "ab")],
)
def test_the_ends_are_found_by_name_or_place(csv, header, ends):
    rows = read(csv("e.csv", f"{header}\na,b,c\n"))
    assert rows.source[0] + rows.target[0] == ends


def test_the_ends_and_the_weight_can_be_named(csv):
    path = csv("e.csv", "p,q,w\na,b,2\n")
    assert read(path, second="p").source[0] == "b"
    rows = read(path, first="q", second="p", weight="w")
    assert (rows.source[0], rows.target[0], rows.weight[0]) == ("b", "a", 2)
    assert read(path).weight is None
    assert read(csv("e.csv", "p,q,weight\na,b,2\n")).weight.tolist() == [2]


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("source,target\na,b\n,b\n", {}, r"e\.csv line 3: no id in column 'source'"),
        ("source,target\na\n", {}, r"e\.csv line 2: no id in column 'target'"),
        ("source\na\n", {}, "expected two columns of ids, got 1 column: source"),
        ("source,target\na,b\n", {"first": "sourc"}, "e.csv: unknown column 'sourc'; did you mean source"),
        ("source,target\na,b\n", {"first": "source", "second": "source"}, "got 'source' twice"),
        ("a,b,weight\nu,v,-1\n", {}, r"e\.csv line 2, column 'weight': expected a weight of 0 or more, got '-1'"),
        ("a,b,weight\nu,v,nan\n", {}, "got 'nan'"),
        ("a,b,weight\nu,v,\n", {}, "got an empty cell"),
        ("a,b,weight\nu,v,x\n", {}, "got 'x'"),
    ],
)
def test_faults_say_line_and_column(csv, text, options, message):
    with pytest.raises(InputError, match=message):
        read(csv("e.csv", text), **options)


def test_weights_must_be_numbers():
    with pytest.raises(InputError, match="expected numbers as weights, got Boolean"):
        read(pl.DataFrame({"a": [1], "b": [2], "weight": [True]}))
