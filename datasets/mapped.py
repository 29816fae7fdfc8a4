"""Graphs kept as plain arrays in a folder, and read through memory maps: what is not looked at is never loaded."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch_geometric.data import Data

from graphcl.datasets.catalogue import ABOUT
from graphcl.datasets.provenance import Provenance, hash_arrays
from graphcl.errors import InputError

FORMAT = 1
ROWS = 1 << 22  # of ids that are looked at together
_KINDS = {"edge_index": "i8", "edge_weight": "f4", "x": "f4", "y": "i8"}


def save_mapped(data: Data, folder: str | Path) -> Path:
    """Writes ``edge_index``, ``x``, ``y``, ``edge_weight`` and ``*_mask``, as far as there are any, as ``NAME.npy``.

    Args:
        data: Both directions of every edge, each once; features dense.
        folder: Made where there is none.

    Shapes:
        data: ``Data(x=(N, F), edge_index=(2, 2E))``.

    Raises:
        InputError: Sparse features, another type, or a folder that holds a graph already.
    """
    folder = Path(folder)
    if (folder / ABOUT).exists():
        raise InputError(f"{folder} holds a graph already; name another folder, or remove it")
    stored = data.to_dict()
    wanted = [key for key in stored if key in _KINDS or key.endswith("_mask")]
    arrays = {key: stored[key] for key in wanted if stored[key] is not None}
    for key, value in arrays.items():
        kind = np.dtype(_KINDS.get(key, "?"))
        if value.layout != torch.strided or value.cpu().numpy().dtype != kind:
            raise InputError(f"{key} must be a dense array of {kind}; got {value.dtype}, {value.layout}")
    folder.mkdir(parents=True, exist_ok=True)
    plain = {key: value.cpu().numpy() for key, value in arrays.items()}
    for key, array in plain.items():
        np.save(folder / f"{key}.npy", array, allow_pickle=False)
    known = data.provenance if "provenance" in data else Provenance("", "", "own", "not stated", "", {"nodes": data.num_nodes})
    about = {
        "format": FORMAT,
        "num_nodes": data.num_nodes,
        "arrays": sorted(plain),
        "provenance": {**asdict(known), "sha256": known.sha256 or hash_arrays(plain)},
    }
    (folder / ABOUT).write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
    return folder


def load_mapped(folder: str | Path, *, name: str = "", domain: str = "") -> Data:
    """The graph that `save_mapped` wrote, on memory maps: pages come in as they are used, and go when memory is short.

    Tensors may be written to, which changes nothing on disk. Node ids are looked through once, a block at a time.

    Args:
        folder: Where it is.
        name: For the provenance; as it was saved when empty.
        domain: The same.

    Shapes:
        returns: ``Data`` as it was saved.

    Raises:
        InputError: No such graph, one of a later format, or arrays that are missing, damaged or do not go together.
    """
    folder = Path(folder)
    about = _about(folder)
    nodes, names = int(about["num_nodes"]), list(about["arrays"])
    data = Data(num_nodes=nodes)
    for key in names:
        array = _map(folder / f"{key}.npy", _KINDS.get(key, "?"))
        if key == "edge_index":
            _check_ids(array, nodes, folder)
        elif key != "edge_weight" and len(array) != nodes:
            raise InputError(f"{folder}, {key}.npy: expected a row for each of {nodes} nodes, got shape {array.shape}")
        data[key] = torch.from_numpy(array)
    if "edge_weight" in names and len(data.edge_weight) != data.edge_index.shape[1]:
        raise InputError(f"{folder}: {len(data.edge_weight)} edge weights for {data.edge_index.shape[1]} edges")
    known = Provenance(**about["provenance"])
    data.provenance = Provenance(
        name or known.name, domain or known.domain, known.source, known.licence, known.sha256, known.counts
    )
    return data


def _about(folder: Path) -> dict[str, Any]:
    path = folder / ABOUT
    if not path.is_file():
        raise InputError(f"{folder} holds no graph of mapped arrays, for want of {ABOUT}: write one with save_mapped")
    try:
        about: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        version, _, _, _ = about["format"], int(about["num_nodes"]), list(about["arrays"]), Provenance(**about["provenance"])
        if "edge_index" not in about["arrays"]:
            raise ValueError("no edge_index")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} is damaged or was changed ({error}): write the graph again") from error
    if version != FORMAT:
        raise InputError(f"{path} has format {version}, and this graphcl reads {FORMAT}: use a newer graphcl")
    return about


def _map(path: Path, kind: str) -> NDArray[Any]:
    try:
        array: NDArray[Any] = np.load(path, mmap_mode="c", allow_pickle=False)  # writes stay in memory
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"{path} cannot be read as an array ({error}): it is missing or damaged, write it again") from error
    if array.dtype != np.dtype(kind) or not array.ndim:
        raise InputError(f"{path}: expected an array of {np.dtype(kind)}, got {array.dtype} of shape {array.shape}")
    return array


def _check_ids(index: NDArray[Any], nodes: int, folder: Path) -> None:
    if index.ndim != 2 or index.shape[0] != 2:
        raise InputError(f"{folder}, edge_index.npy: expected shape (2, E), got {index.shape}")
    for start in range(0, index.shape[1], ROWS):
        block = index[:, start : start + ROWS]
        if block.min() < 0 or block.max() >= nodes:
            raise InputError(
                f"{folder}, edge_index.npy: expected node ids from 0 to {nodes - 1}, got {block.min()} to {block.max()}"
            )
