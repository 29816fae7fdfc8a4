"""What is under a data root for recommendation: folders that load by name, and what is noted of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from graphcl.datasets.provenance import NOT_STATED, hash_files
from graphcl.errors import InputError

DOMAIN = "recsys"
PARTS = ("train", "valid", "test")


@dataclass(frozen=True)
class Folder:
    """A folder that loads by name: either a split in archives, or one file of sequences.

    Args:
        name: Its own name.
        path: Where it is.
        kind: ``"split"`` with ``train.npz``, ``test.npz`` and perhaps ``valid.npz``, or ``"sequences"`` with one ``raw/*.txt``.
        meta: What its ``meta.json`` says; empty when there is none.
        sums: Expected checksums by path below the folder.
    """

    name: str
    path: Path
    kind: Literal["split", "sequences"]
    meta: Mapping[str, object] = field(default_factory=dict, hash=False)
    sums: Mapping[str, str] = field(default_factory=dict, hash=False)

    @property
    def files(self) -> dict[str, Path]:
        """The files that hold the data, by part; ``"all"`` for sequences."""
        if self.kind == "sequences":
            return {"all": next(iter(sorted((self.path / "raw").glob("*.txt"))))}
        return {part: path for part in PARTS if (path := self.path / f"{part}.npz").is_file()}

    @property
    def source(self) -> str:
        """Where it comes from."""
        return str(self.meta.get("source") or NOT_STATED)

    @property
    def licence(self) -> str:
        """Its terms."""
        return str(self.meta.get("terms") or NOT_STATED)

    def size(self, key: str) -> int | None:
        """A whole number of ``meta.json``, if it says so."""
        value = self.meta.get(key)
        return value if isinstance(value, int) else None

    def counts(self) -> dict[str, int]:
        """Users, items and interactions as far as ``meta.json`` tells."""
        said = {"users": self.size("n_users"), "items": self.size("n_items"), "interactions": self.size("interactions")}
        return {key: value for key, value in said.items() if value is not None}

    def check_files(self) -> str:
        """Checksum of the files together; hexadecimal.

        Raises:
            InputError: A file is not the one that ``recsys.json`` describes.
        """
        for path in self.files.values():
            said, got = self.sums.get(path.relative_to(self.path).as_posix()), hash_files([path])
            if said and said != got:
                raise InputError(
                    f"{path}: expected sha256 {said[:12]} as {DOMAIN}.json says, got {got[:12]}; the file is damaged or was "
                    f"changed: fetch it again, or drop the checksum from {DOMAIN}.json if the change is yours"
                )
        return hash_files(self.files.values())


def scan(root: Path) -> list[Folder]:
    """Every folder under ``root/recsys`` that loads by name, by name.

    Args:
        root: The data root; nothing is found in one that does not exist.

    Raises:
        InputError: ``recsys.json`` or a ``meta.json`` is not what it should be.
    """
    sums = _read_sums(root)
    found = []
    for path in sorted((root / DOMAIN).iterdir()) if (root / DOMAIN).is_dir() else []:
        kind: Literal["split", "sequences"]
        if (path / "train.npz").is_file() and (path / "test.npz").is_file():
            kind = "split"
        elif len(list(path.glob("raw/*.txt"))) == 1:
            kind = "sequences"
        else:
            continue
        meta = _read_json(path / "meta.json") if (path / "meta.json").is_file() else {}
        found.append(Folder(path.name, path, kind, meta, sums.get(path.name, {})))
    return found


def _read_sums(root: Path) -> dict[str, dict[str, str]]:
    path = root / f"{DOMAIN}.json"
    if not path.is_file():
        return {}
    entries = _read_json(path).get("datasets")
    if not isinstance(entries, list):
        raise InputError(f"{path}: expected an object with a list called 'datasets'; fetch it again or remove it")
    sums: dict[str, dict[str, str]] = {}
    for entry in entries:
        files = entry.get("files") if isinstance(entry, dict) else None
        for file in files if isinstance(files, list) else []:
            if isinstance(file, dict) and isinstance(file.get("path"), str) and isinstance(file.get("sha256"), str):
                below = file["path"].removeprefix(f"{DOMAIN}/{entry['name']}/")
                sums.setdefault(str(entry["name"]), {})[below] = file["sha256"].lower()
    return sums


def _read_json(path: Path) -> dict[str, object]:
    try:
        content: object = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as JSON ({error}); fetch it again or remove it") from error
    if not isinstance(content, dict):
        raise InputError(f"{path}: expected a JSON object, got {type(content).__name__}; fetch it again or remove it")
    return content
