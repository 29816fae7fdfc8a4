from __future__ import annotations

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[3]


@pytest.fixture
def real_root() -> Path:
    """The folder of real data sets; the test is skipped where there is none."""
    named = os.environ.get("GRAPHCL_DATA")
    root = Path(named) if named else REPOSITORY / "../shared/data"
    if not (root / "citation").is_dir():
        pytest.skip("needs real data sets: set GRAPHCL_DATA to their root")
    return root
