"""What was kept of the rows a caller gave, and what was not."""

from __future__ import annotations

from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Kept:
    """Counts after reading own data; found on ``data.kept``, and as a mapping in ``data.provenance.counts``.

    Args:
        nodes: Rows of the graph.
        edges: Undirected edges.
        duplicates: Rows that repeat an earlier row in the same direction; merged.
        self_loops: Rows from a node to itself; dropped.
        unknown: Rows that name a node the nodes table does not have; dropped.
        isolated: Nodes left without an edge; kept.
        reciprocal: Edges listed in both directions. They are one undirected edge, which is no fault.
    """

    nodes: int
    edges: int
    duplicates: int = 0
    self_loops: int = 0
    unknown: int = 0
    isolated: int = 0
    reciprocal: int = 0

    def as_dict(self) -> dict[str, int]:
        """The counts by name."""
        return asdict(self)

    def __str__(self) -> str:
        notes = [
            (self.duplicates, "duplicate rows merged"),
            (self.self_loops, "self-loops dropped"),
            (self.unknown, "edges to unknown nodes dropped"),
            (self.reciprocal, "edges listed in both directions"),
            (self.isolated, "isolated nodes"),
        ]
        said = ", ".join(f"{count:,} {what}" for count, what in notes if count)
        return f"{self.nodes:,} nodes, {self.edges:,} undirected edges" + (f"; {said}" if said else "")
