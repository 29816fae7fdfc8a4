"""Fetches one file over HTTP, whole and as expected, or not at all."""

from __future__ import annotations

import hashlib
import os
import secrets
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from graphcl.errors import InputError

if TYPE_CHECKING:
    from requests import Response

OFFLINE = "GRAPHCL_OFFLINE"
TIMEOUT = (10.0, 60.0)  # seconds to connect, and of silence between two packets

_BLOCK = 1 << 18


def offline() -> bool:
    """Whether ``GRAPHCL_OFFLINE`` forbids downloads: set, and neither empty nor ``0``."""
    return os.environ.get(OFFLINE, "") not in ("", "0")


def fetch(url: str, path: Path, *, sha256: str | None = None, console: Console | None = None) -> str:
    """Downloads ``url`` to ``path``; the path appears only when every byte is there and the checksum fits.

    The bytes go to a file of a unique name in the same folder, which is moved over ``path`` at the end: processes that
    fetch the same file at once do not meet, and whoever reads ``path`` sees a whole file. Memory: one block.
    One line says what is fetched from where; a bar follows it on a terminal.

    Args:
        url: ``http`` or ``https``.
        path: Where to; its folder is made.
        sha256: What the bytes must hash to, hexadecimal; not checked when ``None``.
        console: Where to report; standard error when ``None``.

    Returns:
        The SHA-256 of the file, hexadecimal.

    Raises:
        InputError: Downloads are forbidden, the server is out of reach or refuses, the transfer is cut short, the bytes
            are not the expected ones, or they cannot be written. Nothing is left behind.
    """
    import requests

    by_hand = f"or put the file at {path} by hand"
    if offline():
        raise InputError(f"{url}: {OFFLINE} forbids downloads; unset it, {by_hand}")
    console = Console(stderr=True) if console is None else console
    part = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.part")
    try:
        # The bytes as they are stored: a transfer encoding would hide how many there should be.
        headers = {"Accept-Encoding": "identity"}
        with requests.get(url, stream=True, timeout=TIMEOUT, headers=headers) as response:
            if not response.ok:
                said = f"{response.status_code} {response.reason}"
                raise InputError(f"{url}: the server answers {said}; try again later, {by_hand}")
            console.print(f"fetching {url} to {path.parent}", highlight=False, markup=False, soft_wrap=True)
            path.parent.mkdir(parents=True, exist_ok=True)
            digest = _save(response, part, path.name, console)
        if sha256 is not None and digest != sha256:
            raise InputError(
                f"{url}: expected sha256 {sha256[:12]}, got {digest[:12]}; the transfer was damaged or the file was changed "
                f"where it is published; nothing was kept: try again, {by_hand}"
            )
        part.replace(path)
    except requests.RequestException as error:
        raise InputError(
            f"{url}: cannot be fetched ({_cause(error)}); nothing was kept: check the network and try again, {by_hand}"
        ) from error
    except OSError as error:
        raise InputError(
            f"{path}: cannot be written ({error.strerror or error}); make room, or choose another folder with --data ROOT"
        ) from error
    finally:
        with suppress(OSError):
            part.unlink()
    return digest


def _save(response: Response, part: Path, name: str, console: Console) -> str:
    """Writes the body to ``part``, all of it; gives its checksum."""
    from requests.exceptions import ChunkedEncodingError

    said = response.headers.get("Content-Length", "")
    total = int(said) if said.isdigit() and "Content-Encoding" not in response.headers else None
    digest, received = hashlib.sha256(), 0
    bar = Progress(
        TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn(),
        console=console, transient=True, disable=not console.is_terminal,
    )  # fmt: skip
    with part.open("xb") as file, bar:
        task = bar.add_task(name, total=total)
        try:
            for block in response.iter_content(_BLOCK):
                file.write(block)
                digest.update(block)
                received += len(block)
                bar.update(task, completed=received)
            whole = total is None or received == total
        except ChunkedEncodingError:  # what requests calls every connection that ends early
            whole = False
    if not whole:
        of = "" if total is None else f" of {total:,}"
        raise InputError(
            f"{response.url}: the transfer was cut short after {received:,}{of} bytes; nothing was kept: try again"
        )
    return digest.hexdigest()


def _cause(error: BaseException) -> str:
    """The innermost reason; the outer layers repeat it with addresses of objects."""
    for inner in (getattr(error, "reason", None), *error.args):
        if isinstance(inner, BaseException):
            return _cause(inner)
    text = str(error.args[-1] if error.args else error)
    return text.split(": ", 1)[1] if text.startswith("<") and ": " in text else text or type(error).__name__
