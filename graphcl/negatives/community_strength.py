"""How much more a community holds together than chance would have it."""

from __future__ import annotations

import torch
from torch import Tensor

from graphcl.errors import InputError


def community_strength(edge_index: Tensor, assignment: Tensor) -> Tensor:
    """``e_c / m - (d_c / 2m)^2`` of each node's community: its share of the modularity of the partition.

    ``e_c`` of the ``m`` edges lie inside community ``c``, and ``d_c`` is the sum of its degrees. In ``(-1/4, 1)``; the sum over
    communities is the modularity. Time ``O(E + N)``.

    Chen et al., 2023 (CSGCL), https://arxiv.org/abs/2305.04658. Its team-up of communities is a bias of the candidates::

        strength = community_strength(data.edge_index, communities)
        loss = InfoNCE(0.6, negatives=ColumnBias(gamma * strength, tempered=True))

    with ``gamma`` 0 at first and then rising by 0.01 an epoch up to 1 or 10.

    Args:
        edge_index: Undirected edges, all listed once or all listed in both directions; no self-loops.
        assignment: Community of each node.

    Shapes:
        edge_index: ``(2, E)`` int64; assignment: ``(N,)`` int64, ``>= 0``; returns: ``(N,)``, default floating type.

    Raises:
        InputError: No edges, edges of other nodes, communities that are not integers ``>= 0``.
    """
    if assignment.ndim != 1 or assignment.is_floating_point() or (len(assignment) and int(assignment.min()) < 0):
        raise InputError(
            f"assignment must be the community of each node, integers >= 0 (N,); got {tuple(assignment.shape)} "
            f"{assignment.dtype}. For soft communities: .argmax(1)."
        )
    if edge_index.ndim != 2 or edge_index.shape[0] != 2 or edge_index.shape[1] == 0:
        raise InputError(
            f"edge_index must be (2, E) with at least one edge, or no community has a strength; got {tuple(edge_index.shape)}"
        )
    if int(edge_index.min()) < 0 or int(edge_index.max()) >= len(assignment):
        raise InputError(
            f"edges must join nodes 0 .. {len(assignment) - 1}, as many as the assignment has; "
            f"got {int(edge_index.min())} .. {int(edge_index.max())}"
        )
    ends = assignment.index_select(0, edge_index[0]), assignment.index_select(0, edge_index[1])
    communities = int(assignment.max()) + 1
    inside = torch.bincount(ends[0][ends[0] == ends[1]], minlength=communities)
    degrees = torch.bincount(torch.cat(ends), minlength=communities)
    # With every edge listed twice both counts and the number of entries double: the shares stay.
    entries = edge_index.shape[1]
    strength = inside.double() / entries - (degrees.double() / (2 * entries)).square()
    return strength.to(torch.get_default_dtype()).index_select(0, assignment)
