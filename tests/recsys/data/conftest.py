from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from graphcl.recsys.data import Events, IdMap, Interactions

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
def write(tmp_path: Path) -> Callable[[str, str], Path]:
    """Writes a text file; gives its path."""

    def file(name: str, text: str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    return file


@pytest.fixture
def events() -> Callable[..., Events]:
    """Rows of user and item numbers, with weights and times where given; ids are ``u0``, ``i0`` and so on."""

    def rows(
        pairs: Sequence[tuple[int, int]], *, weight: Sequence[float] | None = None, time: Sequence[int] | None = None
    ) -> Events:
        user = np.array([pair[0] for pair in pairs], dtype=np.int32)
        item = np.array([pair[1] for pair in pairs], dtype=np.int32)
        return Events(
            IdMap(pl.Series([f"u{n}" for n in range(user.max(initial=-1) + 1)], dtype=pl.String), "user"),
            IdMap(pl.Series([f"i{n}" for n in range(item.max(initial=-1) + 1)], dtype=pl.String), "item"),
            user,
            item,
            None if weight is None else np.array(weight, dtype=np.float32),
            None if time is None else np.array(time, dtype=np.int64),
        )

    return rows


@pytest.fixture
def pairs_of() -> Callable[[Interactions], list[tuple[int, int]]]:
    """The pairs of an object, in its order."""
    return lambda data: list(zip(data.rows.tolist(), data.indices.tolist(), strict=True))
