"""One linear map of features that the graph has smoothed."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from graphcl.errors import InputError
from graphcl.kernels import Adjacency, cached_adjacency, feature_product, propagate


class SGC(nn.Module):
    """``A^hops x W + b``, with ``A`` the symmetrically normalised adjacency with self-loops.

    The product with ``W`` comes first where it makes the rows narrower, and always for sparse features, which stay sparse.
    Time ``O(nnz(x) D + hops E min(F, D))``, memory ``O(N D)``. Wu et al., 2019, https://arxiv.org/abs/1902.07153.

    Args:
        in_features: Width ``F`` of the features.
        out_features: Width ``D`` of the embedding.
        hops: Number of products with ``A``, ``>= 0``.

    Shapes:
        forward: x ``(N, F)`` dense or CSR, edge_index ``(2, E)`` or an operator ``(N, N)``; returns ``(N, D)``.

    Raises:
        InputError: A width below 1 or a negative number of hops.
    """

    def __init__(self, in_features: int, out_features: int, *, hops: int = 2) -> None:
        super().__init__()
        for name, value, least in (("in_features", in_features, 1), ("out_features", out_features, 1), ("hops", hops, 0)):
            if value < least:
                raise InputError(f"{name} must be >= {least}; got {value}")
        self.hops = hops
        self.weight = nn.Parameter(torch.empty(in_features, out_features))
        self.bias = nn.Parameter(torch.zeros(out_features))
        nn.init.xavier_uniform_(self.weight)

    def forward(
        self,
        x: Tensor,
        edge_index: Tensor | Adjacency,
        edge_weight: Tensor | None = None,
        *,
        columns: Tensor | None = None,
    ) -> Tensor:
        """Embeddings of all nodes.

        Args:
            x: Features.
            edge_index: The edges; or the operator itself, used as it is.
            edge_weight: Of the edges; goes with edges only.
            columns: ``(F,)``, what each feature column is multiplied with; ones when ``None``.
        """
        width = self.weight.shape[0]
        if x.ndim != 2 or x.size(1) != width:
            raise InputError(f"this encoder was made for {width} features a node; got x of shape {tuple(x.shape)}")
        if isinstance(edge_index, Adjacency) and edge_weight is not None:
            raise InputError("an operator has its weights already: give edge_weight along with edge_index only")
        x = x.to(torch.promote_types(x.dtype, torch.float32))
        adj = (
            edge_index
            if isinstance(edge_index, Adjacency)
            else cached_adjacency(edge_index, len(x), edge_weight=edge_weight, normalize="sym", self_loops=True)
        ).to(dtype=x.dtype)
        weight = self.weight if columns is None else self.weight * columns.unsqueeze(1)
        if x.layout == torch.strided and width < weight.size(1):
            return feature_product(propagate(adj, x, self.hops), weight) + self.bias
        return propagate(adj, feature_product(x, weight).to(adj.dtype), self.hops) + self.bias
