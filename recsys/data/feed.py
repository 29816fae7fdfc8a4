"""Files and frames of any make to batches of named columns, a bounded number of rows at a time."""

from __future__ import annotations

import gzip
import io
import itertools
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias, cast

import narwhals as nw
import numpy as np
import polars as pl
from narwhals.typing import IntoDataFrame
from numpy.typing import NDArray

from graphcl.datasets.arrays import read_arrays
from graphcl.datasets.frames import Table
from graphcl.errors import InputError

Source: TypeAlias = str | Path | IntoDataFrame | pl.LazyFrame | Iterable[IntoDataFrame]

BATCH_ROWS = 1_000_000
BLOCK_BYTES = 32 << 20

_SEPARATORS = {".csv": ",", ".tsv": "\t", ".inter": "\t"}
_SCANS: dict[str, Callable[[Path], pl.LazyFrame]] = {
    ".parquet": pl.scan_parquet, ".pq": pl.scan_parquet, ".arrow": pl.scan_ipc, ".feather": pl.scan_ipc, ".ipc": pl.scan_ipc
}  # fmt: skip
_SUFFIXES = ".csv, .tsv or .inter (each also with .gz), .parquet, .arrow, .feather or .npz"
_TYPED = re.compile(r"^(.+):(token|float|token_seq|float_seq)$")


@dataclass(frozen=True)
class Feed:
    """A source that has been opened, before its rows are read.

    Args:
        head: Its name and columns; no rows.
        batches: The rows of some columns, in order, a batch at a time. Can be called once.
    """

    head: Table
    batches: Callable[[list[str]], Iterator[Table]]


def open_feed(source: Source, role: str) -> Feed:
    """Opens a file, a frame, or a stream of frames.

    Text is read in blocks of about 32 MB and parsed as text, so ids keep their zeros; Parquet and Arrow files a million rows
    at a time; so memory does not grow with the file. Headers like ``user_id:token`` lose what follows the colon.

    Args:
        source: A path; a frame of pandas, polars, pyarrow or alike; a polars ``LazyFrame``; or an iterable of frames, such as a
            ``pyarrow.RecordBatchReader``.
        role: What the rows are; names a frame in messages.

    Raises:
        InputError: Missing, unreadable, of another kind, or a text file without a header line.
    """
    if isinstance(source, str | Path):
        return _open_path(Path(source).expanduser(), role)
    if isinstance(source, pl.LazyFrame):
        return _open_scan(source, role)
    frame = _as_frame(source)
    if frame is not None:
        return _open_stream([frame], role)
    if isinstance(source, Iterable):
        return _open_stream(source, role)
    raise InputError(f"{role}: expected a path, a frame or an iterable of frames, got {type(source).__name__}")


def _open_path(path: Path, role: str) -> Feed:
    suffixes = [suffix.lower() for suffix in path.suffixes]
    packed = suffixes[-1:] == [".gz"]
    kind = ((suffixes[:-1] if packed else suffixes)[-1:] or [""])[0]
    if kind not in (*_SEPARATORS, *_SCANS, ".npz") or (packed and kind not in _SEPARATORS):
        raise InputError(f"{path}: expected a file called {_SUFFIXES}, got '{''.join(suffixes[-2:])}'")
    if not path.is_file():
        raise InputError(f"expected a file of {role} at {path}, found {'a folder' if path.is_dir() else 'none'}")
    if kind in _SEPARATORS:
        return _open_text(path, _SEPARATORS[kind], role)
    if kind == ".npz":
        arrays = {name: array for name, array in read_arrays(path).items() if array.ndim == 1}
        if len({array.size for array in arrays.values()}) != 1:
            raise InputError(f"{path.name}: expected arrays of one length, got " + ", ".join(map(_said, arrays.items())))
        return _open_stream([pl.DataFrame({name: np.ascontiguousarray(array) for name, array in arrays.items()})], path.name)
    with _readable(path, kind):
        return _open_scan(_SCANS[kind](path), path.name, path)


