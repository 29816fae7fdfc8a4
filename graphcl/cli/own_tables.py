"""The tables a user brings on the command line, checked and read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from graphcl.errors import InputError

if TYPE_CHECKING:
    from torch_geometric.data import Data


@dataclass(frozen=True)
class OwnTables:
    """Files of edges and nodes, and what their columns are called; one attribute an option.

    Raises:
        InputError: Options that do not go together.
    """

    edges: Path | None
    nodes: Path | None
    source: str | None
    target: str | None
    weight: str | None
    id: str | None
    features: str | None
    label: str | None
    knn: int | None

    def __post_init__(self) -> None:
        if self.edges is None and (self.nodes is None or self.knn is None):
            raise InputError("give --edges FILE, or --nodes FILE with --knn K to join each node to its nearest")
        if self.edges is not None and self.knn is not None:
            raise InputError("--knn K stands in for --edges FILE: give one of the two")
        for option, needed, table in (
            ("id", "--nodes", self.nodes),
            ("features", "--nodes", self.nodes),
            ("label", "--nodes", self.nodes),
            ("source", "--edges", self.edges),
            ("target", "--edges", self.edges),
            ("weight", "--edges", self.edges),
        ):
            if getattr(self, option) is not None and table is None:
                raise InputError(f"--{option} names a column of {needed} FILE, which is missing")

    @property
    def name(self) -> str:
        """What the graph is called."""
        return (self.nodes or self.edges or Path("own")).name.split(".")[0]

    def read(self, trained_with: tuple[str, ...] | None = None) -> Data:
        """The graph.

        Args:
            trained_with: Feature columns that a trained system wants, in its order, whatever the order in the file;
                ``--features`` is stronger.

        Raises:
            InputError: A fault in the files, by row and column, or columns that are missing.
        """
        from graphcl.datasets import from_tables

        columns = [name.strip() for name in self.features.split(",")] if self.features else None
        if columns is None and trained_with is not None and self.nodes is not None:
            columns = self._in_order(trained_with)
        return from_tables(
            self.edges,
            self.nodes,
            source=self.source,
            target=self.target,
            id=self.id,
            features=columns,
            label=self.label,
            weight=self.weight,
            knn=self.knn,
        )

    def _in_order(self, wanted: tuple[str, ...]) -> list[str] | None:
        """The columns that are wanted; ``None`` where the features are one array, whose columns have no names."""
        from graphcl.datasets.frames import read_table

        assert self.nodes is not None
        table = read_table(self.nodes, "nodes")
        if table.matrix is not None:
            return None
        missing = [name for name in wanted if name not in table.frame.columns]
        if missing:
            more = [name for name in table.frame.columns if name not in wanted]
            raise InputError(
                f"{table.name} lacks {len(missing)} of the {len(wanted)} feature columns that the system was trained with: "
                f"{', '.join(missing[:5])}{', ...' if len(missing) > 5 else ''}; other columns it has: {', '.join(more[:5])}"
            )
        return list(wanted)
