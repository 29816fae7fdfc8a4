"""``graphcl list``: what there is, one line each."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from graphcl.cli.options import Data


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

    return [(entry.name, entry.task, entry.description) for entry in SYSTEMS.values()]


def _datasets(root: Path | None) -> Rows:
    from graphcl.datasets import names

    return [(entry.name, entry.domain, _sizes(entry.counts), entry.description) for entry in names(root)]


def _sizes(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{counts[key]:,} {key}" for key in ("nodes", "edges", "features", "classes") if counts.get(key))


def _losses() -> Rows:
    from graphcl.losses import LOSSES

    return [(name, entry.description) for name, entry in LOSSES.items()]


def _recipes() -> Rows:
    from graphcl.models.recipes import recipe_names

    return [(system, dataset, f"graphcl run {system} {dataset}") for system, dataset in recipe_names()]
