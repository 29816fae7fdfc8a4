"""Who is met more often than others on short walks: the positives of modularity."""

from __future__ import annotations

import torch
from torch import Tensor

from graphcl.errors import InputError
from graphcl.kernels import Adjacency

_VISITS = 2**22  # steps of walks held at a time


def walk_positives(edge_index: Tensor, num_nodes: int, *, walks: int, length: int, seed: int) -> Adjacency:
    """Of each node, the nodes that its walks visit at least as often as the average node they visit; rows sum to 1.

    Walks are uniform on the undirected graph with self-loops, edge weights aside. ``v_ij`` counts the visits of the walks from
    ``i`` to ``j``, start aside; a node's visits to itself count as none, but it counts among those visited. ``j`` is a positive
    of ``i`` where ``v_ij`` is at least the mean over the nodes that were visited, all positives of a node with the same weight.
    A node that meets nobody else has none: its row is empty.

    Time ``O(N walks length log)``, memory that of the positives, at most ``walks * length`` a node, and of a chunk of walks. On
    the CPU, the same for one seed everywhere. Liu et al., 2024 (MAGI), https://arxiv.org/abs/2406.14288. Differs from the
    official code: no loop over nodes; a node alone is not its own positive; the seed is given.

    Args:
        edge_index: Row 0 sources, row 1 targets; directions are ignored.
        num_nodes: ``N``.
        walks: From each node, ``>= 1``.
        length: Steps of a walk, ``>= 1``.
        seed: Of the walks.

    Shapes:
        edge_index: ``(2, E)``; the operator returned: ``(N, N)``, row ``i`` the positives of ``i``.

    Raises:
        InputError: No walks, or walks of no step; ids that are out of range.
    """
    for name, value in (("walks", walks), ("length", length)):
        if value < 1:
            raise InputError(f"{name} must be >= 1; got {value}")
    edges = edge_index.cpu()
    both = torch.cat([edges, edges.flip(0)], 1)
    pattern = Adjacency.from_edge_index(both, num_nodes, normalize=None, self_loops=True).pattern
    crow, col = pattern.crow.long(), pattern.col
    generator = torch.Generator().manual_seed(seed)
    rows: list[Tensor] = []
    positives: list[Tensor] = []
    step = max(1, _VISITS // (walks * length))
    for start in range(0, num_nodes, step):
        row, node = _often_visited(crow, col, range(start, min(start + step, num_nodes)), walks, length, generator)
        rows.append(row)
        positives.append(node)
    pairs = torch.stack([torch.cat(positives), torch.cat(rows)]) if rows else torch.zeros(2, 0, dtype=torch.int64)
    found = Adjacency.from_edge_index(pairs, num_nodes, normalize="row", self_loops=False)
    return found.to(edge_index.device)


def _often_visited(
    crow: Tensor, col: Tensor, nodes: range, walks: int, length: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    n, degree = len(crow) - 1, crow.diff()
    row = torch.arange(len(nodes)).repeat_interleave(walks)
    at = row + nodes.start
    visits = []
    for _ in range(length):
        choices = degree.index_select(0, at)
        draw = torch.rand(len(at), generator=generator, dtype=torch.float64)
        chosen = torch.minimum((draw * choices).long(), choices - 1)
        at = col.index_select(0, crow.index_select(0, at) + chosen).long()
        visits.append(row * n + at)
    key, count = torch.unique(torch.cat(visits), return_counts=True)
    row, node = key // n, key % n
    own = node == row + nodes.start
    count = count.masked_fill(own, 0)
    total = torch.zeros(len(nodes), dtype=torch.int64).index_add_(0, row, count)
    entries = torch.bincount(row, minlength=len(nodes))
    # In whole numbers, so that no rounding decides about a count that is the mean itself.
    often = (count * entries.index_select(0, row) >= total.index_select(0, row)) & ~own
    return (row + nodes.start)[often], node[often]
