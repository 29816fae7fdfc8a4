"""Where data sets are looked for: the argument, else the environment, else the platform's cache folder."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

from graphcl.errors import InputError

VARIABLE = "GRAPHCL_DATA"


def data_root(root: str | Path | None = None) -> Path:
    """The folder that holds the data sets, as ``ROOT/domain/name``.

    Args:
        root: A folder; ``None`` reads the variable ``GRAPHCL_DATA`` and falls back to the platform's cache
            folder, the only one that need not exist.

    Raises:
        InputError: The folder was named, by argument or variable, and is not a folder.
    """
    if root is not None:
        path, origin = Path(root).expanduser(), "given as the data root"
    elif os.environ.get(VARIABLE):
        path, origin = Path(os.environ[VARIABLE]).expanduser(), f"named by {VARIABLE}"
    else:
        return cache_root()
    if not path.is_dir():
        what = "is a file" if path.exists() else "does not exist"
        raise InputError(
            f"expected a folder of data sets, got {path} ({origin}), which {what}; name another with --data ROOT or {VARIABLE}"
        )
    return path


def cache_root() -> Path:
    """The platform's cache folder, which need not exist."""
    return Path(platformdirs.user_cache_dir("graphcl"))
