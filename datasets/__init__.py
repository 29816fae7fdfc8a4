"""Names to graphs with provenance; own files to graphs."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if __name__ == "datasets":
    raise ImportError("this folder is the package graphcl.datasets: install graphcl and `import graphcl.datasets`")

if TYPE_CHECKING:
    from graphcl.datasets.convert import from_networkx, from_scipy
    from graphcl.datasets.kept import Kept
    from graphcl.datasets.knn import knn_graph
    from graphcl.datasets.mapped import load_mapped, save_mapped
    from graphcl.datasets.planetoid import load_planetoid
    from graphcl.datasets.provenance import Provenance
    from graphcl.datasets.registry import DatasetEntry, load, names
    from graphcl.datasets.root import data_root
    from graphcl.datasets.stochastic_blocks import block_model
    from graphcl.datasets.tables import from_tables

__all__ = [
    "DatasetEntry",
    "Kept",
    "Provenance",
    "block_model",
    "data_root",
    "from_networkx",
    "from_scipy",
    "from_tables",
    "knn_graph",
    "load",
    "load_mapped",
    "load_planetoid",
    "names",
    "save_mapped",
]

# Looked up on first use, so that listing names on the command line does not wait for torch.
_HOME = {
    "DatasetEntry": "registry",
    "Kept": "kept",
    "Provenance": "provenance",
    "block_model": "stochastic_blocks",
    "data_root": "root",
    "from_networkx": "convert",
    "from_scipy": "convert",
    "from_tables": "tables",
    "knn_graph": "knn",
    "load": "registry",
    "load_mapped": "mapped",
    "load_planetoid": "planetoid",
    "names": "registry",
    "save_mapped": "mapped",
}


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
