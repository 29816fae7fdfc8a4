"""Interactions to recommendations."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if __name__ == "recsys":
    raise ImportError("this folder is the package graphcl.recsys: install graphcl and `import graphcl.recsys`")

if TYPE_CHECKING:
    from graphcl.recsys.data import IdMap, Interactions, Split, load, names, read_interactions

__all__ = ["IdMap", "Interactions", "Split", "load", "names", "read_interactions"]

# Looked up on first use, so that listing names on the command line does not wait for torch.
_HOME = dict.fromkeys(__all__, "data")


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
