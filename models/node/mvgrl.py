"""MVGRL: nodes of a graph are known by the summary of its diffusion, and the other way round."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch_geometric.data import Data

from graphcl.augment.diffusion import Diffusion, DiffusionKind
from graphcl.errors import InputError
from graphcl.kernels import Adjacency, cached_adjacency, feature_product, propagate
from graphcl.losses import BCE
from graphcl.models.node.view import embed_whole, node_features


class MVGRL(nn.Module):
    """Two graph convolutions, one over the graph and one over its diffusion, and a bilinear score of nodes and summaries.

    ``h = PReLU(A x W + b)`` and ``g = PReLU(S x V + c)`` with ``S`` the `Diffusion` of ``A``; summaries are
    ``sigmoid(mean_i h_i)`` and ``sigmoid(mean_i g_i)``. Nodes of one are scored with the summary of the other, high for the
    graph and low where features are shuffled: a binary cross-entropy over ``4 N``. The embedding is ``h + g``. Time
    ``O((nnz(x) + K E + N + D) D)`` a step with ``K`` hops of the diffusion, memory ``O(N D + D^2)``.

    Hassani and Khasahmadi, 2020, https://arxiv.org/abs/2006.05582. Differs from the official code: ``S x V`` is a sum over
    hops within ``tolerance``, where a dense inverse is formed; all nodes take part, where ranges of 2,000 consecutive ones do;
    the heat kernel is a matrix exponential; nothing of the diffusion is thresholded or scaled by columns; the last epoch
    counts. Products of a summary and of shuffled features are shared as in `DGI`.

    Args:
        in_features: Width ``F`` of the features.
        width: Width ``D`` of the embedding.
        diffusion: ``"ppr"`` or ``"heat"``.
        alpha: Probability to go back of ``"ppr"``, in ``(0, 1]``.
        time: Of ``"heat"``, ``>= 0``.
        tolerance: Share of the diffusion's weights that may be cut off, in ``(0, 1)``.
        row_normalise: Whether the features of each node are divided by their sum.

    Shapes:
        training_step: ``Data(x=(N, F), edge_index=(2, E))`` to a dict whose ``"loss"`` is a scalar; x dense or CSR.
        embed: the same to ``(N, D)``, whole graph, eval mode, no gradients.

    Raises:
        InputError: A width below 1, an unknown diffusion, a value out of range.
    """

    def __init__(
        self,
        in_features: int,
        *,
        width: int = 512,
        diffusion: DiffusionKind = "ppr",
        alpha: float = 0.2,
        time: float = 5.0,
        tolerance: float = 0.03,
        row_normalise: bool = False,
    ) -> None:
        super().__init__()
        for name, value in (("in_features", in_features), ("width", width)):
            if value < 1:
                raise InputError(f"{name} must be >= 1; got {value}")
        self.row_normalise = row_normalise
        self.encoder = _TwoConvolutions(in_features, width, Diffusion(diffusion, alpha=alpha, time=time, tolerance=tolerance))
        self.discriminator = nn.Linear(width, width, bias=False)
        self.offset = nn.Parameter(torch.zeros(()))
        self.criterion = BCE(half=True)
        nn.init.xavier_uniform_(self.discriminator.weight)

    def training_step(self, data: Data) -> dict[str, Tensor]:
        """One full-batch step on the graph and one shuffle of its features."""
        x = node_features(data, row_normalise=self.row_normalise)
        weight = data.edge_weight if "edge_weight" in data else None
        adjacency, products = self.encoder.prepare(x, data.edge_index, weight)
        order = torch.randperm(len(x)).to(x.device)
        return {"loss": self.criterion(*self.scores(adjacency, products, order))}

    def scores(self, adjacency: Adjacency, products: tuple[Tensor, Tensor], order: Tensor) -> tuple[Tensor, Tensor]:
        """The scores of the nodes of both views, and of nodes that have the features of others.

        Args:
            adjacency: The graph.
            products: Of features and the weights of both convolutions.
            order: A permutation of the nodes.

        Shapes:
            adjacency: ``(N, N)``; products: ``(N, D)`` each; order: ``(N,)``; returns: ``(2 N,)`` each.
        """
        real = self.encoder.smooth(adjacency, products)
        fake = self.encoder.smooth(adjacency, (products[0].index_select(0, order), products[1].index_select(0, order)))
        # Nodes of one view are scored along the summary of the other.
        along = [self.discriminator(z.mean(0).sigmoid()) for z in reversed(real)]
        good, bad = (torch.cat([z @ way for z, way in zip(pair, along, strict=True)]) for pair in (real, fake))
        return good + self.offset, bad + self.offset

    def embed(self, data: Data) -> Tensor:
        """The sum of both convolutions for all nodes; the mode is put back afterwards."""
        return embed_whole(self, self.encoder, data, row_normalise=self.row_normalise)


class _TwoConvolutions(nn.Module):
    """``PReLU(A x W + b) + PReLU(S x V + c)``, which can be cut between its products."""

    def __init__(self, in_features: int, width: int, diffusion: Diffusion) -> None:
        super().__init__()
        self.diffusion = diffusion
        self.weights = nn.ParameterList(torch.empty(in_features, width) for _ in range(2))
        self.biases = nn.ParameterList(torch.zeros(width) for _ in range(2))
        self.activations = nn.ModuleList(nn.PReLU() for _ in range(2))
        for weight in self.weights:
            nn.init.xavier_uniform_(weight)

    def forward(self, x: Tensor, edge_index: Tensor, edge_weight: Tensor | None = None) -> Tensor:
        near, far = self.smooth(*self.prepare(x, edge_index, edge_weight))
        return near + far

    def prepare(self, x: Tensor, edge_index: Tensor, edge_weight: Tensor | None) -> tuple[Adjacency, tuple[Tensor, Tensor]]:
        in_features = len(self.weights[0])
        if x.ndim != 2 or x.size(1) != in_features:
            raise InputError(f"this encoder was made for {in_features} features a node; got x of shape {tuple(x.shape)}")
        x = x.to(torch.promote_types(x.dtype, torch.float32))
        adjacency = cached_adjacency(edge_index, len(x), edge_weight=edge_weight, normalize="sym", self_loops=True)
        near, far = (feature_product(x, weight).to(x.dtype) for weight in self.weights)
        return adjacency.to(dtype=x.dtype), (near, far)

    def smooth(self, adjacency: Adjacency, products: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        near: Tensor = self.activations[0](propagate(adjacency, products[0]) + self.biases[0])
        far: Tensor = self.activations[1](self.diffusion(adjacency, products[1]) + self.biases[1])
        return near, far
