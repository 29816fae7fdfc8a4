"""From a list of edges to sorted entries, and back from entries to the edges that a view may drop."""

from __future__ import annotations

import torch
from torch import Tensor

from graphcl.errors import InputError
from graphcl.kernels.pattern import Pattern


class EdgeList:
    """Which entry of a square pattern belongs to which edge; shared by all operators on that pattern.

    Args:
        pattern: Rows are targets, columns sources.
        added: Whether an entry is a self-loop that nobody listed.
        self_loops: Whether every node has a loop.

    Shapes:
        added: ``(nnz,)``, boolean.
    """

    __slots__ = ("_added", "_endpoints", "_entry_edge", "_fill", "pattern", "self_loops")

    def __init__(self, pattern: Pattern, added: Tensor, self_loops: bool) -> None:
        self.pattern = pattern
        self.self_loops = self_loops
        self._added = added
        self._endpoints: Tensor | None = None
        self._entry_edge: Tensor | None = None
        self._fill: Tensor | None = None

    @property
    def endpoints(self) -> Tensor:
        """``(2, P)``, sources and targets of the edges: undirected ones once, source <= target; directed ones as they are."""
        if self._endpoints is None:
            first = self._is_first().nonzero().squeeze(1)
            self._endpoints = torch.stack(
                [self.pattern.col.index_select(0, first), self.pattern.row.index_select(0, first)]
            ).long()
        return self._endpoints

    @property
    def num_edges(self) -> int:
        """``P``."""
        return self.endpoints.size(1)

    @property
    def entry_edge(self) -> Tensor:
        """``(nnz,)``, the edge of each entry, ``P`` for the loops that were added."""
        if self._entry_edge is None:
            first = self._is_first()
            edge = first.cumsum(0) - 1
            if self.pattern.is_symmetric:
                # The entry (i, j) above the diagonal belongs to the edge of its mirror image (j, i).
                edge = torch.where(first, edge, edge.index_select(0, self.pattern.transpose.order))
            self._entry_edge = edge.masked_fill(self._added, self.num_edges)
        return self._entry_edge

    def masked(self, weight: Tensor, keep: Tensor, *, refill: bool) -> Tensor:
        """The weights with those of dropped edges at 0; with ``refill``, a dropped loop becomes an added one.

        Shapes:
            weight: ``(nnz,)``; keep: ``(P,)``; returns: ``(nnz,)``.
        """
        keep_or_added = torch.cat([keep, keep.new_ones(1)])
        kept = keep_or_added.index_select(0, self.entry_edge)
        if not refill or not self.self_loops:
            return torch.where(kept, weight, weight.new_zeros(()))
        if self._fill is None:
            self._fill = self.pattern.row == self.pattern.col
        return torch.where(kept, weight, self._fill.to(weight.dtype))

    def to(self, device: torch.device | str) -> EdgeList:
        """The same list on another device; itself where it is there already."""
        pattern = self.pattern.to(device)
        return self if pattern is self.pattern else EdgeList(pattern, self._added.to(device), self.self_loops)

    def _is_first(self) -> Tensor:
        """``(nnz,)``, whether an entry is the one that stands for its edge."""
        listed = ~self._added
        return listed & (self.pattern.row >= self.pattern.col) if self.pattern.is_symmetric else listed


