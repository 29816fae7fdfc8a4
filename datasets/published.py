"""Obtains a published set, by download where it is not there yet, and reads it once it is known to be the right one."""

from __future__ import annotations

import os
import re
import secrets
from contextlib import suppress
from pathlib import Path

from rich.console import Console
from torch_geometric.data import Data

from graphcl.datasets.download import OFFLINE, fetch, offline
from graphcl.datasets.provenance import hash_files
from graphcl.datasets.sources import Remote, Source
from graphcl.errors import InputError

SUMS = "SHA256SUMS"


def load_published(source: Source, root: Path, *, download: bool = True, console: Console | None = None) -> Data:
    """The graph of a published set under ``root``, fetched first where files are missing.

    Every file is hashed before it is read. Where the table of sources knows no checksum, the first use is trusted: the
    file must read cleanly and have the published sizes; then its checksum goes to ``SHA256SUMS`` beside it, a file that
    ``sha256sum -c`` reads, and holds from then on.

    Args:
        source: What to load.
        root: The data root.
        download: Whether missing files may be fetched; ``GRAPHCL_OFFLINE=1`` forbids it too.
        console: Where to report; standard error when ``None``.

    Raises:
        InputError: Files are missing and may not or cannot be fetched, differ from their checksum, cannot be read, or do
            not have the published sizes. A file that was just fetched and does not read is removed.
    """
    console = Console(stderr=True) if console is None else console
    folder = source.folder(root)
    missing = [file for file in source.files if not (folder / file.name).is_file()]
    if missing and (offline() or not download):
        why = f"{OFFLINE} forbids downloads" if offline() else "downloads were not asked for"
        raise InputError(
            f"data set '{source.full_name}' is not complete under {folder} and {why}; "
            f"allow them, or put there by hand: {', '.join(file.url for file in missing)}"
        )
    sums = _read_sums(folder)
    for file in missing:
        fetch(file.url, folder / file.name, sha256=_expected(file, sums), console=console)
    unknown = [file for file in source.files if _expected(file, sums) is None]
    digests = {file.name: _checked(folder / file.name, file, sums) for file in source.files}
    try:
        data = _read(source, folder)
        _check_sizes(source, data, folder)
    except InputError as error:
        fresh = [file for file in missing if file in unknown]
        if not fresh:
            raise
        for file in fresh:
            (folder / file.name).unlink(missing_ok=True)
        raise InputError(
            f"{', '.join(file.url for file in fresh)}: not the published set, so it was removed; try again, or put the right "
            f"file in {folder} by hand ({error})"
        ) from error
    if unknown:
        for file in unknown:
            line = f"{file.name}: sha256 {digests[file.name]}, trusted on first use"
            console.print(line, highlight=False, markup=False, soft_wrap=True)
        _write_sums(folder, sums | {file.name: digests[file.name] for file in unknown})
    return data


def _read(source: Source, folder: Path) -> Data:
    name, domain, record = source.name, source.domain, source.record
    if source.kind == "planetoid":
        from graphcl.datasets.planetoid import load_planetoid

        return load_planetoid(folder, name, domain=domain, record=record)
    path = folder / source.files[0].name
    if source.kind == "attributed":
        from graphcl.datasets.attributed import load_attributed

        return load_attributed(path, name=name, domain=domain, record=record)
    if source.kind == "wikics":
        from graphcl.datasets.wikics import load_wikics

        return load_wikics(path, name=name, domain=domain, record=record)
    from graphcl.datasets.ogb import load_ogb

    return load_ogb(path, name=name, domain=domain, record=record)


def _check_sizes(source: Source, data: Data, folder: Path) -> None:
    found = data.provenance.counts
    wrong = [f"{key} {value:,}, got {found[key]:,}" for key, value in source.counts.items() if found[key] != value]
    if wrong:
        raise InputError(
            f"{folder}: not '{source.full_name}' as published: expected {'; expected '.join(wrong)}; are they the right files?"
        )


def _expected(file: Remote, sums: dict[str, str]) -> str | None:
    return file.sha256 or sums.get(file.name)


def _checked(path: Path, file: Remote, sums: dict[str, str]) -> str:
    """The checksum of a file, which is the expected one where there is one."""
    try:
        digest = hash_files([path])
    except OSError as error:
        raise InputError(f"expected a file at {path}, cannot read it ({error.strerror})") from error
    expected = _expected(file, sums)
    if expected is not None and digest != expected:
        origin = "published" if file.sha256 else f"recorded in {SUMS} beside it"
        raise InputError(
            f"{path}: expected sha256 {expected[:12]} as {origin}, got {digest[:12]}; the file is damaged or was changed: "
            "remove it, and it is fetched again"
        )
    return digest


def _read_sums(folder: Path) -> dict[str, str]:
    """Checksums recorded at first use, by file name."""
    path = folder / SUMS
    if not path.is_file():
        return {}
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read ({error}); remove it to trust the files beside it again") from error
    found = [re.fullmatch(r"([0-9a-fA-F]{64}) [ *](\S+)", line) for line in lines if line.strip()]
    if not all(found):
        raise InputError(f"{path}: expected lines of 'sha256  file'; remove it to trust the files beside it again")
    return {match[2]: match[1].lower() for match in found if match}


def _write_sums(folder: Path, sums: dict[str, str]) -> None:
    # A set put there by hand may be on a disk that is only read: it is then trusted afresh each time, as was said.
    part = folder / f".{SUMS}.{os.getpid()}-{secrets.token_hex(4)}.part"
    with suppress(OSError):
        try:
            part.write_text("".join(f"{digest}  {name}\n" for name, digest in sorted(sums.items())), encoding="utf-8")
            part.replace(folder / SUMS)
        finally:
            with suppress(OSError):
                part.unlink()
