import warnings

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from graphcl.datasets.matrix import as_csr, check_csr, check_dense, to_tensor
from graphcl.errors import InputError


def parts(**changes):
    return {
        "data": np.array([1, 2, 3], dtype=np.uint8),
        "indices": np.array([2, 0, 1], dtype=np.int32),
        "indptr": np.array([0, 2, 2, 3], dtype=np.int32),
        "shape": (3, 4),
    } | changes


def test_csr_round_trip_to_a_tensor():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tensor = to_tensor(check_csr(**parts(), where="x"))
    assert tensor.layout == torch.sparse_csr
    assert tensor.dtype == torch.float32
    assert tensor.col_indices().dtype == torch.int64
    assert tensor.to_dense().tolist() == [[2, 0, 1, 0], [0, 0, 0, 0], [0, 3, 0, 0]]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"indptr": np.array([0, 2, 1, 3])}, "grow from 0 to 3"),
        ({"indptr": np.array([0, 2, 2, 9])}, "grow from 0 to 3"),
        ({"indptr": np.array([0, 3])}, "expected 4 integer CSR row starts for 3 rows"),
        ({"indices": np.array([2, 0, 4])}, "column ids from 0 to 3, got 4 in row 2"),
        ({"indices": np.array([2, -1, 1])}, "got -1 in row 0"),
        ({"indices": np.array([2.0, 0.0, 1.0])}, "expected 3 integer CSR column ids"),
        ({"data": np.array([1, np.nan, 3])}, "got nan in row 0, column 0"),
        ({"data": np.array([1, 2, 1e300])}, r"got 1e\+300 in row 2, column 1"),
        ({"data": np.array(["a", "b", "c"])}, "expected 1-d numbers"),
    ],
)
def test_a_malformed_csr_is_refused(changes, message):
    with pytest.raises(InputError, match=message):
        check_csr(**parts(**changes), where="x")


def test_dense_faults_name_row_and_column():
    x = np.ones((3, 2))
    x[2, 1] = np.inf
    with pytest.raises(InputError, match="got inf in row 2, column 1"):
        check_dense(x, "x")
    with pytest.raises(InputError, match=r"expected numbers of shape \(N, F\), got float64 of shape \(3,\)"):
        check_dense(np.ones(3), "x")


def test_any_sparse_form_becomes_csr():
    assert as_csr(sp.coo_matrix(np.eye(3))).format == "csr"
