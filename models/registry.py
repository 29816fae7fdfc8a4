"""The router from names to systems: one table, read without importing torch."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Any

from graphcl.errors import unknown_name


@dataclass(frozen=True)
class SystemEntry:
    """Where a system lives, which task it serves, and what it is in a line."""

    name: str
    task: str
    module: str
    cls: str
    description: str

    def load(self) -> type[Any]:
        """The class itself; this is where torch is imported."""
        found: type[Any] = getattr(import_module(self.module), self.cls)
        return found


_CLUSTERING = "graphcl.models.clustering"
_NODE = "graphcl.models.node"
SYSTEMS = {
    entry.name: entry
    for entry in (
        SystemEntry(
            "pamc", "clustering", f"{_CLUSTERING}.pamc", "PamC", "contrast against meta-nodes (Kulatilleke et al., 2022)"
        ),
        SystemEntry(
            "sdcn",
            "clustering",
            f"{_CLUSTERING}.sdcn",
            "SDCN",
            "an auto-encoder and a graph network teach each other (Bo et al., 2020)",
        ),
        SystemEntry(
            "scgc-k",
            "clustering",
            f"{_CLUSTERING}.scgc_k",
            "SCGCK",
            "an auto-encoder whose neighbours agree, against all other nodes (Kulatilleke et al., 2022)",
        ),
        SystemEntry(
            "grace", "node", f"{_NODE}.grace", "GRACE", "tell every node from all others of two views (Zhu et al., 2020)"
        ),
    )
}


def find_system(name: str, task: str | None = None) -> SystemEntry:
    """The entry of a system.

    Args:
        name: As ``graphcl list systems`` shows it.
        task: Only systems of this task count; all when ``None``.

    Raises:
        InputError: Unknown, with the nearest names.
    """
    known = {key: entry for key, entry in SYSTEMS.items() if task in (None, entry.task)}
    if name not in known:
        raise unknown_name("system" if task is None else f"{task} method", name, known)
    return known[name]
