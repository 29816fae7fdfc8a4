"""Interactions from files, frames and published folders; filtered, split, with ids in and out."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from graphcl.recsys.data.events import Events
    from graphcl.recsys.data.filters import at_least, k_core
    from graphcl.recsys.data.id_map import IdMap
    from graphcl.recsys.data.interactions import Interactions
    from graphcl.recsys.data.lists import read_lists
    from graphcl.recsys.data.read import read_events, read_interactions
    from graphcl.recsys.data.registry import load, load_events, names
    from graphcl.recsys.data.split import Split
    from graphcl.recsys.data.splits import given_split, leave_one_out, ratio_split, temporal_split, with_validation

__all__ = [
    "Events",
    "IdMap",
    "Interactions",
    "Split",
    "at_least",
    "given_split",
    "k_core",
    "leave_one_out",
    "load",
    "load_events",
    "names",
    "ratio_split",
    "read_events",
    "read_interactions",
    "read_lists",
    "temporal_split",
    "with_validation",
]

# Looked up on first use, so that listing names on the command line does not wait for torch.
_HOME = {
    "Events": "events",
    "IdMap": "id_map",
    "Interactions": "interactions",
    "Split": "split",
    "at_least": "filters",
    "given_split": "splits",
    "k_core": "filters",
    "leave_one_out": "splits",
    "load": "registry",
    "load_events": "registry",
    "names": "registry",
    "ratio_split": "splits",
    "read_events": "read",
    "read_interactions": "read",
    "read_lists": "lists",
    "temporal_split": "splits",
    "with_validation": "splits",
}


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
