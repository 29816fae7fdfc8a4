"""A graph that comes in batches: what was sampled around some of its nodes, as a small graph of its own."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from torch_geometric.data import Data

from graphcl.errors import InputError
from graphcl.training.neighbour_sampler import CSRNeighbourSampler, expand

FANOUTS = (5, 5)  # 28 nodes around a seed where degrees are large: what is trained at once stays a small part of the graph


class NodeBatches(Data):  # type: ignore[misc]
    """The graph itself, sharing its tensors, and the batches of an epoch: the graph induced around each group of seeds.

    Every epoch shuffles the nodes and cuts them into groups of equal size (or one less), two nodes at least. A batch is a
    ``Data`` with the seeds and what `CSRNeighbourSampler` draws around them: ``x``, all edges among these nodes as
    ``edge_index`` and, where there are weights, ``edge_weight``; ``n_id`` says which nodes they are, and the first
    ``batch_size`` of them are the seeds. Labels and masks stay behind. Random numbers are those of torch's own generator. As
    it is the whole graph too, a system's hooks take it for that.

    Memory is that of the sampler, 8 bytes an edge, and of one batch; time of a batch ``O(B fanouts + degrees)``.

    Args:
        graph: On whichever device: batches are drawn on the CPU, and come to lie where the graph is.
        seeds: Of a batch, ``B >= 1``; all nodes where there are fewer.
        fanouts: Neighbours of a node in each hop, as in `CSRNeighbourSampler`.
        steps: Batches of an epoch: as many as it takes to give every node its turn as a seed when ``None``, and never more.

    Shapes:
        graph: ``Data(x=(N, F), edge_index=(2, E))``, x dense or CSR; batches: ``x (n, F)``, ``edge_index (2, e)``,
        ``n_id (n,)``.

    Raises:
        InputError: No features, or a number below 1.
    """

    def __init__(self, graph: Data, seeds: int, *, fanouts: Sequence[int] = FANOUTS, steps: int | None = None) -> None:
        if seeds < 1 or (steps is not None and steps < 1):
            raise InputError(f"a batch needs 1 seed and an epoch 1 batch; got {seeds} seeds and {steps} batches")
        if graph.x is None:
            raise InputError("batches carry features, and the graph has none: give it an x of shape (N, F)")
        super().__init__(**graph.to_dict())
        self.num_nodes = graph.num_nodes
        groups = max(1, min(math.ceil(graph.num_nodes / seeds), graph.num_nodes // 2))  # nobody is contrasted with nobody
        # In the instance's dictionary, where Data keeps what is no part of the graph.
        self.__dict__["steps"] = groups if steps is None else min(steps, groups)
        self.__dict__["_groups"] = groups
        self.__dict__["_sampler"] = CSRNeighbourSampler(graph.edge_index, graph.num_nodes, fanouts)

    def batches(self, epoch: int) -> Iterator[Data]:
        """The batches of an epoch, one after the other."""
        order = torch.randperm(self.num_nodes)
        for seeds in torch.tensor_split(order, self.__dict__["_groups"])[: self.__dict__["steps"]]:
            sampler: CSRNeighbourSampler = self.__dict__["_sampler"]
            yield induced_batch(self, sampler, sampler.sample(seeds).node, len(seeds))


def induced_batch(graph: Data, sampler: CSRNeighbourSampler, nodes: Tensor, seeds: int) -> Data:
    """The graph induced by some nodes, as a batch.

    Args:
        graph: The whole graph.
        sampler: Of its edges.
        nodes: Which, on the CPU.
        seeds: How many of them, from the first on, the batch is about.

    Shapes:
        nodes: ``(n,)``; returns: ``Data(x=(n, F), edge_index=(2, e), n_id=(n,))``.
    """
    index, edge = sampler.induced(nodes)
    device = graph.edge_index.device
    batch = Data(x=take_rows(graph.x, nodes), edge_index=index.to(device), n_id=nodes.to(device), num_nodes=len(nodes))
    batch.batch_size = seeds
    if "edge_weight" in graph:
        batch.edge_weight = graph.edge_weight.index_select(0, edge.to(device))
    return batch


def take_rows(x: Tensor, rows: Tensor) -> Tensor:
    """Some rows of dense or CSR features, in the layout that they have.

    Args:
        x: Features, on any device.
        rows: Which, on the CPU.

    Shapes:
        x: ``(N, F)``; rows: ``(n,)``; returns: ``(n, F)``.
    """
    if x.layout == torch.strided:
        return x.index_select(0, rows.to(x.device))
    crow = x.crow_indices().cpu().long()
    begin = crow[rows]
    _, position = expand(begin, crow[rows + 1] - begin)
    start = torch.cat([crow.new_zeros(1), (crow[rows + 1] - begin).cumsum(0)])
    position, kind = position.to(x.device), x.col_indices().dtype
    parts = (start.to(x.device, kind), x.col_indices().index_select(0, position), x.values().index_select(0, position))
    return torch.sparse_csr_tensor(*parts, (len(rows), x.size(1)), check_invariants=False)
