import json

import pytest
import torch

from graphcl.datasets.wikics import load_wikics
from graphcl.errors import InputError

SMALL = {
    "features": [[0.5, 1], [0, -2], [3, 0]],
    "labels": [0, 2, 1],
    "links": [[1, 1, 0], [0, 2], []],
    "train_masks": [[True, False, False], [False, True, False]],
    "val_masks": [[0, 1, 0], [1, 0, 0]],
    "stopping_masks": [[False] * 3] * 2,
    "test_mask": [False, False, True],
}


@pytest.fixture
def read(tmp_path):
    def call(**changes):
        path = tmp_path / "data.json"
        path.write_text(json.dumps({**SMALL, **changes}))
        return load_wikics(path)

    return call


def test_a_small_file_is_read_with_one_column_a_split(read):
    data = read()
    assert data.x.tolist() == SMALL["features"]
    assert data.y.tolist() == [0, 2, 1]
    assert data.edge_index.tolist() == [[0, 1, 1, 2], [1, 0, 2, 1]]
    assert data.train_mask.tolist() == [[True, False], [False, True], [False, False]]
    assert data.val_mask.tolist() == [[False, True], [True, False], [False, False]]
    assert data.stopping_mask.shape == (3, 2)
    assert data.test_mask.tolist() == [False, False, True]
    assert data.test_mask.dtype == data.val_mask.dtype == torch.bool
    counts = data.provenance.counts
    assert [counts[key] for key in ("listed", "duplicates", "self_loops", "symmetrised")] == [5, 1, 1, 1]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"links": [[1], [3], []]}, "links: expected node ids from 0 to 2, got 3"),
        ({"links": [[1], [0]]}, "links: expected a list of neighbours for each of 3 nodes"),
        ({"links": [[1], [0.5], []]}, "links: expected int64 numbers, got float64"),
        ({"links": [[[1]], [[0]], []]}, "links: expected integers in the lists"),
        ({"links": [[], [], []]}, "the graph is empty"),
        ({"features": [[1, 2], [3], [4, 5]]}, "features: expected rows of numbers of one length"),
        ({"features": [["1", "2"]] * 3}, "features: expected float64 numbers, got <U1"),
        ({"features": [[1, float("nan")]] * 3}, "features: expected finite"),
        ({"labels": [0, 1]}, "same number of nodes everywhere, got features 3, labels 2"),
        ({"labels": [0, 1, 10**30]}, "labels: expected int64 numbers, got object"),
        ({"test_mask": [0, 1, 2]}, "test_mask: expected true or false for each node"),
        ({"train_masks": [[True], [False]]}, "train_mask 1"),
    ],
)
def test_ill_formed_parts_are_named(read, changes, message):
    with pytest.raises(InputError, match=message):
        read(**changes)


@pytest.mark.parametrize(
    ("text", "message"),
    [("{", "cut short or damaged"), ("[" * 100_000, "read as JSON"), ("[1]", "is it the right file"), ("\xff", "JSON")],
)
def test_a_file_that_is_something_else_is_said(tmp_path, text, message):
    path = tmp_path / "data.json"
    path.write_text(text, encoding="latin1")
    with pytest.raises(InputError, match=message):
        load_wikics(path)
    with pytest.raises(InputError, match="expected a file at"):
        load_wikics(tmp_path / "none.json")
