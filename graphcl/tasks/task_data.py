"""The data of a task by name: a graph, a split of interactions, or one of sequences."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from graphcl.errors import InputError

if TYPE_CHECKING:
    from torch_geometric.data import Data

    from graphcl.recsys import Split
    from graphcl.recsys.sequences import SequenceSplit

TaskData: TypeAlias = "Data | Split | SequenceSplit"
RECOMMENDATION, SEQUENTIAL = "recommendation", "sequential"

# Where two domains have a graph of one name, whose it is by the task; elsewhere the error lists both.
PREFERRED = {"clustering": "clustering", "node": "citation"}


def load_data(task: str, name: str, root: Path | None = None) -> TaskData:
    """What systems of a task train on, by the name of the set; its own domain decides where several have one of that name.

    Args:
        task: ``"clustering"``, ``"node"``, ``"recommendation"`` or ``"sequential"``.
        name: As ``graphcl list datasets`` shows it.
        root: The data root.

    Raises:
        InputError: Unknown, or of another task; a bad root; a damaged file.
    """
    from graphcl import datasets, recsys

    interactions = task in (RECOMMENDATION, SEQUENTIAL)
    try:
        if task == SEQUENTIAL:
            from graphcl.recsys.sequences import load_sequences

            return load_sequences(name, root)
        if task == RECOMMENDATION:
            return recsys.load(name, root)
        return datasets.load(name, root, prefer=PREFERRED[task])
    except InputError as error:
        if not str(error).startswith("unknown data set"):
            raise
        others = datasets.names(root) if interactions else recsys.names(root)
        if name not in {entry.name for entry in others}:
            raise
        kinds = ("a graph", "interactions") if interactions else ("interactions", "a graph")
        raise InputError(
            f"data set '{name}' is {kinds[0]}, and a {task} system takes {kinds[1]}; see: graphcl list datasets"
        ) from error


def data_name(data: TaskData) -> str:
    """``domain/name`` of loaded data, or the name of an embedded set: what recipes and configurations call it."""
    provenance = data.provenance
    return provenance.name if provenance.domain == "embedded" else f"{provenance.domain}/{provenance.name}"
