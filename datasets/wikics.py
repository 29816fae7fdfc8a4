"""The one JSON file of WikiCS to a graph with its twenty splits."""

from __future__ import annotations

import json
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch_geometric.data import Data

from graphcl.datasets.catalogue import Record
from graphcl.datasets.compose import compose
from graphcl.datasets.edges import check_index, undirect
from graphcl.datasets.labels import check_labels
from graphcl.datasets.matrix import check_dense
from graphcl.datasets.provenance import Provenance, hash_files
from graphcl.errors import InputError

_MASKS = {"train_masks": "train_mask", "val_masks": "val_mask", "stopping_masks": "stopping_mask", "test_mask": "test_mask"}


def load_wikics(path: Path, *, name: str = "wikics", domain: str = "citation", record: Record | None = None) -> Data:
    """The graph of articles in ``data.json``: ``features``, ``labels``, ``links`` (adjacency lists) and masks.

    Mernyei and Cangea, 2020, https://arxiv.org/abs/2007.02901. Links are made symmetric and lose their self-loops, so
    there are fewer edges than the paper counts. Training, validation and stopping masks have one column for each of the
    twenty splits, the test mask is one for all. Memory: about three times the file.

    Args:
        path: The file.
        name: For the provenance.
        domain: For the provenance.
        record: Source and licence.

    Shapes:
        returns: ``Data`` with x ``(N, F)`` float32, edge_index ``(2, 2E)``, y ``(N,)``, train_mask, val_mask and
        stopping_mask ``(N, S)``, test_mask ``(N,)``.

    Raises:
        InputError: Missing, not JSON, or a part is missing or ill-formed.
    """
    record = record or Record()
    try:
        content: object = json.loads(path.read_bytes())
    except OSError as error:
        raise InputError(f"expected a file at {path}, cannot read it ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: cannot be read as JSON ({error}); it is cut short or damaged: fetch it again") from error
    keys = ("features", "labels", "links", *_MASKS)
    if not isinstance(content, dict) or any(key not in content for key in keys):
        raise InputError(f"{path}: expected an object with {', '.join(keys)}; is it the right file?")
    x = check_dense(_table(content["features"], np.float64, f"{path}, features"), f"{path}, features")
    labels = check_labels(_table(content["labels"], np.int64, f"{path}, labels"), f"{path}, labels")
    links = content["links"]
    if not isinstance(links, list) or len(links) != x.shape[0] or not all(isinstance(row, list) for row in links):
        raise InputError(f"{path}, links: expected a list of neighbours for each of {x.shape[0]} nodes; fetch it again")
    source = np.repeat(np.arange(x.shape[0]), [len(row) for row in links])
    target = _table(list(chain.from_iterable(links)), np.int64, f"{path}, links")
    if target.shape != source.shape:
        raise InputError(f"{path}, links: expected integers in the lists of neighbours; fetch it again")
    index = check_index(np.stack([source, target]), x.shape[0], f"{path}, links")
    edges = undirect(index[0], index[1], x.shape[0])
    masks = {ours: _mask(content[theirs], f"{path}, {theirs}") for theirs, ours in _MASKS.items()}
    known = Provenance(name, domain, record.source, record.licence, hash_files([path]), {"listed": source.size})
    return compose(edges, x, labels, masks, known, str(path))


def _table(values: object, dtype: type[np.generic], where: str) -> NDArray[np.generic]:
    """Nested lists as an array of one type, when they are numbers and every row is as long as the first."""
    try:
        table = np.array(values)
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError(f"{where}: expected rows of numbers of one length ({error}); fetch it again") from error
    fits = table.dtype.kind in ("fiub" if dtype is np.float64 else "iub") or not table.size
    if not fits:
        raise InputError(f"{where}: expected {np.dtype(dtype)} numbers, got {table.dtype}; fetch it again")
    return table.astype(dtype)


def _mask(values: object, where: str) -> NDArray[np.bool_]:
    table = _table(values, np.int64, where)
    if table.ndim not in (1, 2) or not np.isin(table, (0, 1)).all():
        raise InputError(f"{where}: expected true or false for each node, got values of shape {table.shape}; fetch it again")
    return np.ascontiguousarray(table.T).astype(np.bool_)
