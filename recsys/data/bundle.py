"""A folder of published data, checked, to the rows of each of its parts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from graphcl.datasets.arrays import Arrays, read_arrays
from graphcl.errors import InputError
from graphcl.recsys.data.catalogue import Folder
from graphcl.recsys.data.events import Events
from graphcl.recsys.data.id_map import IdMap
from graphcl.recsys.data.interactions import LARGEST
from graphcl.recsys.data.lists import read_lists


def read_bundle(folder: Folder) -> dict[str, Events]:
    """The rows of each part, over the same users and items; ``"all"`` is the only part of sequences.

    The archives hold ``user`` and ``item``, numbers from 0, and may hold ``rating`` and ``timestamp``. How many users and items
    there are is taken from ``meta.json``, since some have no row. Ids are those of ``id_map.npz``, else the numbers;
    of sequences those in the file, in ascending order.

    Args:
        folder: As ``scan`` found it.

    Raises:
        InputError: A file is missing, damaged or not as described; says which, and where in it.
    """
    return {"all": _read_sequences(folder)} if folder.kind == "sequences" else _read_parts(folder)


def _read_sequences(folder: Folder) -> Events:
    path = folder.files["all"]
    events = read_lists(path)
    users, user = _ascending(events.users, events.user)
    items, item = _ascending(events.items, events.item)
    for key, got in (("n_users", len(users)), ("n_items", len(items)), ("interactions", len(events))):
        if folder.size(key) not in (None, got):
            raise InputError(f"{path}: expected {folder.size(key):,} as {key} of meta.json says, got {got:,}; is it cut short?")
    return Events(users, items, user, item)


def _ascending(ids: IdMap, codes: NDArray[np.int32]) -> tuple[IdMap, NDArray[np.int32]]:
    order = np.argsort(ids.ids.to_numpy(), kind="stable")
    place = np.empty(order.size, dtype=np.int32)
    place[order] = np.arange(order.size, dtype=np.int32)
    return IdMap(ids.ids.gather(order), ids.kind), place[codes]


def _read_parts(folder: Folder) -> dict[str, Events]:
    arrays = {part: _columns(path) for part, path in folder.files.items()}
    users, items = _ids(folder, arrays)
    events = {}
    for part, path in folder.files.items():
        columns = arrays[part]
        for key, ids in (("user", users), ("item", items)):
            _check_numbers(columns[key], len(ids), f"{path}, {key}")
        splits = folder.meta.get("splits")
        noted = splits.get(part) if isinstance(splits, dict) else None
        said = noted.get("interactions") if isinstance(noted, dict) else None
        if said not in (None, columns["user"].size):
            raise InputError(f"{path}: expected {said:,} interactions as meta.json says, got {columns['user'].size:,}")
        rating, time = columns.get("rating"), columns.get("timestamp")
        events[part] = Events(
            users,
            items,
            columns["user"].astype(np.int32),
            columns["item"].astype(np.int32),
            None if rating is None else rating.astype(np.float32),
            None if time is None else time.astype(np.int64),
        )
    return events


def _columns(path: Path) -> Arrays:
    arrays = read_arrays(path, lambda stored: [key for key in ("user", "item", "rating", "timestamp") if key in stored])
    if "user" not in arrays or "item" not in arrays:
        raise InputError(f"{path}: expected arrays 'user' and 'item', found {', '.join(arrays) or 'neither'}")
    size = arrays["user"].size
    for key, array in arrays.items():
        if array.shape != (size,) or array.dtype.kind not in ("iuf" if key == "rating" else "iu"):
            raise InputError(f"{path}, {key}: expected {size} whole numbers, got {array.dtype} of shape {array.shape}")
        good = array.astype(np.float64) >= 0 if key == "rating" else np.ones(size, dtype=bool)
        if not good.all():
            at = int(np.argmin(good))
            raise InputError(f"{path}, {key}: expected ratings of 0 or more, got {array[at]} in row {at}")
    return arrays


def _check_numbers(numbers: NDArray[np.generic], count: int, where: str) -> None:
    values = numbers.astype(np.int64)
    outside = (values < 0) | (values >= count)
    if outside.any():
        at = int(np.argmax(outside))
        raise InputError(f"{where}: expected numbers from 0 to {count - 1}, got {values[at]} in row {at}; does meta.json fit?")


def _ids(folder: Folder, arrays: dict[str, Arrays]) -> tuple[IdMap, IdMap]:
    path = folder.path / "id_map.npz"
    stored = {}
    for name, array in (read_arrays(path) if path.is_file() else {}).items():
        if array.ndim == 1 and array.dtype.kind in "iuU":
            stored["user" if "user" in name else "item"] = array
    maps = []
    for key, size in (("user", folder.size("n_users")), ("item", folder.size("n_items"))):
        if size is None:
            size = 1 + max(int(columns[key].astype(np.int64).max(initial=-1)) for columns in arrays.values())
        if not 0 < size <= LARGEST:
            raise InputError(f"{folder.path}: expected between 1 and {LARGEST:,} {key}s, got {size:,}")
        ids = stored.get(key)
        if ids is not None and ids.size != size:
            raise InputError(f"{path}: expected {size:,} {key} ids, one for each number, got {ids.size:,}")
        maps.append(IdMap.count(size, key) if ids is None else IdMap.of(pl.Series(ids), key))
    return maps[0], maps[1]
