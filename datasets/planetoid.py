"""The eight raw files of a Planetoid set to the graph everybody benchmarks."""

from __future__ import annotations

from itertools import chain
from pathlib import Path

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from torch_geometric.data import Data

from graphcl.datasets.catalogue import Record
from graphcl.datasets.edges import check_index, undirect
from graphcl.datasets.matrix import Sparse, check_csr, check_dense, to_tensor
from graphcl.datasets.provenance import Provenance, hash_files
from graphcl.datasets.unpickle import CSRParts, read_pickle
from graphcl.errors import InputError

PARTS = ("x", "y", "tx", "ty", "allx", "ally", "graph", "test.index")
VALIDATION = 500  # nodes after the training nodes, as the public split has it


def load_planetoid(
    folder: str | Path, name: str, *, called: str | None = None, domain: str = "citation", record: Record | None = None
) -> Data:
    """The graph in the files ``ind.NAME.{x,y,tx,ty,allx,ally,graph,test.index}``, with the public split.

    Yang et al., 2016, https://arxiv.org/abs/1603.08861. Test rows go to the ids the index lists; ids the index skips
    (CiteSeer has 15) become isolated nodes without features, class 0, marked in ``unlabelled`` and in no split.
    The pickles are read by an unpickler that runs nothing.

    Args:
        folder: Where the files are, or the folder above a ``raw`` that holds them.
        name: The middle part of the file names.
        called: The name in the provenance; ``name`` when ``None``.
        domain: The domain in the provenance.
        record: Source and licence.

    Shapes:
        returns: ``Data`` with x ``(N, F)`` CSR float32, edge_index ``(2, 2E)``, y ``(N,)``, three masks ``(N,)``.

    Raises:
        InputError: A file is missing, damaged, asks for code to be run, or does not fit the others.
    """
    paths = _paths(Path(folder), name)
    record = record or Record()
    test = _test_index(paths["test.index"])
    x_all, x_test = _features(paths["allx"]), _features(paths["tx"])
    y_all, y_test, y_train = (_one_hot(paths[part]) for part in ("ally", "ty", "y"))
    known = x_all.shape[0]
    if x_test.shape[0] != test.size or y_test.shape[0] != test.size or y_all.shape[0] != known:
        raise InputError(
            f"{paths['allx'].parent}: expected as many labels as feature rows, got allx {known} and ally {y_all.shape[0]}, "
            f"tx {x_test.shape[0]}, ty {y_test.shape[0]} and test.index {test.size}; are the files of one set?"
        )
    if x_test.shape[1] != x_all.shape[1] or y_test.shape[1] != y_all.shape[1]:
        raise InputError(f"{paths['allx'].parent}: allx and tx, or ally and ty, differ in columns; are the files of one set?")
    num_nodes = max(known, int(test.max()) + 1)
    rows = np.concatenate([np.arange(known), test])
    if np.unique(rows).size != rows.size:
        raise InputError(f"{paths['test.index']}: expected distinct ids from {known} up, got repeats or ids of allx")
    stacked = sp.vstack([x_all, x_test]).tocoo()
    features: Sparse = sp.csr_array((stacked.data, (rows[stacked.row], stacked.col)), shape=(num_nodes, x_all.shape[1]))
    features.sort_indices()
    y = np.zeros(num_nodes, dtype=np.int64)
    y[rows] = np.concatenate([y_all, y_test]).argmax(axis=1)
    source, target = _graph(paths["graph"], num_nodes)
    edges = undirect(source, target, num_nodes)

    data = Data(edge_index=torch.from_numpy(edges.index), num_nodes=num_nodes)
    data.x, data.y = to_tensor(features), torch.from_numpy(y)
    train = y_train.shape[0]
    for key, ids in [
        ("train_mask", np.arange(train)),
        ("val_mask", np.arange(train, min(train + VALIDATION, known))),
        ("test_mask", test),
    ]:
        data[key] = torch.from_numpy(_mask(ids, num_nodes))
    nameless = ~_mask(rows, num_nodes)
    if nameless.any():
        data.unlabelled = torch.from_numpy(nameless)
    counts = {
        "nodes": num_nodes,
        "edges": edges.undirected,
        "features": features.shape[1],
        "classes": y_all.shape[1],
        "duplicates": edges.duplicates,
        "self_loops": edges.self_loops,
        "symmetrised": edges.one_way,
    }
    digest = hash_files(paths[part] for part in PARTS)
    data.provenance = Provenance(called or name, domain, record.source, record.licence, digest, counts)
    return data


