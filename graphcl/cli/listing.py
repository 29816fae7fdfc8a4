"""``graphcl list``: what there is, one line each."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from graphcl.cli.options import Data

if TYPE_CHECKING:
    from graphcl.datasets import DatasetEntry


SIZES = ("nodes", "edges", "features", "classes", "users", "items", "interactions")


class Kind(StrEnum):
    """What can be listed."""

    systems = "systems"
    datasets = "datasets"
    losses = "losses"
    recipes = "recipes"


def listing(kind: Annotated[Kind, typer.Argument(help="What to list.")], data: Data = None) -> None:
    """List systems, data sets, losses or recipes."""
    rows = {
        Kind.systems: _systems,
        Kind.datasets: lambda: _datasets(data),
        Kind.losses: _losses,
        Kind.recipes: _recipes,
    }[kind]()
    widths = [max((len(row[column]) for row in rows), default=0) for column in range(len(rows[0]) - 1)] if rows else []
    for row in rows:
        typer.echo("  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[-1]]).rstrip())


Rows = list[tuple[str, ...]]


def _systems() -> Rows:
    from graphcl.models import SYSTEMS
    from graphcl.recsys.methods import ANCHORS

    trained = [(entry.name, entry.task, entry.description) for entry in SYSTEMS.values()]
    return [*trained, *((entry.name, entry.task, f"baseline: {entry.description}") for entry in ANCHORS.values())]


def _datasets(root: Path | None) -> Rows:
    from graphcl.datasets import names

    entries = [*names(root), *interaction_entries(root)]
    return [(entry.name, entry.domain, _sizes(entry.counts), entry.description) for entry in entries]


def _sizes(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{counts[key]:,} {key}" for key in SIZES if counts.get(key))


def interaction_entries(root: Path | None = None) -> list[DatasetEntry]:
    """What recommendation systems train on, a line of a listing each, without loading torch."""
    from graphcl.datasets import DatasetEntry, data_root
    from graphcl.recsys.data.catalogue import DOMAIN, scan

    said = {"split": "interactions, published split", "sequences": "interactions in time order, leave-one-out"}
    davis = DatasetEntry(
        "davis", "embedded", "the same as interactions, split at random", {"users": 18, "items": 14, "interactions": 89}
    )
    found = [DatasetEntry(folder.name, DOMAIN, said[folder.kind], folder.counts()) for folder in scan(data_root(root))]
    return [davis, *found]


def interaction_sets(root: Path | None = None) -> set[str]:
    """Their names."""
    return {entry.name for entry in interaction_entries(root)}


def _losses() -> Rows:
    from graphcl.losses import LOSSES

    return [(name, entry.description) for name, entry in LOSSES.items()]


def _recipes() -> Rows:
    from graphcl.models.recipes import recipe_names

    return [(system, dataset, f"graphcl run {system} {dataset}") for system, dataset in recipe_names()]
