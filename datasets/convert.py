"""Graphs of networkx and adjacency matrices of scipy to our data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch_geometric.data import Data

from graphcl.datasets.assemble import assemble
from graphcl.datasets.edges import undirect
from graphcl.datasets.labels import Labels, encode_labels
from graphcl.datasets.matrix import Dense, Matrix, SparseLike, as_csr, check_csr, check_dense
from graphcl.errors import InputError

if TYPE_CHECKING:
    import networkx as nx


def from_networkx(graph: nx.Graph[Any], *, features: Sequence[str] | None = None, label: str | None = None) -> Data:
    """A graph from networkx; direction is dropped, parallel edges are merged, ``weight`` is kept where edges carry it.

    Args:
        graph: Left as it is.
        features: Node attributes that are numbers or vectors of numbers; no features when ``None``.
        label: Node attribute that is the class.

    Shapes:
        returns: ``Data`` with edge_index ``(2, 2E)``, x ``(N, F)`` or ``None``, y ``(N,)`` or ``None``.

    Raises:
        InputError: An empty graph, an attribute that a node lacks, or values that are no numbers.
    """
    nodes = list(graph.nodes)
    if not nodes:
        raise InputError("expected a graph with nodes, got an empty one")
    ids = _ids(nodes)
    number = {node: row for row, node in enumerate(nodes)}
    triples: list[tuple[Any, Any, Any]] = list(graph.edges(data="weight"))
    first = np.array([number[u] for u, _, _ in triples], dtype=np.int64)
    second = np.array([number[v] for _, v, _ in triples], dtype=np.int64)
    weight = None
    if any(value is not None for _, _, value in triples):
        weight = _weights([1.0 if value is None else value for _, _, value in triples], "edge attribute 'weight'")
    names = [features] if isinstance(features, str) else list(features or ())
    x = np.hstack([_attribute(graph, nodes, name) for name in names]) if names else None
    labels = None
    if label is not None:
        values = [graph.nodes[node].get(label) for node in nodes]
        labels = encode_labels(pl.Series(values, dtype=pl.String, strict=False), f"node attribute '{label}'")
    return assemble(
        name=str(graph.name or "graph"),
        source="networkx graph",
        ids=ids,
        edges=undirect(first, second, len(nodes), weight),
        x=x,
        labels=labels,
    )


def from_scipy(
    adjacency: SparseLike | NDArray[Any],
    x: NDArray[Any] | Tensor | SparseLike | None = None,
    y: NDArray[Any] | Tensor | Sequence[object] | None = None,
    node_ids: Sequence[object] | None = None,
) -> Data:
    """A graph from an adjacency matrix; stored zeros are no edges, values other than 1 are weights.

    Args:
        adjacency: Square, values 0 or more. Symmetric or not; where both directions are given the weight is their mean.
        x: Features, dense or sparse.
        y: One class a node, numbers or names.
        node_ids: One id a node; the row numbers when ``None``.

    Shapes:
        adjacency: ``(N, N)``; x: ``(N, F)``; y: ``(N,)``; returns: ``Data`` with edge_index ``(2, 2E)``.

    Raises:
        InputError: Not square, a negative or NaN weight, or x, y or node_ids of another length.
    """
    pairs = (
        as_csr(adjacency) if isinstance(adjacency, sp.sparray | sp.spmatrix) else sp.csr_array(np.atleast_2d(adjacency))
    ).tocoo()
    if pairs.ndim != 2 or pairs.shape[0] != pairs.shape[1] or not pairs.shape[0]:
        raise InputError(f"expected a square adjacency matrix, got shape {pairs.shape}")
    num_nodes = int(pairs.shape[0])
    values = _weights(pairs.data, "adjacency")
    stored = values != 0
    first, second = (part[stored].astype(np.int64) for part in (pairs.row, pairs.col))
    values = values[stored]
    ids = _ids(range(num_nodes) if node_ids is None else node_ids)
    matrix = None if x is None else _matrix(x)
    labels = None if y is None else _labels(y)
    sizes = {"node_ids": len(ids)}
    sizes |= {} if matrix is None else {"x": matrix.shape[0]}
    sizes |= {} if labels is None else {"y": labels.y.shape[0]}
    for what, size in sizes.items():
        if size != num_nodes:
            raise InputError(f"expected {num_nodes} rows in {what}, one a node of the adjacency matrix, got {size}")
    return assemble(
        name="adjacency",
        source="adjacency matrix",
        ids=ids,
        edges=undirect(first, second, num_nodes, None if (values == 1).all() else values),
        x=matrix,
        labels=labels,
    )


def _ids(nodes: Sequence[object]) -> pl.Series:
    ids = pl.Series("id", [str(node) for node in nodes], dtype=pl.String)
    repeated = ~ids.is_first_distinct()
    if repeated.any():
        raise InputError(f"expected node ids that differ as text, got '{ids[int(repeated.arg_max() or 0)]}' twice; rename one")
    return ids


def _weights(values: object, where: str) -> NDArray[np.float64]:
    try:
        weight = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"{where}: expected numbers, got {error}") from error
    bad = ~np.isfinite(weight) | (weight < 0)
    if bad.any():
        raise InputError(f"{where}: expected weights of 0 or more, got {weight[bad][0]}")
    return weight


def _attribute(graph: nx.Graph[Any], nodes: list[Any], name: str) -> Dense:
    lacking = next((node for node in nodes if name not in graph.nodes[node]), None)
    if lacking is not None:
        raise InputError(f"node '{lacking}' lacks the attribute '{name}'; every node needs it to be a feature")
    try:
        table = np.array([graph.nodes[node][name] for node in nodes], dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(
            f"node attribute '{name}': expected a number or a vector of one length at each node ({error})"
        ) from error
    return check_dense(table.reshape(len(nodes), -1), f"node attribute '{name}'")


def _matrix(x: NDArray[Any] | Tensor | SparseLike) -> Matrix:
    if isinstance(x, sp.sparray | sp.spmatrix):
        stored = as_csr(x)
        return check_csr(stored.data, stored.indices, stored.indptr, stored.shape, "x")
    dense = x.detach().cpu().to_dense().numpy() if isinstance(x, Tensor) else np.asarray(x)
    # A copy, so that the graph does not change when the caller's array does.
    return check_dense(np.array(dense), "x")


def _labels(y: NDArray[Any] | Tensor | Sequence[object]) -> Labels:
    values = y.detach().cpu().numpy() if isinstance(y, torch.Tensor) else np.asarray(y)
    if values.ndim != 1:
        raise InputError(f"expected one class a node, y of shape (N,), got {values.shape}")
    if values.dtype.kind in "iufb":
        return encode_labels(pl.Series(np.ascontiguousarray(values)), "y")
    return encode_labels(pl.Series(values.tolist(), dtype=pl.String, strict=False), "y")
