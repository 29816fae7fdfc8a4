"""Files and frames of any make to one table that remembers where its rows came from."""

from __future__ import annotations

import gzip
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias, cast

import narwhals as nw
import numpy as np
import polars as pl
from narwhals.typing import IntoDataFrame
from numpy.typing import NDArray

from graphcl.datasets.arrays import Arrays, read_arrays
from graphcl.errors import InputError, unknown_name

Source: TypeAlias = str | Path | IntoDataFrame
Role: TypeAlias = Literal["edges", "nodes"]

_SEPARATORS = {".csv": ",", ".tsv": "\t"}
_PARQUET = (".parquet", ".pq")


@dataclass(frozen=True)
class Table:
    """Rows and columns, and how to speak of them.

    Args:
        name: File name, or ``"edges"`` or ``"nodes"`` for a frame.
        frame: The columns; text files are all text.
        rows: What a person calls each row: file lines for text, from 1 otherwise.
        unit: ``"line"`` or ``"row"``.
        matrix: Features that came as one array, in archives.
        text: Whether the cells were read from a text file.
    """

    name: str
    frame: pl.DataFrame
    rows: NDArray[np.int64]
    unit: str = "row"
    matrix: NDArray[np.generic] | None = None
    text: bool = False

    def place(self, index: int) -> str:
        """Where row ``index`` is, such as ``"edges.csv line 7"``."""
        return f"{self.name} {self.unit} {self.rows[index]}"

    def column(self, name: str) -> pl.Series:
        """The column called ``name``.

        Raises:
            InputError: There is none; says the nearest names.
        """
        if name not in self.frame.columns:
            raise InputError(f"{self.name}: {unknown_name('column', name, self.frame.columns)}")
        return self.frame[name]

    def find(self, candidates: Iterable[str]) -> str | None:
        """The first column called like one of the candidates, capitals aside."""
        lower = {column.lower(): column for column in reversed(self.frame.columns)}
        return next((lower[candidate] for candidate in candidates if candidate in lower), None)


def read_table(source: Source, role: Role) -> Table:
    """A table from a CSV, TSV, Parquet or NPZ file, or from a frame of pandas, polars or alike.

    Args:
        source: A path, judged by its suffix (``.csv``, ``.tsv``, each also with ``.gz``; ``.parquet``; ``.npz``), or a frame.
        role: What the rows are; names a frame in messages.

    Raises:
        InputError: Missing, unreadable, of another kind, without rows, or a text file without a header line.
    """
    table = _read_path(Path(source).expanduser(), role) if isinstance(source, str | Path) else _from_frame(source, role)
    if not table.frame.height:
        raise InputError(f"{table.name}: expected at least one row of {role}, got none")
    return table


def to_text(values: pl.Series, *, strip: bool) -> pl.Series:
    """Ids as text: ``007`` stays, 1.0 becomes ``1``, empty and NaN become missing.

    Args:
        values: Ids of any type.
        strip: Whether blanks around them mean nothing, as in text files.
    """
    if values.dtype.is_float():
        values = values.fill_nan(None)
        text = values.cast(pl.String)
        # A column of whole numbers turns into floats as soon as one cell is empty; the ids were never 1.0.
        text = text.str.replace(r"\.0$", "")
    else:
        text = values.cast(pl.String)
    if strip:
        text = text.str.strip_chars()
    return text.replace("", None)


def _read_path(path: Path, role: Role) -> Table:
    suffixes = [suffix.lower() for suffix in path.suffixes]
    packed = suffixes[-1:] == [".gz"]
    kind = (suffixes[:-1] if packed else suffixes)[-1:] or [""]
    if kind[0] not in (*_SEPARATORS, *_PARQUET, ".npz") or (packed and kind[0] not in _SEPARATORS):
        raise InputError(f"{path}: expected a .csv, .tsv, .csv.gz, .tsv.gz, .parquet or .npz file, got '{''.join(suffixes)}'")
    if not path.is_file():
        raise InputError(f"expected a file of {role} at {path}, found {'a folder' if path.is_dir() else 'none'}")
    if kind[0] == ".npz":
        return _from_arrays(read_arrays(path), path, role)
    try:
        if kind[0] in _SEPARATORS:
            return _read_text(path, _SEPARATORS[kind[0]], role)
        frame = pl.read_parquet(path)
    except pl.exceptions.NoDataError as error:
        raise InputError(f"{path.name}: expected a header line and rows of {role}, the file is empty") from error
    except (pl.exceptions.PolarsError, OSError, EOFError, UnicodeDecodeError) as error:
        reason = (str(error) or type(error).__name__).strip().splitlines()[0]
        raise InputError(f"{path}: cannot be read as {kind[0][1:]} ({reason}); is it damaged, or another format?") from error
    return Table(path.name, frame, np.arange(1, frame.height + 1))


