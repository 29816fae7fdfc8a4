from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture
def real_root() -> Path:
    """The folder of real data sets; the test is skipped where there is none."""
    named = os.environ.get("GRAPHCL_DATA")
    root = Path(named) if named else REPOSITORY / "../shared/data"
    if not (root / "citation").is_dir():
        pytest.skip("needs real data sets: set GRAPHCL_DATA to their root")
    return root


@pytest.fixture
def bundle(tmp_path: Path) -> Callable[..., Path]:
    """Writes a small valid archive under a fresh root, with arrays changed (or removed by None); gives its path."""

    def write(domain: str = "citation", name: str = "mine", **changes: object) -> Path:
        arrays: dict[str, object] = {
            "edge_index": np.array([[0, 1, 1, 2], [1, 0, 2, 1]], dtype=np.int32),
            "x": np.arange(8, dtype=np.float32).reshape(4, 2),
            "y": np.array([0, 1, 1, 0]),
            **changes,
        }
        path = tmp_path / "root" / domain / name / "data.npz"
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(path, **{key: value for key, value in arrays.items() if value is not None})
        return path

    return write


@pytest.fixture
def csv(tmp_path: Path) -> Callable[[str, str], Path]:
    """Writes a text file; gives its path."""

    def write(name: str, text: str) -> Path:
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return write
