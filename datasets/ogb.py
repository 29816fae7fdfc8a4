"""The zip archives of OGB node sets, read where they lie: nothing is extracted and nothing is unpickled."""

from __future__ import annotations

import gzip
import zipfile
import zlib
from pathlib import Path, PurePosixPath

import numpy as np
import polars as pl
from numpy.typing import NDArray
from torch_geometric.data import Data

from graphcl.datasets.catalogue import Record
from graphcl.datasets.compose import compose
from graphcl.datasets.edges import check_index, undirect
from graphcl.datasets.labels import check_labels
from graphcl.datasets.matrix import check_dense
from graphcl.datasets.provenance import Provenance, hash_files
from graphcl.errors import InputError

_SPLIT = {"train": "train_mask", "valid": "val_mask", "test": "test_mask"}


def load_ogb(path: Path, *, name: str, domain: str = "large", record: Record | None = None) -> Data:
    """The graph in an archive of gzipped CSV: ``raw/{edge,node-feat,node-label}`` and ``split/SCHEME/{train,valid,test}``.

    Hu et al., 2020, https://arxiv.org/abs/2005.00687. Edges are made symmetric and lose their self-loops; OGB's own
    loader leaves ``ogbn-arxiv`` directed. Memory: two to three times the largest CSV, decompressed.

    Args:
        path: The archive.
        name: For the provenance.
        domain: For the provenance.
        record: Source and licence.

    Shapes:
        returns: ``Data`` with x ``(N, F)`` float32, edge_index ``(2, 2E)``, y ``(N,)``, three masks ``(N,)``.

    Raises:
        InputError: Missing, damaged, a member would leave the archive's folder, a table is missing or ill-formed, or the
            parts of the split overlap.
    """
    record = record or Record()
    if not path.is_file():
        raise InputError(f"expected a zip archive at {path}, found none")
    member = str(path)
    try:
        with zipfile.ZipFile(path) as archive:
            members = _members(archive, path)
            tables: dict[str, pl.DataFrame] = {}
            for key, member in members.items():
                kind = pl.Float32() if key == "node-feat" else pl.Int64()
                tables[key] = _read(archive, member, kind, f"{path}, {member}")
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError) as error:
        raise InputError(f"{path}: cannot be read at {member} ({error}); it is cut short or damaged: fetch it again") from error
    x = check_dense(tables.pop("node-feat").to_numpy(), f"{path}, {members['node-feat']}")
    num_nodes = x.shape[0]
    label = tables["node-label"]
    if label.width != 1:
        raise InputError(f"{path}, {members['node-label']}: expected one column, got {label.width}; fetch it again")
    labels = check_labels(label.to_series().to_numpy(), f"{path}, {members['node-label']}")
    rows = tables.pop("edge").to_numpy().T
    index = check_index(rows, num_nodes, f"{path}, {members['edge']}")
    edges = undirect(index[0], index[1], num_nodes)
    masks = {ours: np.zeros(num_nodes, dtype=np.bool_) for ours in _SPLIT.values()}
    taken = np.zeros(num_nodes, dtype=np.bool_)
    for theirs, ours in _SPLIT.items():
        ids = _ids(tables[theirs], num_nodes, f"{path}, {members[theirs]}")
        if taken[ids].any():
            raise InputError(f"{path}, {members[theirs]}: expected nodes of no other part of the split; fetch it again")
        taken[ids] = masks[ours][ids] = True
    known = Provenance(name, domain, record.source, record.licence, hash_files([path]), {"listed": index.shape[1]})
    return compose(edges, x, labels, masks, known, str(path))


def _members(archive: zipfile.ZipFile, path: Path) -> dict[str, str]:
    """The tables to read, by what they hold."""
    stored = archive.namelist()
    for member in stored:
        if member.startswith("/") or "\\" in member or ".." in PurePosixPath(member).parts:
            raise InputError(
                f"{path}: member {member!r} would leave the archive's folder, so this is not what OGB publishes; fetch it again"
            )
    found: dict[str, str] = {}
    patterns = {key: f"*/raw/{key}.csv.gz" for key in ("edge", "node-feat", "node-label")}
    patterns |= {part: f"*/split/*/{part}.csv.gz" for part in _SPLIT}
    for key, pattern in patterns.items():
        hits = [member for member in stored if PurePosixPath(member).match(pattern)]
        if len(hits) != 1:
            raise InputError(f"{path}: expected one {pattern}, found {', '.join(hits) or 'none'}; is it the right archive?")
        found[key] = hits[0]
    return found


def _read(archive: zipfile.ZipFile, member: str, kind: pl.DataType, where: str) -> pl.DataFrame:
    """A table without a header whose cells are all of one type."""
    with archive.open(member) as stream, gzip.open(stream) as lines:
        content = lines.read()
    width = content.count(b",", 0, content.find(b"\n")) + 1
    columns = {f"c{number}": kind for number in range(width)}
    try:
        table = pl.read_csv(content, has_header=False, schema=columns)
    except pl.exceptions.PolarsError as error:
        said = str(error).split("\n", 1)[0]
        raise InputError(f"{where}: expected a table of {kind} numbers ({said}); fetch it again") from error
    if not table.height or any(table.null_count().row(0)):
        raise InputError(f"{where}: expected a number in every cell, got {'an empty one' if table.height else 'no rows'}")
    return table


def _ids(table: pl.DataFrame, num_nodes: int, where: str) -> NDArray[np.int64]:
    ids = table.to_series().to_numpy()
    if table.width != 1 or ids.min() < 0 or ids.max() >= num_nodes:
        raise InputError(f"{where}: expected one column of node ids from 0 to {num_nodes - 1}; fetch it again")
    return ids.astype(np.int64)