def _said(entry: tuple[str, NDArray[Any]]) -> str:
    return f"{entry[0]} {entry[1].shape}"


@contextmanager
def _readable(path: Path | None, kind: str) -> Iterator[None]:
    """Turns what a parser says of a damaged file into one line."""
    try:
        yield
    except (pl.exceptions.PolarsError, OSError, EOFError, UnicodeDecodeError) as error:
        if path is None:
            raise
        reason = (str(error) or type(error).__name__).strip().splitlines()[0]
        raise InputError(f"{path}: cannot be read as {kind[1:]} ({reason}); is it damaged, or another format?") from error


def _open_scan(scan: pl.LazyFrame, name: str, path: Path | None = None) -> Feed:
    kind = "" if path is None else path.suffix
    with _readable(path, kind):
        schema = scan.collect_schema()

    def batches(columns: list[str]) -> Iterator[Table]:
        chosen = scan.select(columns)
        if path is None:  # a plan would be run again for every slice
            frame = chosen.collect()
            yield from _sliced(frame, name)
            return
        with _readable(path, kind):
            height = int(scan.select(pl.len()).collect().item())
        for start in range(0, height, BATCH_ROWS):
            with _readable(path, kind):
                frame = chosen.slice(start, BATCH_ROWS).collect()
            yield Table(name, frame, np.arange(start + 1, start + frame.height + 1))

    return Feed(Table(name, pl.DataFrame(schema=schema), np.empty(0, dtype=np.int64)), batches)


def _sliced(frame: pl.DataFrame, name: str, before: int = 0) -> Iterator[Table]:
    for start in range(0, frame.height, BATCH_ROWS):
        part = frame.slice(start, BATCH_ROWS)
        yield Table(name, part, np.arange(before + start + 1, before + start + part.height + 1))


def _open_stream(frames: Iterable[object], role: str) -> Feed:
    stream = iter(frames)
    first = next(stream, None)
    head = None if first is None else _as_frame(first)
    if head is None:
        got = "nothing" if first is None else type(first).__name__
        raise InputError(f"{role}: expected a path, a frame or an iterable of frames, got an iterable of {got}")

    def batches(columns: list[str]) -> Iterator[Table]:
        before = 0
        for number, part in enumerate(itertools.chain([head], stream), start=1):
            frame = _as_frame(part)
            if frame is None:
                raise InputError(f"{role}: expected a frame as batch {number}, got {type(part).__name__}")
            lacking = [column for column in columns if column not in frame.columns]
            if lacking:
                raise InputError(f"{role}: batch {number} lacks the column '{lacking[0]}' that the first batch has")
            yield from _sliced(frame.select(columns), role, before)
            before += frame.height

    return Feed(Table(role, head.clear(), np.empty(0, dtype=np.int64)), batches)


def _as_frame(source: object) -> pl.DataFrame | None:
    """A polars frame of the same columns; ``None`` for what is no frame."""
    if isinstance(source, pl.DataFrame):
        return source
    if type(source).__module__.startswith("pyarrow") and hasattr(source, "num_rows"):
        return pl.DataFrame(cast("Any", source))  # a table or a record batch
    try:
        wrapped = nw.from_native(cast("IntoDataFrame", source), eager_only=True)
    except TypeError:
        return None
    return pl.DataFrame([_column(str(name), wrapped[name]) for name in wrapped.columns])


def _column(name: str, series: nw.Series[Any]) -> pl.Series:
    """One column through numpy, since other ways from pandas to polars ask for pyarrow."""
    missing = np.asarray(series.is_null().to_numpy(), dtype=bool)
    if series.dtype == nw.Datetime:
        stamps = np.where(missing, 0, series.dt.timestamp("us").to_numpy()).astype(np.int64)
        held = pl.Series(name, stamps).cast(pl.Datetime("us", "UTC"))
        return pl.DataFrame({"a": held, "b": missing}).select(pl.when(~pl.col("b")).then("a").alias(name))[name]
    whole = series.dtype.is_integer()
    # Gaps would turn integers into floats, which lose the last digits of long ids.
    values = cast("NDArray[Any]", (series.fill_null(0) if whole and missing.any() else series).to_numpy())
    if values.dtype.kind in "iufb":
        held = pl.Series(name, np.ascontiguousarray(values))
        return held.set(pl.Series(missing), None) if whole and missing.any() else held
    cells = [None if gone else str(value) for value, gone in zip(values.tolist(), missing, strict=True)]
    return pl.Series(name, cells, dtype=pl.String)


