"""Checked parts of a published set to one graph with its counts and provenance."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch_geometric.data import Data

from graphcl.datasets.edges import Edges
from graphcl.datasets.labels import Labels
from graphcl.datasets.matrix import Matrix, to_tensor
from graphcl.datasets.provenance import Provenance
from graphcl.errors import InputError


def compose(
    edges: Edges,
    x: Matrix,
    labels: Labels,
    masks: Mapping[str, NDArray[np.bool_]],
    provenance: Provenance,
    where: str,
) -> Data:
    """A graph from parts that must fit together.

    Args:
        edges: Tidied edges; their ids are in range.
        x: Features.
        labels: Classes.
        masks: By name.
        provenance: Of the files; its counts are put after those found here.
        where: File, for the message.

    Shapes:
        x: ``(N, F)``; masks: ``(N,)`` or ``(N, S)``; returns: ``Data`` with edge_index ``(2, 2E)``.

    Raises:
        InputError: No edge, or not one row a node everywhere.
    """
    rows = {"features": x.shape[0], "labels": labels.y.shape[0], **{key: mask.shape[0] for key, mask in masks.items()}}
    if len(set(rows.values())) > 1:
        listed = ", ".join(f"{key} {count}" for key, count in rows.items())
        raise InputError(f"{where}: expected the same number of nodes everywhere, got {listed}; fetch it again")
    if not edges.undirected:
        raise InputError(f"{where}: the graph is empty; fetch it again")
    data = Data(edge_index=torch.from_numpy(edges.index), num_nodes=x.shape[0])
    data.x, data.y = to_tensor(x), torch.from_numpy(labels.y)
    for key, mask in masks.items():
        data[key] = torch.from_numpy(mask)
    counts = {
        "nodes": x.shape[0],
        "edges": edges.undirected,
        "features": x.shape[1],
        "classes": labels.classes,
        "duplicates": edges.duplicates,
        "self_loops": edges.self_loops,
        "symmetrised": edges.one_way,
        **provenance.counts,
    }
    data.provenance = replace(provenance, counts=counts)
    return data