def coalesce(edge_index: Tensor, num_nodes: int, edge_weight: Tensor | None, self_loops: bool) -> tuple[EdgeList, Tensor]:
    """Entries sorted by target, then source, each once, and their weights summed in the order in which they were listed.

    Shapes:
        edge_index: ``(2, E)``; edge_weight: ``(E,)``; the weights returned: ``(nnz,)``.
    """
    source, target = edge_index.long().unbind(0)
    # A copy, so that neither a write to the user's weights nor their lifetime has to do with the operator's.
    weight = torch.ones(source.numel(), device=source.device) if edge_weight is None else edge_weight.detach().clone()
    key = target * num_nodes + source
    has_loop = torch.zeros(num_nodes, dtype=torch.bool, device=key.device)
    if self_loops:
        has_loop.index_fill_(0, target.masked_select(source == target), True)
        missing = (~has_loop).nonzero().squeeze(1)
        key = torch.cat([key, missing * (num_nodes + 1)])
        weight = torch.cat([weight, weight.new_ones(missing.numel())])
    if bool((key[1:] < key[:-1]).any()):
        key, order = torch.sort(key, stable=True)
        weight = weight.index_select(0, order)
    is_new = torch.ones(key.numel(), dtype=torch.bool, device=key.device)
    torch.ne(key[1:], key[:-1], out=is_new[1:])
    if not bool(is_new.all()):
        entry = is_new.cumsum(0) - 1
        key = key.masked_select(is_new)
        weight = weight.new_zeros(key.numel()).index_add_(0, entry, weight)
    row = torch.div(key, max(num_nodes, 1), rounding_mode="floor")
    col = key - row * num_nodes
    crow = torch.zeros(num_nodes + 1, dtype=torch.int64, device=key.device)
    crow[1:] = torch.bincount(row, minlength=num_nodes).cumsum(0)
    added = (row == col) & ~has_loop.index_select(0, row) if self_loops else torch.zeros_like(row, dtype=torch.bool)
    return EdgeList(Pattern(crow, col, num_nodes), added, self_loops), weight


def plain_index(edge_index: Tensor) -> Tensor:
    """The tensor under PyG's ``EdgeIndex``, whose operators return subclasses; any other tensor is returned as it is."""
    unwrap = getattr(edge_index, "as_tensor", None)
    plain = edge_index if unwrap is None else unwrap()
    return plain if isinstance(plain, Tensor) else edge_index


def check_graph(edge_index: Tensor, num_nodes: int, edge_weight: Tensor | None) -> None:
    """Refuses what is not a list of edges between ``num_nodes`` nodes.

    Raises:
        InputError: Ids that are not integers or out of range, weights that are negative, not finite or of another length.
    """
    if edge_index.ndim != 2 or edge_index.size(0) != 2 or edge_index.dtype not in (torch.int64, torch.int32):
        raise InputError(
            f"edge_index must be (2, E) of int64 or int32, sources above targets; got {tuple(edge_index.shape)} of "
            f"{edge_index.dtype}. A list of pairs (E, 2) is transposed by .t()."
        )
    if num_nodes < 0:
        raise InputError(f"num_nodes must be 0 or more; got {num_nodes}.")
    if edge_index.numel() and (int(edge_index.min()) < 0 or int(edge_index.max()) >= num_nodes):
        raise InputError(
            f"node ids must be in [0, {num_nodes}); got {int(edge_index.min())} to {int(edge_index.max())}. "
            "Is num_nodes that of this graph? Ids count from 0."
        )
    if edge_weight is None:
        return
    if edge_weight.shape != (edge_index.size(1),) or edge_weight.dtype not in (torch.float32, torch.float64):
        raise InputError(
            f"edge_weight must be float32 or float64 of shape ({edge_index.size(1)},), one per edge; "
            f"got {tuple(edge_weight.shape)} of {edge_weight.dtype}."
        )
    if edge_weight.device != edge_index.device:
        raise InputError(f"edge_weight must be where edge_index is, {edge_index.device}; got {edge_weight.device}.")
    if edge_weight.requires_grad:
        raise InputError(
            "edge_weight must be constant; got one that requires a gradient, which normalising once would cut off. "
            "Learned weights: adj.reweight(values), one per stored entry; otherwise edge_weight.detach()."
        )
    if not bool((edge_weight.isfinite() & (edge_weight >= 0)).all()):
        worst = edge_weight[~(edge_weight.isfinite() & (edge_weight >= 0))][0].item()
        raise InputError(
            f"edge_weight must be finite and not negative; got {worst}. Degrees of negative weights have no square root: "
            "clamp them, or put signed values on the graph with adj.reweight(values)."
        )