def raw_name(folder: Path, expected: str) -> str:
    """The middle part of the ``ind.NAME.graph`` in a folder; ``expected`` when there is such a file.

    Raises:
        InputError: None, or several and none as expected.
    """
    found = sorted(path.name.removeprefix("ind.").removesuffix(".graph") for path in folder.glob("ind.*.graph"))
    if expected in found:
        return expected
    if len(found) == 1:
        return found[0]
    raise InputError(f"{folder}: expected one set of Planetoid files, found {', '.join(found) or 'none'}")


def _paths(folder: Path, name: str) -> dict[str, Path]:
    if not (folder / f"ind.{name}.graph").is_file() and (folder / "raw").is_dir():
        folder = folder / "raw"
    paths = {part: folder / f"ind.{name}.{part}" for part in PARTS}
    missing = [path.name for path in paths.values() if not path.is_file()]
    if missing:
        raise InputError(f"{folder}: lacks {', '.join(missing)}; a Planetoid set is eight files, fetch the missing ones")
    return paths


def _features(path: Path) -> Sparse:
    content = read_pickle(path)
    if isinstance(content, np.ndarray):
        return sp.csr_array(check_dense(content, str(path)))
    if not isinstance(content, CSRParts):
        raise InputError(f"{path}: expected a pickled CSR matrix, got {type(content).__name__}")
    parts = content.data, content.indices, content.indptr
    shape = content.stored_shape
    if not (isinstance(shape, tuple) and len(shape) == 2 and all(isinstance(side, int) for side in shape)):
        raise InputError(f"{path}: expected a CSR matrix with two sides, got shape {shape!r}")
    data, indices, indptr = (part if isinstance(part, np.ndarray) else np.empty(0, dtype=object) for part in parts)
    return check_csr(data, indices, indptr, (shape[0], shape[1]), str(path))


def _one_hot(path: Path) -> NDArray[np.float32]:
    content = read_pickle(path)
    if not isinstance(content, np.ndarray):
        raise InputError(f"{path}: expected a pickled table of labels, got {type(content).__name__}")
    return check_dense(content, str(path))


def _graph(path: Path, num_nodes: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    content = read_pickle(path)
    if not isinstance(content, dict) or not all(isinstance(row, list) for row in content.values()):
        raise InputError(f"{path}: expected a pickled dictionary of neighbour lists, got {type(content).__name__}")
    lengths = np.fromiter((len(row) for row in content.values()), dtype=np.int64, count=len(content))
    try:
        keys = np.fromiter(content, dtype=np.int64, count=len(content))
        target = np.fromiter(chain.from_iterable(content.values()), dtype=np.int64, count=int(lengths.sum()))
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError(f"{path}: expected integer node ids ({error})") from error
    index = check_index(np.stack([np.repeat(keys, lengths), target]), num_nodes, str(path))
    if not index.size:
        raise InputError(f"{path}: the graph is empty; fetch it again")
    return index[0], index[1]


def _test_index(path: Path) -> NDArray[np.int64]:
    try:
        ids = np.array(path.read_text(encoding="ascii").split(), dtype=np.int64)
    except (ValueError, OverflowError) as error:
        raise InputError(f"{path}: expected one integer a line ({error})") from error
    if not ids.size or ids.min() < 0:
        raise InputError(f"{path}: expected ids from 0, one a line, got {'none' if not ids.size else ids.min()}")
    return ids


def _mask(ids: NDArray[np.int64], num_nodes: int) -> NDArray[np.bool_]:
    mask = np.zeros(num_nodes, dtype=np.bool_)
    mask[ids] = True
    return mask
