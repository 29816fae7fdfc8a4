"""Deep Graph Infomax: real nodes are told from nodes with somebody else's features, by a summary of the graph."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch_geometric.data import Data

from graphcl.errors import InputError
from graphcl.kernels import Adjacency, cached_adjacency, feature_product, propagate
from graphcl.losses import BCE
from graphcl.models.node.view import embed_whole, node_features


class DGI(nn.Module):
    """One graph convolution, and a bilinear score of node and summary: high for the graph, low where features are shuffled.

    ``h = PReLU(A x W + b)``, ``s = sigmoid(mean_i h_i)``; the scores ``h_i' M s + c`` of the graph and of the graph with its
    rows of ``x`` permuted go into a binary cross-entropy over ``2 N``. Time ``O((nnz(x) + E + N + D) D)`` a step, memory
    ``O(N D + D^2)``.

    Velickovic et al., 2019, https://arxiv.org/abs/1809.10341. Same numbers for less: ``M s`` is computed once, not ``h M`` for
    every node, and one product of features and weight serves both graphs, since permuting its rows is permuting features.
    Differs from the official code: no self-loops are added twice, and the last epoch counts, not the one with the smallest loss
    of a single random shuffle. Random numbers come from torch's own generator.

    Args:
        in_features: Width ``F`` of the features.
        width: Width ``D`` of the embedding.
        row_normalise: Whether the features of each node are divided by their sum.

    Shapes:
        training_step: ``Data(x=(N, F), edge_index=(2, E))`` to a dict whose ``"loss"`` is a scalar; x dense or CSR.
        embed: the same to ``(N, D)``, whole graph, eval mode, no gradients.

    Raises:
        InputError: A width below 1.
    """

    def __init__(self, in_features: int, *, width: int = 512, row_normalise: bool = False) -> None:
        super().__init__()
        for name, value in (("in_features", in_features), ("width", width)):
            if value < 1:
                raise InputError(f"{name} must be >= 1; got {value}")
        self.row_normalise = row_normalise
        self.encoder = _Convolution(in_features, width)
        self.discriminator = nn.Linear(width, width, bias=False)
        self.offset = nn.Parameter(torch.zeros(()))
        self.criterion = BCE(half=True)
        nn.init.xavier_uniform_(self.discriminator.weight)

    def training_step(self, data: Data) -> dict[str, Tensor]:
        """One full-batch step on the graph and one shuffle of its features."""
        adj, product = self.encoder.prepare(node_features(data, row_normalise=self.row_normalise), *_edges(data))
        order = torch.randperm(len(product)).to(product.device)
        return {"loss": self.criterion(*self.scores(adj, product, order))}

    def scores(self, adj: Adjacency, product: Tensor, order: Tensor) -> tuple[Tensor, Tensor]:
        """The scores of the nodes, and of nodes that have the features of others.

        Args:
            adj: The graph.
            product: Of features and weight.
            order: A permutation of the nodes.

        Shapes:
            adj: ``(N, N)``; product: ``(N, D)``; order: ``(N,)``; returns: ``(N,)`` each.
        """
        real, shuffled = (self.encoder.smooth(adj, rows) for rows in (product, product.index_select(0, order)))
        direction = self.discriminator(real.mean(0).sigmoid())
        return real @ direction + self.offset, shuffled @ direction + self.offset

    def embed(self, data: Data) -> Tensor:
        """The encoder's output for all nodes; the mode is put back afterwards."""
        return embed_whole(self, self.encoder, data, row_normalise=self.row_normalise)


class _Convolution(nn.Module):
    """``PReLU(A x W + b)``, which can be cut between its two products."""

    def __init__(self, in_features: int, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(in_features, width))
        self.bias = nn.Parameter(torch.zeros(width))
        self.activation = nn.PReLU()
        nn.init.xavier_uniform_(self.weight)

    def forward(self, x: Tensor, edge_index: Tensor, edge_weight: Tensor | None = None) -> Tensor:
        return self.smooth(*self.prepare(x, edge_index, edge_weight))

    def prepare(self, x: Tensor, edge_index: Tensor, edge_weight: Tensor | None) -> tuple[Adjacency, Tensor]:
        if x.ndim != 2 or x.size(1) != len(self.weight):
            raise InputError(f"this encoder was made for {len(self.weight)} features a node; got x of shape {tuple(x.shape)}")
        x = x.to(torch.promote_types(x.dtype, torch.float32))
        adj = cached_adjacency(edge_index, len(x), edge_weight=edge_weight, normalize="sym", self_loops=True)
        return adj.to(dtype=x.dtype), feature_product(x, self.weight).to(x.dtype)

    def smooth(self, adj: Adjacency, product: Tensor) -> Tensor:
        out: Tensor = self.activation(propagate(adj, product) + self.bias)
        return out


def _edges(data: Data) -> tuple[Tensor, Tensor | None]:
    return data.edge_index, data.edge_weight if "edge_weight" in data else None
