"""Views without some of the edges."""

from __future__ import annotations

import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.transforms import BaseTransform

from graphcl.augment.draws import Probability, check_length, check_probability, draw_kept
from graphcl.errors import InputError
from graphcl.kernels import Adjacency, WeakTensorCache, cached_adjacency

_places: WeakTensorCache[Tensor] = WeakTensorCache()


class DropEdges(BaseTransform):  # type: ignore[misc]
    """Each edge goes with probability ``p``, by itself.

    Two faces of one draw: called on a graph it gives the graph that is left; ``adjacency`` gives the normalised operator of
    that very graph on the cached positions of the whole one, so nothing is sorted or found out anew. The same state of the
    generator gives the same view through both.

    With ``symmetric`` both directions of an undirected edge go together, and the view stays undirected; in a graph that is
    not, every edge goes by itself. Without it, each stored direction goes by itself, and an undirected graph becomes a
    directed one: that is another augmentation, in which a pair of directions survives with ``(1 - p)^2``. Self-loops stay.
    An edge listed several times goes as one. Time ``O(E)``, after ``O(E log E)`` for the first view of a graph.

    Rong et al., 2020 (DropEdge), https://arxiv.org/abs/1907.10903, drop a fixed number of edges; as a view of contrast Zhu et
    al., 2020 (GRACE), https://arxiv.org/abs/2006.04131, whose official code drops the directions one by one. Differs: degrees
    are counted over all nodes, also where the last ones are isolated.

    Args:
        p: Probability to go, or one for each column of ``edge_index``; where directions go together, the mean of both counts.
        symmetric: Whether both directions of an undirected edge go together.
        generator: Of the random numbers; torch's own when ``None``.

    Shapes:
        p: scalar or ``(E,)``; called: ``Data`` with edge_index ``(2, E)`` to ``Data`` with ``(2, E')``, attributes of edges
        cut alike, nodes as they were; adjacency: the same to ``(N, N)``.

    Raises:
        InputError: Probabilities outside ``[0, 1]``, or of another graph; what `cached_adjacency` refuses.
    """

    def __init__(self, p: Probability, *, symmetric: bool = True, generator: torch.Generator | None = None) -> None:
        self.p = check_probability(p)
        self.symmetric = symmetric
        self.generator = generator

    def forward(self, data: Data) -> Data:
        """The graph without the edges that went."""
        if self._keeps_all():
            return data
        adj = _whole(data, normalize=self.symmetric)
        kept = self._kept(adj, data.edge_index).index_select(0, self._place(adj, data.edge_index))
        num_nodes = data.num_nodes
        view = data.edge_subgraph(kept)
        view.num_nodes = num_nodes  # or it would be guessed from the edges that are left
        return view

    def adjacency(self, data: Data) -> Adjacency:
        """The operator of the graph without the edges that went: symmetrically normalised, with self-loops."""
        if self._keeps_all():
            return _whole(data, normalize=True)
        adj = _whole(data, normalize=self.symmetric)
        kept = self._kept(adj, data.edge_index)
        return adj.drop_edges(kept) if self.symmetric else _normalized(adj, kept)

    def __repr__(self) -> str:
        p = f"tensor of {len(self.p)}" if isinstance(self.p, Tensor) else f"{self.p:g}"
        return f"DropEdges({p}, symmetric={self.symmetric})"

    def _keeps_all(self) -> bool:
        return not isinstance(self.p, Tensor) and self.p == 0

    def _kept(self, adj: Adjacency, edge_index: Tensor) -> Tensor:
        """Which edges stay, in the order of `_edges`."""
        source, target = self._edges(adj)
        p = self.p
        if isinstance(p, Tensor):
            check_length(p, edge_index.size(1), "edges")
            place, listed = self._place(adj, edge_index), p.to(adj.device)
            total = listed.new_zeros(len(source)).index_add_(0, place, listed)
            p = total / torch.bincount(place, minlength=len(source)).clamp_(min=1)
        return draw_kept(p, len(source), adj.device, self.generator) | (source == target)

    def _edges(self, adj: Adjacency) -> tuple[Tensor, Tensor]:
        """Sources and targets of what goes by itself, sorted by target, then source."""
        if self.symmetric:
            source, target = adj.edges.unbind(0)
            return source, target
        return adj.pattern.col, adj.pattern.row

    def _place(self, adj: Adjacency, edge_index: Tensor) -> Tensor:
        """``(E,)``, where each listed edge stands among `_edges`; remembered as long as the list lives."""

        def build() -> Tensor:
            source, target = edge_index.long().unbind(0)
            if self.symmetric and adj.pattern.is_symmetric:
                source, target = torch.minimum(source, target), torch.maximum(source, target)
            ours, n = self._edges(adj), adj.num_nodes
            return torch.searchsorted(ours[1].long() * n + ours[0].long(), target * n + source)

        return _places.get((edge_index,), (adj.num_nodes, self.symmetric), build)


def _whole(data: Data, *, normalize: bool) -> Adjacency:
    """The operator of the whole graph, made once; with its plain weights where it is not normalised."""
    if "edge_index" not in data:
        raise InputError(f"expected a graph with an edge_index; got {data}")
    return cached_adjacency(
        data.edge_index,
        data.num_nodes,
        edge_weight=data.edge_weight if "edge_weight" in data else None,
        normalize="sym" if normalize else None,
    )


@torch.no_grad()
def _normalized(plain: Adjacency, kept: Tensor) -> Adjacency:
    """``D^-1/2 W D^-1/2`` of the entries that stay, with degrees of the targets, on the positions of all."""
    row, col = plain.pattern.row, plain.pattern.col
    weight = torch.where(kept, plain.values, 0.0)
    degree = weight.new_zeros(plain.num_nodes).index_add_(0, row, weight)
    inverse = degree.rsqrt_()
    inverse = inverse.masked_fill_(inverse.isinf(), 0.0)
    return plain.reweight(inverse.index_select(0, row).mul_(inverse.index_select(0, col)).mul_(weight))
