"""One archive of plain arrays to one checked graph."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch_geometric.data import Data

from graphcl.datasets.arrays import Arrays, read_arrays
from graphcl.datasets.catalogue import Record
from graphcl.datasets.edges import Edges, check_index, undirect
from graphcl.datasets.labels import Labels, check_labels, labels_from_csr
from graphcl.datasets.matrix import Matrix, Sparse, check_csr, check_dense, to_tensor
from graphcl.datasets.provenance import Provenance, hash_files
from graphcl.errors import InputError

PUBLISHED_K = 3  # what the deep-clustering literature uses for its nearest-neighbour graphs

_KNN = re.compile(r"knn(\d+)_edge_index")
_FLAGS = ("unlabelled", "has_feature")


def load_bundle(path: Path, *, name: str, domain: str, record: Record | None = None, knn: int | None = None) -> Data:
    """The graph stored in an ``.npz`` archive.

    It holds ``edge_index``, or ``knnK_edge_index`` for some K, or ``edge_index_directed``, and may hold ``x`` or the CSR
    parts ``x_data, x_indices, x_indptr, x_shape``; ``y`` or the pattern ``y_indices, y_indptr, y_shape``; ``*_mask``,
    ``unlabelled``, ``has_feature``, ``num_nodes``, ``class_names``, ``node_id``. Other arrays are left alone.

    Args:
        path: The archive.
        name: For the provenance.
        domain: For the provenance.
        record: Source, licence and expected checksum.
        knn: Which of the nearest-neighbour graphs; 3 when ``None``.

    Raises:
        InputError: Damaged, changed, empty or ill-formed; says which array and where.
    """
    record = record or Record()
    digest = hash_files([path]) if path.is_file() else ""
    if digest and record.sha256 and digest != record.sha256:
        raise InputError(
            f"{path}: expected sha256 {record.sha256[:12]} as graphs.json says, got {digest[:12]}; the file is damaged or was "
            "changed: fetch it again, or drop the checksum from graphs.json if the change is yours"
        )
    arrays = read_arrays(path, lambda stored: _wanted(stored, path, knn))
    graph = next(key for key in arrays if "edge_index" in key)
    x, labels = _features(arrays, path), _labels(arrays, path)
    num_nodes = _num_nodes(arrays, path, graph, x, labels)
    index = check_index(arrays[graph], num_nodes, f"{path}, {graph}")
    edges = undirect(index[0], index[1], num_nodes)

    data = Data(edge_index=torch.from_numpy(edges.index), num_nodes=num_nodes)
    data.x = None if x is None else to_tensor(x)
    data.y = None if labels is None else torch.from_numpy(labels.y)
    for key in arrays:
        if key.endswith("_mask") or key in _FLAGS:
            data[key] = torch.from_numpy(_flags(arrays[key], num_nodes, f"{path}, {key}"))
    if "class_names" in arrays:
        data.class_names = [str(entry) for entry in arrays["class_names"].tolist()]
    if "node_id" in arrays:
        data.node_ids = _node_ids(arrays["node_id"], num_nodes, path)
    counts = _counts(num_nodes, edges, x, labels)
    if match := _KNN.fullmatch(graph):
        counts["knn"] = int(match[1])
    data.provenance = Provenance(name, domain, record.source, record.licence, digest, counts)
    return data


def _wanted(stored: list[str], path: Path, knn: int | None) -> list[str]:
    """The arrays worth reading: one edge list, and everything about the nodes."""
    chosen = _edge_array(stored, path, knn)
    named = {"x", "y", "num_nodes", "class_names", "node_id", *_FLAGS}
    about_nodes = [
        key for key in stored if key in named or key.endswith("_mask") or re.fullmatch(r"[xy]_(data|ind\w+|shape)", key)
    ]
    return [chosen, *about_nodes]


def _edge_array(stored: Iterable[str], path: Path, knn: int | None) -> str:
    neighbours = sorted(int(match[1]) for key in stored if (match := _KNN.fullmatch(key)))
    choices = ", ".join(str(k) for k in neighbours)
    if knn is not None:
        if knn in neighbours:
            return f"knn{knn}_edge_index"
        raise InputError(
            f"{path}: no {knn}-nearest-neighbour graph; "
            + (f"stored neighbours: {choices}" if neighbours else "it has one graph, not a choice: leave knn out")
        )
    for plain in ("edge_index", "edge_index_directed"):
        if plain in stored:
            return plain
    if PUBLISHED_K in neighbours or len(neighbours) == 1:
        return f"knn{PUBLISHED_K if PUBLISHED_K in neighbours else neighbours[0]}_edge_index"
    if neighbours:
        raise InputError(
            f"{path}: several nearest-neighbour graphs and none with {PUBLISHED_K} neighbours; choose knn from {choices}"
        )
    raise InputError(
        f"{path}: expected an array 'edge_index' of shape (2, E), found {', '.join(sorted(stored)) or 'no arrays'}"
    )


def _features(arrays: Arrays, path: Path) -> Matrix | None:
    if "x" in arrays:
        return check_dense(arrays["x"], f"{path}, x")
    return _csr(arrays, "x", path) if any(key.startswith("x_") for key in arrays) else None


def _labels(arrays: Arrays, path: Path) -> Labels | None:
    if "y" in arrays:
        return check_labels(arrays["y"], f"{path}, y")
    return labels_from_csr(_csr(arrays, "y", path)) if any(key.startswith("y_") for key in arrays) else None


def _csr(arrays: Arrays, stem: str, path: Path) -> Sparse:
    """The sparse matrix under ``stem``; a missing ``data`` part means a pattern of ones."""
    missing = [f"{stem}_{part}" for part in ("indices", "indptr", "shape") if f"{stem}_{part}" not in arrays]
    if missing or (stem == "x" and "x_data" not in arrays):
        raise InputError(
            f"{path}: sparse {stem} lacks {', '.join(missing) or 'x_data'}; a CSR matrix needs data, indices, indptr, shape"
        )
    indices, shape = arrays[f"{stem}_indices"], arrays[f"{stem}_shape"]
    if shape.shape != (2,) or shape.dtype.kind not in "iu":
        raise InputError(f"{path}, {stem}_shape: expected two integers, got {shape.dtype} of shape {shape.shape}")
    rows, columns = (int(side) for side in shape.tolist())
    data = arrays.get(f"{stem}_data", np.ones(indices.shape, dtype=np.float32))
    return check_csr(data, indices, arrays[f"{stem}_indptr"], (rows, columns), f"{path}, {stem}")


def _num_nodes(arrays: Arrays, path: Path, graph: str, x: Matrix | None, labels: Labels | None) -> int:
    """The number of nodes, on which everything stored by node must agree."""
    said: dict[str, int] = {}
    if "num_nodes" in arrays:
        stored = arrays["num_nodes"]
        if stored.size != 1 or stored.dtype.kind not in "iu":
            raise InputError(f"{path}, num_nodes: expected one integer, got {stored.dtype} of shape {stored.shape}")
        said["num_nodes"] = int(stored.reshape(-1)[0])
    if x is not None:
        said["x"] = x.shape[0]
    if labels is not None:
        said["y"] = labels.y.shape[0]
    if "node_id" in arrays:
        said["node_id"] = arrays["node_id"].shape[0]
    if len(set(said.values())) > 1:
        listed = ", ".join(f"{key} {rows}" for key, rows in said.items())
        raise InputError(
            f"{path}: expected the same number of nodes everywhere, got {listed}; every array needs one row a node"
        )
    index = arrays[graph]
    largest = int(index.max()) + 1 if index.size and index.dtype.kind in "iu" else 0
    number = next(iter(said.values()), largest)
    if number < 1 or not index.size:
        raise InputError(f"{path}: the graph is empty ({number} nodes, {index.size // 2} edges); is it the right file?")
    return number


def _flags(flags: NDArray[np.generic], num_nodes: int, where: str) -> NDArray[np.bool_]:
    if flags.dtype != np.bool_ or flags.ndim not in (1, 2) or flags.shape[0] != num_nodes:
        raise InputError(f"{where}: expected bool of shape ({num_nodes},), got {flags.dtype} of shape {flags.shape}")
    return flags.astype(np.bool_)


def _node_ids(ids: NDArray[np.generic], num_nodes: int, path: Path) -> list[str]:
    if ids.shape != (num_nodes,):
        raise InputError(f"{path}, node_id: expected shape ({num_nodes},), got {ids.shape}")
    return [str(entry) for entry in ids.tolist()]


def _counts(num_nodes: int, edges: Edges, x: Matrix | None, labels: Labels | None) -> dict[str, int]:
    counts = {
        "nodes": num_nodes,
        "edges": edges.undirected,
        "features": 0 if x is None else x.shape[1],
        "classes": 0 if labels is None else labels.classes,
        "duplicates": edges.duplicates,
        "self_loops": edges.self_loops,
        "symmetrised": edges.one_way,
    }
    return counts
