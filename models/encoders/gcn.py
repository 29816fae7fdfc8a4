"""Graph convolutions on the cached adjacency."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from graphcl.errors import InputError, unknown_name
from graphcl.kernels import Adjacency, cached_adjacency, feature_product, propagate
from graphcl.models.encoders.layerwise import LARGE, ConvolutionLayer, encode_by_layers

Activation = Literal["relu", "prelu", "rrelu"]
_ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "prelu": nn.PReLU, "rrelu": nn.RReLU}


class GCN(nn.Module):
    """``h <- act(A h W + b)``, layer by layer, with ``A`` the symmetrically normalised adjacency with self-loops.

    The product with ``A`` comes before or after that with ``W``, whichever is narrower; sparse features stay sparse, so that
    the first layer costs ``O(nnz(x) D)`` instead of ``O(N F D)``. A view costs no copy of the graph: it is an operator in
    place of the edges, and a mask of feature columns, which masks rows of the first weight. Time ``O(E D)`` a layer besides.

    Kipf and Welling, 2017, https://arxiv.org/abs/1609.02907; numbers and initialisation of PyG's ``GCNConv``. Differs: one
    activation module serves all layers, so PReLU has one slope in all.

    Args:
        in_features: Width ``F`` of the features.
        out_features: Width ``D`` of the embedding.
        hidden: Width of every layer but the last.
        layers: Number of layers, ``>= 1``; one has no hidden width.
        activation: ``"relu"``, ``"prelu"``, or ``"rrelu"``, whose slopes are random in training and their mean otherwise.
        activate_last: Whether the last layer has the activation as well.

    Shapes:
        forward: x ``(N, F)`` dense or CSR, edge_index ``(2, E)`` or an operator ``(N, N)``; returns ``(N, D)``.

    Raises:
        InputError: A width or number of layers below 1, an unknown activation.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        hidden: int = 256,
        layers: int = 2,
        activation: Activation = "relu",
        activate_last: bool = True,
    ) -> None:
        super().__init__()
        for name, value in (
            ("in_features", in_features),
            ("out_features", out_features),
            ("hidden", hidden),
            ("layers", layers),
        ):
            if value < 1:
                raise InputError(f"{name} must be >= 1; got {value}")
        if activation not in get_args(Activation):
            raise unknown_name("activation", str(activation), _ACTIVATIONS)
        widths = [in_features, *[hidden] * (layers - 1), out_features]
        self.in_features = in_features
        self.weights = nn.ParameterList(torch.empty(a, b) for a, b in pairwise(widths))
        self.biases = nn.ParameterList(torch.empty(b) for b in widths[1:])
        self.activation = _ACTIVATIONS[activation]()
        self.activate_last = activate_last
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Glorot's uniform weights, and biases of zero."""
        for weight, bias in zip(self.weights, self.biases, strict=True):
            nn.init.xavier_uniform_(weight)
            nn.init.zeros_(bias)

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
        if x.ndim != 2 or x.size(1) != self.in_features:
            raise InputError(f"this encoder was made for {self.in_features} features a node; got x of shape {tuple(x.shape)}")
        if columns is not None and columns.shape != (self.in_features,):
            raise InputError(f"columns must be ({self.in_features},), one a feature; got {tuple(columns.shape)}")
        x = x.to(torch.promote_types(x.dtype, torch.float32))  # half-precision features are multiplied in single
        adj = operator(edge_index, len(x), edge_weight).to(dtype=x.dtype)
        last = len(self.weights) - 1
        if len(x) > LARGE and columns is None and not self.training and not torch.is_grad_enabled():
            return encode_by_layers(adj, x, self.layers())
        for layer, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            if layer == 0 and columns is not None:
                weight = weight * columns.unsqueeze(1)
            x = _convolve(adj, x, weight).add_(bias)  # in place: nobody needs the product itself
            if layer < last or self.activate_last:
                x = self.activation(x)
        return x

    def layers(self) -> list[ConvolutionLayer]:
        """The layers by themselves, for embedding one after the other."""
        pairs, last = list(zip(self.weights, self.biases, strict=True)), len(self.weights) - 1
        return [
            ConvolutionLayer(weight, bias, self.activation if layer < last or self.activate_last else None)
            for layer, (weight, bias) in enumerate(pairs)
        ]


def _convolve(adj: Adjacency, x: Tensor, weight: Tensor) -> Tensor:
    """``A x W`` in the cheaper order; the product with ``W`` may come in half precision under autocast, that with ``A`` not."""
    if x.layout == torch.strided and x.size(1) < weight.size(1):
        return feature_product(propagate(adj, x), weight).to(adj.dtype)
    return propagate(adj, feature_product(x, weight).to(adj.dtype))


def operator(edge_index: Tensor | Adjacency, num_nodes: int, edge_weight: Tensor | None) -> Adjacency:
    """The normalised adjacency of edges, or the operator that was given.

    Raises:
        InputError: An operator and weights.
    """
    if not isinstance(edge_index, Adjacency):
        return cached_adjacency(edge_index, num_nodes, edge_weight=edge_weight, normalize="sym", self_loops=True)
    if edge_weight is not None:
        raise InputError("an operator has its weights already: give edge_weight along with edge_index only")
    return edge_index
