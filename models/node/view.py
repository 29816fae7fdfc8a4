"""One corrupted view of a graph, and the whole graph, through an encoder."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch_geometric.data import Data

from graphcl.augment import DropEdges, MaskFeatures, Probability
from graphcl.errors import InputError
from graphcl.kernels import Adjacency, WeakTensorCache
from graphcl.models.encoders.named import PyGEncoder

_scaled: WeakTensorCache[Tensor] = WeakTensorCache()


class View:
    """Edges dropped, then feature columns masked, drawn anew by every call from torch's own generator.

    The encoder gets an operator on the cached positions of the whole graph and a mask for the rows of its first weight, which
    are the same numbers as a new graph would give; networks of PyG get the edges that are left. Time ``O(E + F)`` besides the
    encoder's.

    Args:
        drop_edge: Probability that an edge is missing, or one for each.
        drop_feature: Probability that a feature column is masked, or one for each.
        symmetric: Whether both directions of an undirected edge go together.
    """

    def __init__(self, drop_edge: Probability, drop_feature: Probability, *, symmetric: bool = False) -> None:
        self.edges = DropEdges(drop_edge, symmetric=symmetric)
        self.features = MaskFeatures(drop_feature)

    def encode(self, encoder: nn.Module, data: Data, *, row_normalise: bool = False) -> Tensor:
        """What the encoder makes of a fresh view.

        Args:
            encoder: As `graphcl.models.encoders.named.named_encoder` makes it.
            data: The whole graph.
            row_normalise: Whether the features are those of `node_features` with that option.

        Shapes:
            data: ``Data(x=(N, F), edge_index=(2, E))``; returns: ``(N, D)``.
        """
        return self.draw(data, row_normalise=row_normalise)(encoder)

    def draw(self, data: Data, *, row_normalise: bool = False) -> DrawnView:
        """A fresh view, to be shown to several encoders."""
        x = node_features(data, row_normalise=row_normalise)
        adjacency = self.edges.adjacency(data)  # edges before features, as `Compose` of the two would draw
        return DrawnView(x, adjacency, self.features.columns(data))


@dataclass(frozen=True, eq=False)
class DrawnView:
    """A view as an operator and a mask of columns.

    Shapes:
        x: ``(N, F)``; adjacency: ``(N, N)``; columns: ``(F,)``.
    """

    x: Tensor
    adjacency: Adjacency
    columns: Tensor | None

    def __call__(self, encoder: nn.Module) -> Tensor:
        """What the encoder makes of it.

        Shapes:
            returns: ``(N, D)``.
        """
        edges = self._left() if isinstance(encoder, PyGEncoder) else self.adjacency
        z: Tensor = encoder(self.x, edges, columns=self.columns)
        return z

    def _left(self) -> Tensor:
        """``(2, E')``, the edges that were not dropped, without loops; networks of PyG add their own."""
        source, target, weight = self.adjacency.pattern.col, self.adjacency.pattern.row, self.adjacency.values
        left = (weight != 0) & (source != target)
        return torch.stack([source.masked_select(left), target.masked_select(left)]).long()


@torch.no_grad()
def embed_whole(system: nn.Module, encoder: nn.Module, data: Data, *, row_normalise: bool = False) -> Tensor:
    """What the encoder makes of the whole graph in evaluation mode; the system's mode is put back afterwards.

    Shapes:
        data: ``Data(x=(N, F), edge_index=(2, E))``; returns: ``(N, D)``.
    """
    training = system.training
    system.eval()
    try:
        weight = data.edge_weight if "edge_weight" in data else None
        z: Tensor = encoder(node_features(data, row_normalise=row_normalise), data.edge_index, weight)
    finally:
        system.train(training)
    return z


def node_features(data: Data, *, row_normalise: bool = False) -> Tensor:
    """The features of the nodes; with ``row_normalise`` each row divided by the sum of its absolute values, made once.

    Shapes:
        returns: ``(N, F)``, dense or CSR as they are.

    Raises:
        InputError: There are none.
    """
    if data.x is None:
        raise InputError("this system contrasts nodes by their features, and the graph has none: give it an x of shape (N, F)")
    x: Tensor = data.x
    return _scaled.get((x,), None, lambda: _unit_sums(x)) if row_normalise else x


@torch.no_grad()
def _unit_sums(x: Tensor) -> Tensor:
    if x.layout == torch.strided:
        total = x.abs().sum(1, keepdim=True)
        return x / total.masked_fill(total == 0, 1.0)
    rows = torch.repeat_interleave(x.crow_indices().diff())
    total = x.values().new_zeros(len(x)).index_add_(0, rows, x.values().abs())
    values = x.values() / total.masked_fill(total == 0, 1.0).index_select(0, rows)
    return torch.sparse_csr_tensor(x.crow_indices(), x.col_indices(), values, x.shape, check_invariants=False)
