"""Reads .npz archives of plain arrays, and nothing that could run."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from graphcl.errors import InputError

Arrays = dict[str, NDArray[np.generic]]


def read_arrays(path: Path, wanted: Callable[[list[str]], list[str]] | None = None) -> Arrays:
    """The arrays of an ``.npz`` archive by name.

    Args:
        path: The file.
        wanted: Chooses from the names inside; all when ``None``.

    Raises:
        InputError: The file is missing, is no archive, is cut short or damaged, or holds pickled objects.
    """
    if not path.is_file():
        raise InputError(f"expected an .npz file at {path}, found none")
    name = ""
    try:
        if not zipfile.is_zipfile(path):
            raise zipfile.BadZipFile("not a zip archive, or cut short")
        with np.load(path, allow_pickle=False) as archive:
            chosen = archive.files if wanted is None else wanted(list(archive.files))
            arrays: Arrays = {}
            for name in chosen:
                arrays[name] = archive[name]
            return arrays
    except ValueError as error:
        if isinstance(error, InputError):
            raise
        if "allow_pickle" in str(error):
            raise InputError(
                f"{path}: array '{name}' holds pickled Python objects, which are never loaded; "
                "save it again as numbers or fixed-width text"
            ) from error
        raise _damaged(path, error) from error
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, KeyError, MemoryError, NotImplementedError) as error:
        raise _damaged(path, error) from error


def read_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """The shape of each array of an ``.npz`` archive, from the headers alone; empty when it cannot be read."""
    shapes: dict[str, tuple[int, ...]] = {}
    try:
        with zipfile.ZipFile(path) as archive:
            for member in archive.namelist():
                with archive.open(member) as stream:
                    version = np.lib.format.read_magic(stream)
                    header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
                    shapes[member.removesuffix(".npy")] = tuple(header(stream)[0])
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, NotImplementedError):
        return {}
    return shapes


def _damaged(path: Path, error: BaseException) -> InputError:
    return InputError(
        f"{path}: cannot be read as an .npz archive ({error}); it is cut short or damaged: fetch or write it again"
    )
