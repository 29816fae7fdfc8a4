from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from graphcl.recsys.data import Events, IdMap
from graphcl.recsys.sequences import Jagged, Sequences

REPOSITORY = Path(__file__).resolve().parents[3]


@pytest.fixture
def real_root() -> Path:
    """The folder of real data sets; the test is skipped where there is none."""
    named = os.environ.get("GRAPHCL_DATA")
    root = Path(named) if named else REPOSITORY / "../shared/data"
    if not (root / "recsys").is_dir():
        pytest.skip("needs real data sets: set GRAPHCL_DATA to their root")
    return root


@pytest.fixture
def events() -> Callable[..., Events]:
    """Rows of user, item and perhaps time; ids are their own numbers."""

    def rows(rows: Sequence[tuple[int, ...]], users: int | None = None, items: int | None = None) -> Events:
        columns = list(zip(*rows, strict=True))
        user, item = np.array(columns[0], dtype=np.int32), np.array(columns[1], dtype=np.int32)
        return Events(
            IdMap.count(int(user.max()) + 1 if users is None else users, "user"),
            IdMap.count(int(item.max()) + 1 if items is None else items, "item"),
            user,
            item,
            None,
            np.array(columns[2], dtype=np.int64) if len(columns) > 2 else None,
        )

    return rows


@pytest.fixture
def sequences() -> Callable[..., Sequences]:
    """The sequences of lists of item numbers."""

    def of(rows: Sequence[Sequence[int]], items: int | None = None) -> Sequences:
        values = np.array([value for row in rows for value in row], dtype=np.int32)
        indptr = np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64)
        count = int(values.max(initial=-1)) + 1 if items is None else items
        return Sequences(IdMap.count(len(rows), "user"), IdMap.count(count, "item"), values, indptr)

    return of


@pytest.fixture
def listed() -> Callable[[Jagged | Sequences], list[list[int]]]:
    """The rows as lists."""
    return lambda data: [data.values[start:end].tolist() for start, end in zip(data.indptr[:-1], data.indptr[1:], strict=True)]
