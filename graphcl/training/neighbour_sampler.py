"""Neighbourhoods drawn from a graph in CSR form, whole frontiers at a time."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch
from scipy.sparse import csr_array
from torch import Tensor
from torch_geometric.sampler import BaseSampler, NodeSamplerInput, SamplerOutput

from graphcl.errors import InputError
from graphcl.kernels.edge_list import check_graph, plain_index

ENTRIES = 2**22  # of the CSR arrays that an induced subgraph looks at in one go: 130 MB at the peak


class CSRNeighbourSampler(BaseSampler):  # type: ignore[misc]
    """Draws, hop by hop, up to ``fanout`` distinct neighbours of every node of the frontier; the frontier's news are the next.

    Neighbours are sources of edges into a node, each subset as likely as any other; a node with no more than ``fanout`` of them
    gives all. A frontier is drawn at once by tensor operations, in ``O(k k)`` for each of its nodes with fanout ``k`` whatever
    their degrees. It needs no compiled extension, and serves ``torch_geometric.loader.NodeLoader`` as ``node_sampler``. The
    graph takes 8 bytes an edge and 12 a node; building it ``O(E)`` time.

    Hamilton, Ying and Leskovec, 2017, https://arxiv.org/abs/1706.02216, and the subsets by Floyd's method (Bentley and Floyd,
    1987, https://doi.org/10.1145/30401.315746). Differs from PyG's ``NeighborSampler``: nodes that join in one hop are in the
    order of their ids, and a seed is given once.

    Args:
        edge_index: Row 0 sources, row 1 targets. Copied, and may go.
        num_nodes: ``N``.
        fanouts: Neighbours of a node in each hop, ``>= 1``; ``-1`` takes all.
        generator: Of the random numbers, on the CPU; torch's own when ``None``.

    Shapes:
        edge_index: ``(2, E)``.

    Raises:
        InputError: No hop, a fanout of another kind, ids out of range.
    """

    def __init__(
        self, edge_index: Tensor, num_nodes: int, fanouts: Sequence[int], *, generator: torch.Generator | None = None
    ) -> None:
        if not fanouts or any(fanout < 1 and fanout != -1 for fanout in fanouts):
            raise InputError(f"fanouts must be >= 1, or -1 for all neighbours, at least one hop; got {list(fanouts)}")
        index = plain_index(edge_index).cpu()
        check_graph(index, num_nodes, None)
        self.fanouts, self.generator = tuple(fanouts), generator
        self.crow, self.col, self.edge = _by_target(index, num_nodes)
        self._place = torch.full((num_nodes,), -1, dtype=torch.int32)  # of a node in the sample; -1 again after each

    @property
    def num_nodes(self) -> int:
        """``N``."""
        return len(self._place)

    def sample_from_nodes(self, inputs: NodeSamplerInput, **_: object) -> SamplerOutput:
        """The sample around some nodes, as ``NodeLoader`` asks for it.

        Raises:
            InputError: As in `sample`.
        """
        out = self.sample(inputs.node)
        out.metadata = (inputs.input_id, inputs.time)
        return out

    def sample_from_edges(self, *_: object, **__: object) -> SamplerOutput:
        """Refused: edges to predict are a matter of their own."""
        raise InputError("this sampler draws around nodes: use it with NodeLoader, and PyG's NeighborSampler with LinkLoader")

    def sample(self, seeds: Tensor) -> SamplerOutput:
        """The seeds, then who joins hop after hop, and the edges drawn, in the numbers of the sample.

        Args:
            seeds: Distinct nodes.

        Shapes:
            seeds: ``(B,)``; of the result node: ``(n,)``, the seeds first; row, col, edge: ``(m,)`` sources and targets in
            ``[0, n)`` and columns of ``edge_index``, sorted by target within a hop.

        Raises:
            InputError: Ids that are no nodes, or a seed given twice.
        """
        seeds = self._checked(seeds)
        parts, rows, columns, edges = [seeds], [], [], []
        begin, count = 0, len(seeds)
        try:
            self._place[seeds] = torch.arange(count, dtype=torch.int32)
            if not torch.equal(self._place[seeds], torch.arange(count, dtype=torch.int32)):
                raise InputError(f"seeds must be distinct nodes; got {count} with {len(torch.unique(seeds))} different ones")
            for fanout in self.fanouts:
                frontier = parts[-1]
                target, position = self._draw(frontier, fanout)
                source = self.col[position]
                fresh = torch.unique(source[self._place[source] < 0]).long()
                self._place[fresh] = torch.arange(count, count + len(fresh), dtype=torch.int32)
                rows.append(self._place[source].long())
                columns.append(target + begin)
                edges.append(self.edge[position].long())
                parts.append(fresh)
                begin, count = begin + len(frontier), count + len(fresh)
        finally:
            for part in parts:
                self._place[part] = -1
        return SamplerOutput(
            node=torch.cat(parts),
            row=torch.cat(rows),
            col=torch.cat(columns),
            edge=torch.cat(edges),
            num_sampled_nodes=[len(part) for part in parts],
            num_sampled_edges=[len(part) for part in edges],
        )

    def induced(self, nodes: Tensor) -> tuple[Tensor, Tensor]:
        """Every edge among some nodes, in their numbers, sorted by target; and which columns of ``edge_index`` these are.

        Time ``O(sum of their degrees)``; memory that of the result and 130 MB.

        Args:
            nodes: Distinct nodes.

        Shapes:
            nodes: ``(n,)``; returns: ``(2, m)`` with ids in ``[0, n)``, and ``(m,)``.

        Raises:
            InputError: Ids that are no nodes.
        """
        nodes = self._checked(nodes)
        begin, degree = self._spans(nodes)
        rows, columns, edges = [nodes.new_empty(0)], [nodes.new_empty(0)], [nodes.new_empty(0)]
        try:
            self._place[nodes] = torch.arange(len(nodes), dtype=torch.int32)
            for first, last in _blocks(degree, ENTRIES):
                target, position = expand(begin[first:last], degree[first:last])
                source = self._place[self.col[position]]
                kept = source >= 0
                rows.append(source[kept].long())
                columns.append(target[kept] + first)
                edges.append(self.edge[position[kept]].long())
        finally:
            self._place[nodes] = -1
        return torch.stack([torch.cat(rows), torch.cat(columns)]), torch.cat(edges)

    def _draw(self, frontier: Tensor, fanout: int) -> tuple[Tensor, Tensor]:
        """Of each edge drawn, the number of its target in the frontier, and where the CSR arrays hold it."""
        begin, degree = self._spans(frontier)
        if fanout == -1:
            return expand(begin, degree)
        chosen = torch.arange(fanout).unsqueeze(1).repeat(1, len(frontier))  # (k, n): all of those that have no more
        many = (degree > fanout).nonzero().squeeze(1)
        chosen[:, many] = distinct_draws(degree[many], fanout, self.generator)
        there = (torch.arange(fanout).unsqueeze(1) < degree).T
        position = (chosen + begin).T
        return there.nonzero()[:, 0], position[there]

    def _spans(self, nodes: Tensor) -> tuple[Tensor, Tensor]:
        begin = self.crow[nodes]
        return begin, self.crow[nodes + 1] - begin

    def _checked(self, nodes: Tensor) -> Tensor:
        if nodes.ndim != 1 or nodes.dtype not in (torch.int64, torch.int32):
            raise InputError(f"nodes must be ids (n,) of int64 or int32; got {tuple(nodes.shape)} of {nodes.dtype}")
        if nodes.numel() and (int(nodes.min()) < 0 or int(nodes.max()) >= self.num_nodes):
            raise InputError(f"nodes must lie in [0, {self.num_nodes}); got {int(nodes.min())} to {int(nodes.max())}")
        return nodes.cpu().long()


def distinct_draws(size: Tensor, count: int, generator: torch.Generator | None = None) -> Tensor:
    """``count`` distinct numbers below each size, every subset as likely as any other.

    Floyd's method: the ``i``-th number is drawn below ``size - count + i + 1``, and where it is there already the largest of
    those takes its place. Time ``O(n count^2)``, whatever the sizes.

    Args:
        size: ``>= count`` each.
        count: How many.
        generator: Of the random numbers; torch's own when ``None``.

    Shapes:
        size: ``(n,)``; returns: ``(count, n)``.
    """
    # In double precision u < 1 gives floor(u s) < s for every s, and no number is noticeably likelier than another.
    uniform = torch.rand(count, len(size), dtype=torch.float64, generator=generator)
    drawn = torch.empty(count, len(size), dtype=torch.int64)
    for i in range(count):
        top = size - count + i
        pick = (uniform[i] * (top + 1)).long()
        drawn[i] = torch.where((drawn[:i] == pick).any(0), top, pick)
    return drawn


def expand(begin: Tensor, length: Tensor) -> tuple[Tensor, Tensor]:
    """Ranges written out: the number of the range of each element, and the element itself.

    Shapes:
        begin, length: ``(n,)``; returns: ``(sum length,)`` twice.
    """
    which = torch.repeat_interleave(length)
    shift = begin - (length.cumsum(0) - length)
    return which, shift[which] + torch.arange(len(which))


def _by_target(index: Tensor, num_nodes: int) -> tuple[Tensor, Tensor, Tensor]:
    """Row pointers by target, sources and columns of ``index`` in that order; a counting sort, so linear and stable."""
    size = index.size(1)
    kind = np.int32 if max(size, num_nodes) < 2**31 else np.int64
    target = index[1].numpy().astype(kind)
    listed = csr_array((np.ones(size, dtype=bool), target, np.arange(size + 1, dtype=kind)), shape=(size, num_nodes))
    turned = listed.tocsc()
    edge = torch.from_numpy(turned.indices)
    return torch.from_numpy(turned.indptr).long(), index[0].to(edge.dtype)[edge], edge


def _blocks(degree: Tensor, entries: int) -> list[tuple[int, int]]:
    """Ranges of nodes with about that many entries together, one node at least."""
    total = degree.cumsum(0)
    if not len(total):
        return []
    block = torch.div(total - degree, entries, rounding_mode="floor")
    cuts = [0, *((block[1:] != block[:-1]).nonzero().squeeze(1) + 1).tolist(), len(degree)]
    return list(pairwise(cuts))
