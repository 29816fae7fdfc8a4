"""Checked parts to one graph with its counts and provenance; the common end of every way to bring own data."""

from __future__ import annotations

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch_geometric.data import Data

from graphcl.datasets.edges import Edges
from graphcl.datasets.kept import Kept
from graphcl.datasets.labels import Labels
from graphcl.datasets.matrix import Matrix, to_tensor
from graphcl.datasets.provenance import NOT_STATED, Provenance, hash_arrays
from graphcl.errors import InputError


def assemble(
    *,
    name: str,
    source: str,
    ids: pl.Series,
    edges: Edges,
    unknown: int = 0,
    x: Matrix | None = None,
    feature_names: list[str] | None = None,
    labels: Labels | None = None,
) -> Data:
    """A graph from parts that fit together.

    Args:
        name: For the provenance.
        source: Files or objects it was made of.
        ids: One text a node, in row order.
        edges: Tidied edges.
        unknown: Edge rows that were dropped for naming unknown nodes.
        x: Features.
        feature_names: One a column of ``x``.
        labels: Classes.

    Shapes:
        ids: ``(N,)``; x: ``(N, F)``; returns: ``Data`` with edge_index ``(2, 2E)``, and ``kept``, ``node_ids``.

    Raises:
        InputError: No edge is left.
    """
    num_nodes = len(ids)
    kept = Kept(
        nodes=num_nodes,
        edges=edges.undirected,
        duplicates=edges.duplicates,
        self_loops=edges.self_loops,
        unknown=unknown,
        isolated=edges.isolated(num_nodes),
        reciprocal=edges.reciprocal,
    )
    if not kept.edges:
        raise InputError(f"{source}: expected at least one edge between two nodes, none is left ({kept})")
    data = Data(edge_index=torch.from_numpy(edges.index), num_nodes=num_nodes)
    data.x = None if x is None else to_tensor(x)
    data.y = None if labels is None else torch.from_numpy(labels.y)
    if edges.weight is not None:
        data.edge_weight = torch.from_numpy(edges.weight)
    if labels is not None and labels.names is not None:
        data.class_names = labels.names
    if labels is not None and labels.unlabelled is not None:
        data.unlabelled = torch.from_numpy(np.ascontiguousarray(labels.unlabelled))
    if x is not None and feature_names is not None:
        data.feature_names = feature_names
    data.node_ids = ids.to_list()
    data.kept = kept
    sizes = {"features": 0 if x is None else x.shape[1], "classes": 0 if labels is None else labels.classes}
    counts = {"nodes": kept.nodes, "edges": kept.edges, **sizes, **kept.as_dict()}
    arrays: dict[str, NDArray[np.generic] | None] = {
        "edge_index": edges.index,
        "edge_weight": edges.weight,
        "y": None if labels is None else labels.y,
        "node_ids": np.frombuffer("\n".join(data.node_ids).encode(), dtype=np.uint8),
    }
    arrays |= {"x": x} if x is None or isinstance(x, np.ndarray) else {"x": x.data, "columns": x.indices, "rows": x.indptr}
    data.provenance = Provenance(name, "own", source, NOT_STATED, hash_arrays(arrays), counts)
    return data
