import numpy as np
import polars as pl
import pytest

from graphcl.datasets.labels import check_labels, encode_labels, labels_from_csr
from graphcl.datasets.matrix import check_csr
from graphcl.errors import InputError


def pattern(indices, indptr, classes):
    return check_csr(np.ones(len(indices)), np.array(indices), np.array(indptr), (len(indptr) - 1, classes), "y")


def test_one_label_a_node_is_one_number_a_node():
    labels = labels_from_csr(pattern([2, 0], [0, 1, 2], 4))
    assert labels.y.tolist() == [2, 0]
    assert labels.y.dtype == np.int64
    assert labels.classes == 4


def test_several_labels_a_node_are_multi_hot():
    labels = labels_from_csr(pattern([0, 2, 1], [0, 2, 3, 3], 3))
    assert labels.y.tolist() == [[1, 0, 1], [0, 1, 0], [0, 0, 0]]
    assert labels.y.dtype == np.float32


def test_a_one_hot_table_is_numbers_too():
    assert check_labels(np.eye(3, dtype=np.uint8), "y").y.tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (np.array([0, -1]), "class numbers from 0, got -1 in row 1; .*'unlabelled'"),
        (np.array([0.5, 1.0]), "expected integer class numbers"),
        (np.array([[0, 2]]), "only 0 and 1"),
    ],
)
def test_bad_numbers_are_refused(y, message):
    with pytest.raises(InputError, match=message):
        check_labels(y, "file, y")


def test_whole_numbers_sort_as_numbers_and_names_as_text():
    assert encode_labels(pl.Series(["10", "9", "10"]), "y").names == ["9", "10"]
    assert encode_labels(pl.Series(["b", "a", "10"]), "y").names == ["10", "a", "b"]
    assert encode_labels(pl.Series([2.0, None, 1.0]), "y").names == ["1", "2"]


def test_missing_labels_are_marked():
    labels = encode_labels(pl.Series(["b", "", "a", None]), "y")
    assert labels.y.tolist() == [1, 0, 0, 0]
    assert labels.unlabelled.tolist() == [False, True, False, True]
    with pytest.raises(InputError, match="expected a class for some nodes, got none"):
        encode_labels(pl.Series(["", None], dtype=pl.String), "nodes, column 'y'")
