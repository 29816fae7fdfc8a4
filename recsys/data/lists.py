"""Text files of one user a line, ``user item item ...``: how published splits and sequences are handed around."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

import numpy as np

from graphcl.errors import InputError
from graphcl.recsys.data.events import Events
from graphcl.recsys.data.id_map import IdMap

_BLANK = np.array([chr(code).isspace() for code in range(256)]) & (np.arange(256) < 128)


def read_lists(path: str | Path, *, users: IdMap | None = None, items: IdMap | None = None) -> Events:
    """The rows of a file of lists, in order; a user without items is a user all the same.

    Ids are integers, numbered by first appearance. Time and memory ``O(bytes of the file)``.

    Args:
        path: A ``.txt`` file, or ``.txt.gz``.
        users: A map to go on from; new users are added at its end.
        items: The same for items.

    Raises:
        InputError: Missing, damaged or empty, or something that is no whole number; says the line.
    """
    path = Path(path)
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except FileNotFoundError as error:
        raise InputError(f"expected a file of lists at {path}, found none") from error
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path}: cannot be read ({error}); is it damaged?") from error
    letters = np.frombuffer(content, dtype=np.uint8)
    blank = _BLANK[letters]
    starts = np.flatnonzero(~blank & np.concatenate([[True], blank[:-1]]))
    line = np.cumsum(letters == ord("\n"), dtype=np.int32)[starts]
    tokens = content.split()
    if not tokens:
        raise InputError(f"{path.name}: expected lines like 'user item item', the file is empty")
    strange = ((letters < ord("0")) | (letters > ord("9"))) & ~blank
    if strange.any():
        at = int(np.searchsorted(starts, np.argmax(strange), side="right")) - 1
        got = tokens[at].decode(errors="replace")
        raise InputError(f"{path.name} line {line[at] + 1}: expected whole numbers 'user item item', got '{got}'")
    try:
        numbers = np.array(tokens, dtype=np.bytes_).astype(np.int64)
    except (OverflowError, ValueError) as error:
        raise InputError(f"{path.name}: expected whole numbers below 2**63 ({error})") from error
    heads = np.concatenate([[True], line[1:] != line[:-1]])
    users, heading = (users or IdMap.of([], "user")).grow(numbers[heads])
    items, item = (items or IdMap.of([], "item")).grow(numbers[~heads])
    if not item.size:
        raise InputError(f"{path.name}: expected at least one item after a user, got none")
    lengths = np.diff(np.append(np.flatnonzero(heads), numbers.size)) - 1
    return Events(users, items, np.repeat(heading, lengths).astype(np.int32), item.astype(np.int32))
