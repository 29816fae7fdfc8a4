"""Feature matrices, dense or CSR: checked once, float32 from then on."""

from __future__ import annotations

import warnings
from typing import Any, TypeAlias, cast

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from torch import Tensor

from graphcl.errors import InputError

Dense: TypeAlias = NDArray[np.float32]
Sparse: TypeAlias = "sp.csr_array[np.float32, tuple[int, int]]"
Matrix: TypeAlias = "Dense | Sparse"
SparseLike: TypeAlias = "sp.sparray | sp.spmatrix"


def check_dense(x: NDArray[np.generic], where: str) -> Dense:
    """``x`` as contiguous float32 when it is a finite 2-d table of numbers.

    Args:
        x: What was read.
        where: File and array, for the message.

    Shapes:
        x: ``(N, F)``; returns: the same.

    Raises:
        InputError: Not numbers, not 2-d, or NaN or Inf inside; says the first row and column at fault.
    """
    if x.ndim != 2 or x.dtype.kind not in "fiub":
        raise InputError(f"{where}: expected numbers of shape (N, F), got {x.dtype} of shape {x.shape}")
    with np.errstate(over="ignore"):
        values = np.ascontiguousarray(x, dtype=np.float32)
    finite = np.isfinite(values)
    if not finite.all():
        row, column = (int(part) for part in np.argwhere(~finite)[0])
        raise _not_finite(where, x[row, column], row, column)
    return values


def check_csr(
    data: NDArray[np.generic],
    indices: NDArray[np.generic],
    indptr: NDArray[np.generic],
    shape: tuple[int, int],
    where: str,
) -> Sparse:
    """A float32 CSR matrix when the four parts fit together; column ids sorted, repeats summed.

    The parts are checked before any of them reaches compiled code, which trusts them.

    Args:
        data: The stored values.
        indices: Their column ids.
        indptr: Where each row starts, and the end.
        shape: Rows and columns.
        where: File and array, for the message.

    Shapes:
        data, indices: ``(nnz,)``; indptr: ``(N + 1,)``; returns: ``(N, F)``.

    Raises:
        InputError: The parts do not form a CSR matrix, or hold NaN or Inf.
    """
    rows, columns = shape
    if data.ndim != 1 or data.dtype.kind not in "fiub":
        raise InputError(f"{where}: expected 1-d numbers as CSR values, got {data.dtype} of shape {data.shape}")
    if indices.dtype.kind not in "iu" or indices.shape != data.shape:
        raise InputError(
            f"{where}: expected {data.size} integer CSR column ids, one a value, got {indices.dtype} of shape {indices.shape}"
        )
    if indptr.dtype.kind not in "iu" or indptr.shape != (rows + 1,):
        raise InputError(
            f"{where}: expected {rows + 1} integer CSR row starts for {rows} rows, got {indptr.dtype} of shape {indptr.shape}"
        )
    starts, ids = indptr.astype(np.int64), indices.astype(np.int64)
    if starts[0] != 0 or starts[-1] != data.size or (np.diff(starts) < 0).any():
        raise InputError(
            f"{where}: expected CSR row starts that grow from 0 to {data.size}; the array is damaged: fetch it again"
        )
    bad = (ids < 0) | (ids >= columns)
    if bad.any():
        at = int(np.argmax(bad))
        raise InputError(f"{where}: expected column ids from 0 to {columns - 1}, got {ids[at]} in row {_row_of(starts, at)}")
    with np.errstate(over="ignore"):
        values = data.astype(np.float32)
    finite = np.isfinite(values)
    if not finite.all():
        at = int(np.argmin(finite))
        raise _not_finite(where, data[at], _row_of(starts, at), int(ids[at]))
    matrix: Sparse = sp.csr_array((values, ids, starts), shape=(rows, columns))
    matrix.sum_duplicates()
    return matrix


def to_tensor(x: Matrix) -> Tensor:
    """The matrix as a float32 tensor: strided when dense, CSR with int64 indices when sparse.

    Shapes:
        x: ``(N, F)``; returns: ``(N, F)``.
    """
    if isinstance(x, np.ndarray):
        return torch.from_numpy(np.ascontiguousarray(x))
    starts, ids = (torch.from_numpy(np.asarray(part, dtype=np.int64)) for part in (x.indptr, x.indices))
    with warnings.catch_warnings():
        # torch calls its CSR layout beta once per process; the operations used here are covered by tests.
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support", category=UserWarning)
        return torch.sparse_csr_tensor(starts, ids, torch.from_numpy(x.data), size=x.shape, check_invariants=False)


def as_csr(x: SparseLike) -> sp.csr_array[Any, tuple[int, int]]:
    """Any sparse matrix of scipy in CSR form; shares memory where it can.

    Shapes:
        x: ``(N, F)``; returns: the same.
    """
    return sp.csr_array(cast("sp.csr_array[Any, tuple[int, int]]", x))


def _row_of(starts: NDArray[np.int64], position: int) -> int:
    return int(np.searchsorted(starts, position, side="right")) - 1


def _not_finite(where: str, value: object, row: int, column: int) -> InputError:
    return InputError(
        f"{where}: expected finite float32 values, got {value} in row {row}, column {column}; clean or impute it first"
    )