def _read_text(path: Path, separator: str, role: Role) -> Table:
    _check_header(path, separator, role)
    # Everything as text: ids keep their zeros, and a word among numbers can be reported where it is.
    frame = pl.read_csv(path, separator=separator, infer_schema=False)
    frame = frame.rename({name: name.strip() for name in frame.columns})
    blank = frame.select(pl.all_horizontal(pl.all().is_null())).to_series() if frame.width else pl.Series([], dtype=pl.Boolean)
    rows = np.arange(2, frame.height + 2)
    if blank.any():
        frame, rows = frame.filter(~blank), rows[~blank.to_numpy()]
    return Table(path.name, frame, rows, unit="line", text=True)


def _check_header(path: Path, separator: str, role: Role) -> None:
    with gzip.open(path) if path.suffix.lower() == ".gz" else path.open("rb") as stream:
        header = stream.readline().decode("utf-8-sig").strip("\r\n")
    cells = [cell.strip().strip('"') for cell in header.split(separator)]
    other = next((mark for mark in (",", ";", "\t", " ") if mark != separator and mark in header), None)
    if len(cells) == 1 and other and role == "edges":
        raise InputError(
            f"{path.name}: expected columns separated by {separator!r}, but the header has {other!r}; convert the file"
        )
    if header and all(_is_number(cell) for cell in cells):
        example = "source,target" if role == "edges" else "id,label"
        raise InputError(f"{path.name} line 1: expected column names, got '{header[:40]}'; add a header line such as {example}")


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _from_frame(source: IntoDataFrame, role: Role) -> Table:
    try:
        wrapped = nw.from_native(source, eager_only=True)
    except TypeError as error:
        raise InputError(f"{role}: expected a path or a pandas or polars frame, got {type(source).__name__}") from error
    native: object = wrapped.to_native()
    if isinstance(native, pl.DataFrame):
        frame = native
    else:
        frame = pl.DataFrame([_column(str(name), wrapped[name]) for name in wrapped.columns])
    return Table(role, frame, np.arange(1, frame.height + 1))


def _column(name: str, series: nw.Series[Any]) -> pl.Series:
    """One column through numpy, since other ways to polars ask for pyarrow."""
    values = cast("NDArray[Any]", series.to_numpy())
    if values.dtype.kind in "iufb":
        return pl.Series(name, np.ascontiguousarray(values))
    held = values.astype(object)
    held[np.asarray(series.is_null().to_numpy())] = None
    return pl.Series(name, held.tolist(), dtype=pl.String, strict=False)


def _from_arrays(arrays: Arrays, path: Path, role: Role) -> Table:
    if role == "edges":
        index = arrays.get("edge_index")
        if index is not None and (index.ndim != 2 or index.shape[0] != 2):
            raise InputError(f"{path.name}, edge_index: expected shape (2, E), got {index.shape}")
        columns = {"source": index[0], "target": index[1]} if index is not None else {}
        weight = arrays.get("weight", arrays.get("edge_weight"))
        columns |= {key: arrays[key] for key in ("source", "target") if key in arrays}
        columns |= {} if weight is None else {"weight": weight}
        if "source" not in columns or "target" not in columns:
            raise InputError(f"{path.name}: expected edge_index, or source and target, found {', '.join(arrays) or 'nothing'}")
        matrix = None
    else:
        columns = {key: value for key, value in arrays.items() if value.ndim == 1}
        matrix = arrays.get("x") if "x" not in columns else None
        if matrix is not None and "id" not in columns:
            columns = {"id": np.arange(matrix.shape[0] if matrix.ndim else 0), **columns}
        if not columns:
            raise InputError(f"{path.name}: expected id and x, found {', '.join(arrays) or 'nothing'}")
    lengths = {key: value.shape for key, value in columns.items()} | ({} if matrix is None else {"x": matrix.shape[:1]})
    if len(set(lengths.values())) > 1 or any(len(shape) != 1 for shape in lengths.values()):
        said = ", ".join(f"{key} {shape}" for key, shape in lengths.items())
        raise InputError(f"{path.name}: expected arrays of one length, got {said}")
    frame = pl.DataFrame([pl.Series(key, np.ascontiguousarray(value)) for key, value in columns.items()])
    return Table(path.name, frame, np.arange(1, frame.height + 1), matrix=matrix)
