"""The folder a run leaves behind; every file appears whole or not at all."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt
import yaml

from graphcl.errors import InputError

MARKERS = ("config.yaml", "metrics.json", "metrics.jsonl")
CHECKPOINTS = "checkpoints"
UNFINISHED = ".writing-"  # begins the name of a file that is not whole yet


class RunFolder:
    """A run's files. Whole files are written beside their place and moved into it; ``metrics.jsonl`` grows by whole lines.

    Args:
        path: The folder, made on first use; `reopen` goes on in the folder of a run that was killed.

    Attributes:
        reopened: Whether there was a run in it that goes on.

    Raises:
        InputError: The path is a file, or holds a run already, finished or not.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.reopened = self._made = self._numbered = False
        if self.path.exists() and not self.path.is_dir():
            raise InputError(f"--out {self.path} is a file; name a folder")
        if _can_go_on(self.path):
            raise InputError(
                f"{self.path} holds an unfinished run: continue it with graphcl run --resume {self.path}, "
                "or name another folder with --out"
            )
        if any((self.path / name).exists() for name in MARKERS):
            raise InputError(f"{self.path} holds a run already; name another folder with --out, or remove it")
        nearest = _nearest_existing(self.path)
        if not (nearest.is_dir() and os.access(nearest, os.W_OK)):
            raise _unwritable(self.path)

    @classmethod
    def fresh(cls, parent: str | Path, stem: str) -> RunFolder:
        """A folder ``parent/stem-DATE-TIME`` that nobody has used yet; a number is added where that name is taken."""
        base = Path(parent) / f"{stem}-{time.strftime('%Y%m%d-%H%M%S')}"
        path, count = base, 1
        while path.exists():
            count += 1
            path = base.with_name(f"{base.name}-{count}")
        folder = cls(path)
        folder._numbered = True
        return folder

    @classmethod
    def reopen(cls, path: str | Path, *, finished: bool = False) -> RunFolder:
        """The folder of a run that was killed, to go on in; files that were not whole yet are removed.

        Args:
            path: The folder.
            finished: Whether a run that is over will do as well, if it kept its checkpoints.

        Raises:
            InputError: There is no such folder, or none of a run that can go on.
        """
        path = Path(path)
        if not path.is_dir():
            raise InputError(f"--resume {path}: there is no such folder")
        over = cls.finished(path)
        if over and finished and not (path / CHECKPOINTS).is_dir():
            raise InputError(
                f"--resume {path}: this run is over and kept nothing to go on from, as only a recommender does whose best "
                "epoch was its last; start a longer one, with --out and another folder"
            )
        if not _can_go_on(path) and not (over and finished):
            raise InputError(
                f"--resume {path}: there is no run that could go on, for want of config.yaml or {CHECKPOINTS}/; "
                "start it again, with --out and another folder"
            )
        if not os.access(path, os.W_OK):
            raise _unwritable(path)
        for leftover in (*path.glob(f"{UNFINISHED}*"), *(path / CHECKPOINTS).glob(f"{UNFINISHED}*")):
            leftover.unlink(missing_ok=True)  # another rank of the same run may have been quicker
        folder = cls.__new__(cls)
        folder.path, folder.reopened, folder._made, folder._numbered = path, True, True, False
        return folder

    @staticmethod
    def finished(path: str | Path) -> bool:
        """Whether a folder holds a run that is over."""
        return (Path(path) / "metrics.json").exists()

    def make(self) -> bool:
        """Makes the folder, which nothing has done before the first write; ``True`` if it was this call.

        Raises:
            InputError: It cannot be made.
        """
        if self._made:
            return False
        wanted, count = self.path, 1
        while not self._made:
            try:
                self.path.mkdir(parents=True, exist_ok=not self._numbered)
                self._made = True
            except OSError as error:
                if not (self._numbered and isinstance(error, FileExistsError)):
                    raise _unwritable(self.path, error.strerror) from error
                count += 1  # a run that was started in the same second
                self.path = wanted.with_name(f"{wanted.name}-{count}")
        return True

    def write_yaml(self, name: str, content: Mapping[str, Any]) -> Path:
        """Writes a mapping as YAML, in its own order."""
        text = yaml.safe_dump(dict(content), sort_keys=False, allow_unicode=True)
        return self.write(name, lambda file: file.write(text.encode()))

    def write_json(self, name: str, content: Mapping[str, Any]) -> Path:
        """Writes a mapping as JSON; values that are not finite are refused."""
        text = json.dumps(content, indent=2, allow_nan=False) + "\n"
        return self.write(name, lambda file: file.write(text.encode()))

    def write_array(self, name: str, array: npt.NDArray[Any]) -> Path:
        """Writes an array in NumPy's format, without pickling."""
        return self.write(name, lambda file: np.save(file, array, allow_pickle=False))

    def write(self, name: str, put: Callable[[IO[bytes]], object]) -> Path:
        """Writes a file by a function that fills an open binary file."""
        with self.replacing(name) as temporary, temporary.open("wb") as file:
            put(file)
        return self.path / name

    @contextmanager
    def replacing(self, name: str) -> Iterator[Path]:
        """A path to write to, which takes the place of ``name`` when the block ends well and vanishes when it does not."""
        self.make()
        target = self.path / name
        target.parent.mkdir(exist_ok=True)
        with replacing(target) as temporary:
            yield temporary

    def write_lines(self, name: str, lines: Iterable[Mapping[str, Any]]) -> Path:
        """Writes JSON lines, as ``append`` would have one by one, in the place of what is there."""
        text = "".join(map(_line, lines))
        return self.write(name, lambda file: file.write(text.encode()))

    def append(self, name: str, line: Mapping[str, Any]) -> None:
        """Adds one JSON line; what is not finite is written as null."""
        self.make()
        with (self.path / name).open("a") as file:
            file.write(_line(line))

    def take_up(self, config: Mapping[str, Any]) -> None:
        """Makes the run in a reopened folder an unfinished one of this configuration; a result it came to is removed."""
        (self.path / "metrics.json").unlink(missing_ok=True)  # first: without it, either configuration goes on
        self.write_yaml("config.yaml", config)

    def discard_checkpoints(self) -> None:
        """Removes what only an unfinished run needs."""
        shutil.rmtree(self.path / CHECKPOINTS, ignore_errors=True)


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """A path beside ``target`` to write to; it takes the target's place, flushed to disk, when the block ends well.

    Whenever the process or the machine dies, ``target`` is what it was before or what it should become.
    """
    handle, text = tempfile.mkstemp(dir=target.parent, prefix=UNFINISHED, suffix=target.suffix)
    os.close(handle)
    temporary = Path(text)
    try:
        yield temporary
        temporary.chmod(0o644)
        _flush(temporary)
        temporary.replace(target)
        _flush(target.parent)  # the folder's own entry
    finally:
        temporary.unlink(missing_ok=True)


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _can_go_on(path: Path) -> bool:
    return (path / "config.yaml").exists() and (path / CHECKPOINTS).is_dir() and not RunFolder.finished(path)


def _line(content: Mapping[str, Any]) -> str:
    return json.dumps({key: _finite(value) for key, value in content.items()}, allow_nan=False) + "\n"


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not np.isfinite(value) else value


def _unwritable(path: Path, reason: str | None = None) -> InputError:
    return InputError(f"cannot write to {path}{f' ({reason})' if reason else ''}; name another folder with --out")


def _nearest_existing(path: Path) -> Path:
    path = path.absolute()
    while not path.exists():
        path = path.parent
    return path
