"""Own files or frames of edges and nodes to one graph."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray
from torch_geometric.data import Data

from graphcl.datasets.assemble import assemble
from graphcl.datasets.edge_table import EdgeRows, read_edges
from graphcl.datasets.edges import undirect
from graphcl.datasets.faults import Faults
from graphcl.datasets.frames import Role, Source, read_table
from graphcl.datasets.knn import knn_edges
from graphcl.datasets.node_table import Nodes, read_nodes
from graphcl.errors import InputError


def from_tables(
    edges: Source | None,
    nodes: Source | None = None,
    *,
    source: str | None = None,
    target: str | None = None,
    id: str | None = None,
    features: Sequence[str] | None = None,
    label: str | None = None,
    weight: str | None = None,
    knn: int | None = None,
) -> Data:
    """A graph from a table of edges, a table of nodes, or both.

    The graph is undirected: both directions of each edge, sorted; self-loops are dropped, repeated rows merged. With
    weights, rows that repeat a pair in one direction are summed, and an edge listed in both directions gets the mean
    of the two. Rows that name a node the nodes table lacks are dropped. ``data.kept`` counts it all.

    Ids are text: ``data.node_ids`` in the order of the nodes table, or of first appearance in the edges.

    Args:
        edges: A CSV, TSV, Parquet or NPZ file, or a pandas or polars frame; ``None`` to build edges by ``knn``.
        nodes: The same, one row a node.
        source: Column of one end; ``source``, ``src`` or ``from``, else the first column.
        target: Column of the other end; ``target``, ``dst`` or ``to``, else the second column.
        id: Column of node ids; ``id``, ``node`` or ``node_id``, else the first column.
        features: Columns of features; every other numeric column when ``None``.
        label: Column of classes; ``label`` or ``y`` when ``None``, if there is one. Empty cells are marked in
            ``data.unlabelled``.
        weight: Column of edge weights, 0 or more; ``weight`` when ``None``, if there is one.
        knn: Joins each node to its nearest by features, in place of ``edges``.

    Shapes:
        returns: ``Data`` with edge_index ``(2, 2E)`` int64, edge_weight ``(2E,)`` float32 if weighted, x ``(N, F)``
        float32 or ``None``, y ``(N,)`` int64 or ``None``.

    Raises:
        InputError: Up to three faults of the tables in one line, each with its row and column.
    """
    if (edges is None) == (knn is None):
        raise InputError("expected either edges or knn=K with a table of nodes, got " + ("neither" if knn is None else "both"))
    if edges is None and nodes is None:
        raise InputError(f"expected a table of nodes to find {knn} nearest neighbours in, got none")
    faults = Faults()
    node_part: Nodes | None = None
    edge_part: EdgeRows | None = None
    if nodes is not None:
        with faults.gather():
            node_part = read_nodes(read_table(nodes, "nodes"), faults, id=id, features=features, label=label)
    if edges is not None:
        with faults.gather():
            edge_part = read_edges(read_table(edges, "edges"), faults, source=source, target=target, weight=weight)
    faults.check()

    parts: list[tuple[Source | None, Role]] = [(edges, "edges"), (nodes, "nodes")]
    said = [Path(part).name if isinstance(part, str | Path) else f"{role} frame" for part, role in parts if part is not None]
    name, origin = said[0].split(".")[0].removesuffix(" frame"), " + ".join(said)
    if edge_part is None:
        return _from_neighbours(node_part, knn or 0, name, origin)
    ids = _first_seen(edge_part) if node_part is None else node_part.ids
    first, second = _codes(edge_part.source, ids), _codes(edge_part.target, ids)
    known = (first >= 0) & (second >= 0)
    unknown = int(known.size - np.count_nonzero(known))
    if 2 * unknown > known.size:
        at = int(np.argmin(known))
        stranger = (edge_part.source if first[at] < 0 else edge_part.target)[at]
        raise InputError(
            f"{unknown} of {known.size} edges name nodes that the nodes table lacks, such as '{stranger}' "
            f"where the first node is '{ids[0]}'; do the id columns match?"
        )
    weights = edge_part.weight
    if unknown:
        first, second = first[known], second[known]
        weights = None if weights is None else weights[known]
    tidy = undirect(first, second, len(ids), weights)
    if node_part is None:
        return assemble(name=name, source=origin, ids=ids, edges=tidy)
    return assemble(
        name=name,
        source=origin,
        ids=ids,
        edges=tidy,
        unknown=unknown,
        x=node_part.x,
        feature_names=node_part.feature_names,
        labels=node_part.labels,
    )


def _from_neighbours(nodes: Nodes | None, k: int, name: str, origin: str) -> Data:
    if nodes is None or nodes.x is None:
        raise InputError(f"{origin}: expected numeric columns to find nearest neighbours by, got none; name them in features")
    return assemble(
        name=name,
        source=f"{origin}, {k} nearest neighbours",
        ids=nodes.ids,
        edges=knn_edges(nodes.x, k),
        x=nodes.x,
        feature_names=nodes.feature_names,
        labels=nodes.labels,
    )


def _first_seen(rows: EdgeRows) -> pl.Series:
    """Every id of the edges once, in order of first appearance, reading row by row."""
    stacked = pl.DataFrame({"id": pl.concat([rows.source.alias("id"), rows.target.alias("id")])})
    number = len(rows.source)
    place = np.concatenate([np.arange(number) * 2, np.arange(number) * 2 + 1])
    seen = stacked.with_columns(pl.Series("place", place)).group_by("id").agg(pl.col("place").min())
    return seen.sort("place")["id"]


def _codes(values: pl.Series, ids: pl.Series) -> NDArray[np.int64]:
    """Row number of each id; -1 where there is none."""
    table = pl.DataFrame({"id": ids, "code": np.arange(len(ids), dtype=np.int64)})
    found = pl.DataFrame({"id": values}).join(table, on="id", how="left", maintain_order="left")["code"]
    codes: NDArray[np.int64] = found.fill_null(-1).to_numpy()
    return codes
