import gzip
import zipfile

import pytest

from graphcl.datasets.ogb import load_ogb
from graphcl.errors import InputError

SMALL = {
    "arxiv/raw/edge.csv.gz": "0,1\n1,0\n1,2\n3,3\n",
    "arxiv/raw/node-feat.csv.gz": "0.5,1\n-2.25,0\n1e-3,4\n0,0\n",
    "arxiv/raw/node-label.csv.gz": "0\n1\n2\n0\n",
    "arxiv/raw/node_year.csv.gz": "2000\n2001\n2002\n2003\n",
    "arxiv/split/time/train.csv.gz": "2\n0\n",
    "arxiv/split/time/valid.csv.gz": "1\n",
    "arxiv/split/time/test.csv.gz": "3\n",
}


@pytest.fixture
def archive(tmp_path):
    def write(changes=(), more=()):
        path = tmp_path / "arxiv.zip"
        with zipfile.ZipFile(path, "w") as file:
            for member, text in {**SMALL, **dict(changes)}.items():
                if text is not None:
                    file.writestr(member, text if isinstance(text, bytes) else gzip.compress(text.encode()))
            for member in more:
                file.writestr(member, b"")
        return path

    return write


def read(path):
    return load_ogb(path, name="ogbn-arxiv")


def test_a_small_archive_is_read_where_it_lies(archive, tmp_path):
    data = read(archive(more=["arxiv/processed/", "arxiv/RELEASE_v1.txt"]))
    assert data.edge_index.tolist() == [[0, 1, 1, 2], [1, 0, 2, 1]]
    assert data.x.tolist() == [[0.5, 1], [-2.25, 0], [pytest.approx(1e-3), 4], [0, 0]]
    assert data.y.tolist() == [0, 1, 2, 0]
    assert data.train_mask.tolist() == [True, False, True, False]
    assert data.val_mask.tolist() == [False, True, False, False]
    assert data.test_mask.tolist() == [False, False, False, True]
    counts = data.provenance.counts
    assert [counts[key] for key in ("listed", "edges", "self_loops", "symmetrised")] == [4, 2, 1, 1]
    assert [path.name for path in tmp_path.iterdir()] == ["arxiv.zip"]


@pytest.mark.parametrize("member", ["../x", "/etc/x", "arxiv/../../x", "arxiv\\..\\x"])
def test_a_member_that_would_leave_the_folder_is_refused(archive, member):
    with pytest.raises(InputError, match=r"arxiv\.zip: member .* would leave the archive's folder"):
        read(archive(more=[member]))


@pytest.mark.parametrize(
    ("member", "text", "message"),
    [
        ("raw/edge", "0,1\n1,4\n", "expected node ids from 0 to 3, got 4"),
        ("raw/edge", "0,-1\n", "expected node ids from 0 to 3, got -1"),
        ("raw/edge", "0,1,2\n", r"expected integers of shape \(2, E\)"),
        ("raw/edge", "0,x\n", "expected a table of Int64 numbers"),
        ("raw/edge", "0.5,1\n", "expected a table of Int64 numbers"),
        ("raw/edge", "0,1\n1,\n", "expected a number in every cell, got an empty one"),
        ("raw/edge", "", "edge.csv.gz: expected a"),
        ("raw/edge", "0,0\n", "the graph is empty"),
        ("raw/edge", None, r"expected one \*/raw/edge\.csv\.gz, found none"),
        ("raw/edge", b"no gzip", "cut short or damaged"),
        ("raw/edge", gzip.compress(b"0,1\n" * 100)[:-9], "cut short or damaged"),
        ("raw/node-feat", "1,nan\n" * 4, "node-feat.csv.gz: expected finite"),
        ("raw/node-label", "0\n1\n", "same number of nodes everywhere, got features 4, labels 2"),
        ("raw/node-label", "0,1\n" * 4, "expected one column, got 2"),
        ("raw/node-label", "-1\n" * 4, "node-label.csv.gz"),
        ("split/time/train", "4\n", "train.csv.gz: expected one column of node ids from 0 to 3"),
        ("split/time/test", "1\n", "test.csv.gz: expected nodes of no other part of the split"),
    ],
)
def test_ill_formed_tables_are_named(archive, member, text, message):
    with pytest.raises(InputError, match=message):
        read(archive({f"arxiv/{member}.csv.gz": text}))


def test_two_splits_are_one_too_many(archive):
    with pytest.raises(InputError, match=r"expected one \*/split/\*/train\.csv\.gz, found arxiv/split/time.*split/other"):
        read(archive({"arxiv/split/other/train.csv.gz": "0\n"}))


def test_a_damaged_archive_is_said(archive, tmp_path):
    path = archive()
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(InputError, match="cut short or damaged"):
        read(path)
    with pytest.raises(InputError, match="expected a zip archive at"):
        read(tmp_path / "none.zip")