def _open_text(path: Path, separator: str, role: str) -> Feed:
    kind = path.suffix
    with _readable(path, kind), _stream(path) as stream:
        header = stream.readline().decode("utf-8-sig")
    if not header.strip():
        raise InputError(f"{path.name}: expected a header line and rows of {role}, the first line is empty")
    plain = header.strip("\r\n")
    other = next((mark for mark in (",", ";", "\t", "::") if mark != separator and mark in plain), None)
    if separator not in plain and other:
        raise InputError(f"{path.name}: expected columns separated by {separator!r}, but the header has {other!r}; convert it")
    with _readable(path, kind):
        columns = pl.read_csv(io.BytesIO(header.encode()), separator=separator, infer_schema=False).columns
    if all(re.fullmatch(r"\s*[-+.\deE]+\s*", cell.strip('"')) for cell in plain.split(separator)):
        raise InputError(
            f"{path.name} line 1: expected column names, got '{plain[:40]}'; add a header line such as user,item,timestamp"
        )
    names = [column.strip() for column in columns]
    if all(_TYPED.match(name) for name in names):
        names = [name.rsplit(":", 1)[0] for name in names]
    stored = dict(zip(names, columns, strict=True))
    first = header.encode() if header.endswith("\n") else header.encode() + b"\n"

    def parse(block: bytes, chosen: list[str] | None) -> pl.DataFrame:
        with _readable(path, kind):
            return pl.read_csv(io.BytesIO(first + block), separator=separator, infer_schema=False, columns=chosen)

    def batches(wanted: list[str]) -> Iterator[Table]:
        line = 2
        with _readable(path, kind), _stream(path) as stream:
            stream.readline()
            for block in _blocks(stream, BLOCK_BYTES):
                frame = parse(block, [stored[name] for name in wanted]).rename({stored[name]: name for name in wanted})
                frame = frame.select(wanted)
                rows = np.arange(line, line + frame.height)
                line += block.count(b"\n")
                if frame.select(pl.all_horizontal(pl.all().is_null())).to_series().any():
                    # Either blank lines, which mean nothing, or rows that lack all of ours, which do.
                    blank = parse(block, None).select(pl.all_horizontal(pl.all().is_null())).to_series()
                    frame, rows = frame.filter(~blank), rows[~blank.to_numpy()]
                yield Table(path.name, frame, rows, unit="line", text=True)

    return Feed(Table(path.name, pl.DataFrame(schema=dict.fromkeys(names, pl.String)), np.empty(0, dtype=np.int64)), batches)


def _stream(path: Path) -> BinaryIO:
    return cast("BinaryIO", gzip.open(path)) if path.suffix.lower() == ".gz" else path.open("rb")


def _blocks(stream: BinaryIO, size: int) -> Iterator[bytes]:
    """Whole lines of about ``size`` bytes; a line break between quotes ends no line."""
    rest = b""
    while piece := stream.read(size):
        block = rest + piece
        cut = block.rfind(b"\n") + 1
        if cut and block.count(b'"', 0, cut) % 2:
            content = np.frombuffer(block, dtype=np.uint8)
            open_quote = np.cumsum(content == ord('"'), dtype=np.int64) % 2 == 1
            ends = np.flatnonzero((content == ord("\n")) & ~open_quote)
            cut = int(ends[-1]) + 1 if ends.size else 0
        if cut:
            yield block[:cut]
        rest = block[cut:]
    if rest:
        yield rest
