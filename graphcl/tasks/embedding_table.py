"""Embeddings as a table with the caller's own ids: CSV, Parquet, or NPY with the ids beside it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from graphcl.errors import InputError
from graphcl.training.run_folder import replacing

ENDINGS = (".csv", ".parquet", ".npy")


def check_target(path: Path) -> None:
    """Refuses a file that `write_embeddings` could not write, before anything is trained.

    Raises:
        InputError: Another ending, a file that is there already, or a folder that is missing or cannot be written to.
    """
    if path.suffix.lower() not in ENDINGS:
        raise InputError(f"--out {path}: expected a file ending in .csv, .parquet or .npy")
    for file in files_of(path):
        if file.exists():
            raise InputError(f"--out {path}: {file} is there already; name another file, or remove it")
    if not path.parent.is_dir():
        raise InputError(f"--out {path}: there is no folder {path.parent}; make it first")
    if not os.access(path.parent, os.W_OK):
        raise InputError(f"--out {path}: cannot write to {path.parent.absolute()}; name another folder")


def files_of(path: Path) -> list[Path]:
    """The files that a table consists of: an NPY file has its ids beside it, in ``NAME.ids.csv``."""
    return [path] if path.suffix.lower() != ".npy" else [path.with_suffix(".ids.csv"), path]


def write_embeddings(path: Path, ids: Sequence[str], embedding: npt.NDArray[np.float32]) -> None:
    """Writes one row a node in the order of the input: ``id``, ``e0``, ``e1``, ...; every file appears whole or not at all.

    Numbers are float32, and come back exactly from all three formats.

    Args:
        path: A ``.csv``, ``.parquet`` or ``.npy`` file.
        ids: The caller's ids.
        embedding: One row an id.

    Shapes:
        embedding: ``(N, D)``.
    """
    column = pl.Series("id", list(ids), dtype=pl.String)
    if path.suffix.lower() == ".npy":
        beside, _ = files_of(path)
        with replacing(beside) as temporary:
            column.to_frame().write_csv(temporary)
        with replacing(path) as temporary:
            np.save(temporary, embedding, allow_pickle=False)
        return
    names = [f"e{index}" for index in range(embedding.shape[1])]
    frame = pl.DataFrame(np.ascontiguousarray(embedding), schema=names, orient="row").insert_column(0, column)
    with replacing(path) as temporary:
        frame.write_csv(temporary) if path.suffix.lower() == ".csv" else frame.write_parquet(temporary)
