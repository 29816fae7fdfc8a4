"""The ``.npz`` layout of attributed graphs that the Amazon and Coauthor sets are published in."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path

import numpy as np
from torch_geometric.data import Data

from graphcl.datasets.arrays import Arrays, read_arrays
from graphcl.datasets.catalogue import Record
from graphcl.datasets.compose import compose
from graphcl.datasets.edges import undirect
from graphcl.datasets.labels import check_labels
from graphcl.datasets.matrix import Matrix, Sparse, check_csr, check_dense
from graphcl.datasets.provenance import Provenance, hash_files
from graphcl.datasets.unpickle import unpickle
from graphcl.errors import InputError

_NUMBERS = ("adj_data", "adj_indices", "adj_indptr", "adj_shape", "attr_data", "attr_indices", "attr_indptr", "attr_shape",
            "attr_matrix", "labels")  # fmt: skip


def load_attributed(path: Path, *, name: str, domain: str, record: Record | None = None) -> Data:
    """The graph in one archive of CSR parts: ``adj_*``, ``attr_*`` (or a dense ``attr_matrix``), ``labels``.

    Shchur et al., 2018, https://arxiv.org/abs/1811.05868. The adjacency is made symmetric and loses its self-loops, the
    features stay as stored: other loaders may turn counts into ones. There is no published split. Names of classes may be
    pickled; they are read by an unpickler that runs nothing. No other array may be.

    Args:
        path: The archive.
        name: For the provenance.
        domain: For the provenance.
        record: Source and licence.

    Shapes:
        returns: ``Data`` with x ``(N, F)`` CSR or dense float32, edge_index ``(2, 2E)``, y ``(N,)``.

    Raises:
        InputError: Missing, damaged, ill-formed, or a pickle that asks for code to be run.
    """
    record = record or Record()
    arrays = read_arrays(path, lambda stored: [key for key in _NUMBERS if key in stored])
    if "labels" not in arrays:
        raise InputError(f"{path}: expected an array 'labels', found {', '.join(arrays) or 'none'}; is it the right file?")
    adjacency = _csr(arrays, "adj", path)
    if adjacency.shape[0] != adjacency.shape[1]:
        raise InputError(f"{path}, adj: expected a square matrix, got {adjacency.shape}; fetch it again")
    dense = arrays.get("attr_matrix")
    x: Matrix = _csr(arrays, "attr", path) if dense is None else check_dense(dense, f"{path}, attr_matrix")
    if x.shape[0] != adjacency.shape[0]:
        raise InputError(f"{path}: expected one feature row a node, got {x.shape[0]} for {adjacency.shape[0]}; fetch it again")
    labels = check_labels(arrays["labels"], f"{path}, labels")
    # From the stored parts, which are checked by now, since the matrix has summed what is stored twice.
    starts, target = arrays["adj_indptr"].astype(np.int64), arrays["adj_indices"].astype(np.int64)
    edges = undirect(np.repeat(np.arange(x.shape[0]), np.diff(starts)), target, x.shape[0])
    known = Provenance(name, domain, record.source, record.licence, hash_files([path]))
    data = compose(edges, x, labels, {}, known, str(path))
    names = _class_names(path)
    if names is not None:
        if len(names) < labels.classes:
            raise InputError(f"{path}, class_names: expected a name for each of {labels.classes} classes, got {len(names)}")
        data.class_names = names
    return data


def _csr(arrays: Arrays, stem: str, path: Path) -> Sparse:
    parts = [f"{stem}_{part}" for part in ("data", "indices", "indptr", "shape")]
    missing = [part for part in parts if part not in arrays]
    if missing:
        raise InputError(f"{path}: lacks {', '.join(missing)}; a CSR matrix needs data, indices, indptr, shape")
    shape = arrays[parts[3]]
    if shape.shape != (2,) or shape.dtype.kind not in "iu":
        raise InputError(f"{path}, {parts[3]}: expected two integers, got {shape.dtype} of shape {shape.shape}")
    rows, columns = (int(side) for side in shape.tolist())
    return check_csr(arrays[parts[0]], arrays[parts[1]], arrays[parts[2]], (rows, columns), f"{path}, {stem}")


def _class_names(path: Path) -> list[str] | None:
    """The names of the classes, plain or pickled; ``None`` when there are none."""
    where = f"{path}, class_names"
    try:
        with zipfile.ZipFile(path) as archive:
            if "class_names.npy" not in archive.namelist():
                return None
            with archive.open("class_names.npy") as stream:
                version = np.lib.format.read_magic(stream)
                header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
                pickled = header(stream)[2].hasobject
                names: object = unpickle(stream.read(), where) if pickled else None
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError, ValueError, NotImplementedError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{where}: cannot be read ({error}); fetch it again") from error
    if names is None:
        names = read_arrays(path, lambda _: ["class_names"])["class_names"]
    if not isinstance(names, np.ndarray) or names.ndim != 1:
        raise InputError(f"{where}: expected a list of names, got {type(names).__name__}; fetch it again")
    return [str(entry) for entry in names.tolist()]
