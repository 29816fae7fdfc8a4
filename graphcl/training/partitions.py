"""A graph cut into parts that hang together, and batches of a few parts each."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Literal

import numpy as np
import torch
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import reverse_cuthill_mckee
from torch import Tensor
from torch_geometric.data import Data

from graphcl.errors import InputError, unknown_name
from graphcl.training.neighbour_sampler import CSRNeighbourSampler
from graphcl.training.node_batches import induced_batch

Method = Literal["auto", "metis", "order"]
PARTS_A_BATCH = 8  # other neighbours in every epoch, as Cluster-GCN has it


@dataclass(frozen=True, eq=False)
class Partition:
    """Which part each node is in.

    Args:
        part: Numbers from 0; every part has a node.
        method: ``"metis"`` or ``"order"``, how it was found.
        cut: Share of the edges between parts.

    Shapes:
        part: ``(N,)``.
    """

    part: Tensor
    method: str
    cut: float


def partition(sampler: CSRNeighbourSampler, parts: int, *, method: Method = "auto", seed: int = 0) -> Partition:
    """Parts of about one size with few edges between them; directions and repeats of edges do not count.

    METIS (Karypis and Kumar, 1998, https://doi.org/10.1137/S1064827595287997) by way of PyMetis where that is installed. The
    other way is no match for it, and warns where it stands in: nodes in the order of reverse Cuthill and McKee, which puts
    neighbours near each other, cut into equal pieces. Time ``O(E log E)`` at most; memory some 20 bytes an edge.

    Args:
        sampler: Holds the edges.
        parts: How many, ``1 .. N``; METIS may leave some empty, and those do not count.
        method: ``"metis"``, ``"order"``, or ``"auto"``: METIS where it is installed.
        seed: Of METIS.

    Raises:
        InputError: A number of parts out of range, or METIS where there is none.
    """
    n, here = sampler.num_nodes, find_spec("pymetis") is not None
    if not 1 <= parts <= max(1, n):
        raise InputError(f"parts must lie in 1 .. {n}, the number of nodes; got {parts}")
    if method not in ("auto", "metis", "order"):
        raise unknown_name("method", str(method), ("auto", "metis", "order"))
    if method == "metis" and not here:
        raise InputError("METIS needs PyMetis, which is not installed: pip install pymetis, or take method='order'")
    if method == "auto" and not here:
        warnings.warn("PyMetis is not installed: parts are pieces of an order, and cut more edges", stacklevel=2)
    chosen = "metis" if here and method != "order" else "order"
    found = _metis(sampler, parts, seed) if chosen == "metis" and parts > 1 else _pieces(sampler, parts)
    part = torch.unique(found, return_inverse=True)[1]
    target = torch.repeat_interleave(sampler.crow.diff())
    cut = float((part[target] != part[sampler.col]).double().mean()) if len(target) else 0.0
    return Partition(part, chosen, cut)


class PartitionBatches(Data):  # type: ignore[misc]
    """The graph itself, sharing its tensors, and the batches of an epoch: the graphs induced by a few parts each.

    Parts are an eighth of a batch; every epoch shuffles them and puts them together anew, so that edges between parts are seen
    as well. Each node is in one batch of an epoch. A batch is as in `NodeBatches`, and all of its nodes count as seeds.

    Chiang et al., 2019 (Cluster-GCN), https://arxiv.org/abs/1905.07953. Differs: a batch is normalised as the graph it is,
    without their diagonal enhancement.

    Args:
        graph: On whichever device.
        batch_nodes: Of a batch, about, ``>= 2``; the whole graph where it has no more.
        method: Of `partition`.
        seed: Of METIS.

    Shapes:
        graph: ``Data(x=(N, F), edge_index=(2, E))``.

    Raises:
        InputError: No features, a number below 2, or as in `partition`.
    """

    def __init__(self, graph: Data, batch_nodes: int, *, method: Method = "auto", seed: int = 0) -> None:
        if batch_nodes < 2:
            raise InputError(f"batch_nodes must be >= 2, the nodes of a batch; got {batch_nodes}")
        if graph.x is None:
            raise InputError("batches carry features, and the graph has none: give it an x of shape (N, F)")
        super().__init__(**graph.to_dict())
        self.num_nodes = graph.num_nodes
        sampler = CSRNeighbourSampler(graph.edge_index, graph.num_nodes, (-1,))
        steps = max(1, min(math.ceil(graph.num_nodes / batch_nodes), graph.num_nodes // 2))
        parts = 1 if steps == 1 else min(graph.num_nodes, PARTS_A_BATCH * steps)
        # In the instance's dictionary, where Data keeps what is no part of the graph.
        self.__dict__["partition"] = partition(sampler, parts, method=method, seed=seed)
        self.__dict__["steps"] = steps
        self.__dict__["_sampler"] = sampler

    def batches(self, epoch: int) -> Iterator[Data]:
        """The batches of an epoch, one after the other."""
        part: Tensor = self.__dict__["partition"].part
        count = int(part.max()) + 1
        sampler: CSRNeighbourSampler = self.__dict__["_sampler"]
        order = torch.argsort(part, stable=True)
        members = torch.tensor_split(order, torch.bincount(part, minlength=count).cumsum(0)[:-1])
        for chosen in torch.tensor_split(torch.randperm(count), min(self.__dict__["steps"], count)):
            nodes = torch.cat([members[number] for number in chosen.tolist()])
            yield induced_batch(self, sampler, nodes, len(nodes))


def _metis(sampler: CSRNeighbourSampler, parts: int, seed: int) -> Tensor:
    import pymetis

    both = _undirected(sampler)
    adjacency = pymetis.CSRAdjacency(both.indptr, both.indices)
    _, part = pymetis.part_graph(parts, adjacency, options=pymetis.Options(seed=seed))
    return torch.as_tensor(np.asarray(part, dtype=np.int64))


def _pieces(sampler: CSRNeighbourSampler, parts: int) -> Tensor:
    n = sampler.num_nodes
    order = torch.from_numpy(reverse_cuthill_mckee(_undirected(sampler), symmetric_mode=True).astype(np.int64))
    part = torch.empty(n, dtype=torch.int64)
    part[order] = torch.arange(n) * parts // max(n, 1)
    return part


def _undirected(sampler: CSRNeighbourSampler) -> csr_array:
    """The pattern with both directions of every edge and no loops, without which METIS reads beyond its arrays."""
    target = torch.repeat_interleave(sampler.crow.diff()).to(sampler.col.dtype)
    proper = target != sampler.col
    ends = (target[proper].numpy(), sampler.col[proper].numpy())
    matrix = coo_array((np.ones(len(ends[0]), dtype=bool), ends), shape=(sampler.num_nodes,) * 2).tocsr()
    both: csr_array = matrix + matrix.T.tocsr()
    return both
