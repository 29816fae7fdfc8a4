"""Graph convolutions with batch normalisation, and an activation of its own after each."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise, zip_longest
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from graphcl.errors import InputError, unknown_name
from graphcl.kernels import Adjacency, feature_product
from graphcl.models.encoders.gcn import GCN, operator
from graphcl.models.encoders.layerwise import LARGE, ConvolutionLayer, encode_by_layers

LayerActivation = Literal["relu", "prelu", "rrelu", "elu"]
ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "prelu": nn.PReLU, "rrelu": nn.RReLU, "elu": nn.ELU}


class LayeredGCN(nn.Module):
    """``h <- act(BN(A h W + b))``, layer by layer; without ``graph`` a perceptron, ``A = I``.

    Each layer is a `GCN` of one layer: sparse features stay sparse in the first, a view is an operator. `GCN` itself has one
    activation for all layers and no normalisation. Time ``O((nnz(x) + E) D)``, memory ``O(N D)``.

    As in the encoders of BGRL (Thakoor et al., 2022, https://arxiv.org/abs/2102.06514) and of Graph Barlow Twins (Bielak et
    al., 2021, https://arxiv.org/abs/2106.02466).

    Args:
        in_features: Width ``F`` of the features.
        out_features: Width ``D`` of the embedding.
        hidden: Width of every layer but the last.
        layers: Number of layers, ``>= 1``.
        activation: ``"relu"``, ``"prelu"``, ``"rrelu"`` or ``"elu"``.
        norm: Whether columns are normalised before an activation.
        norm_momentum: What the running statistics take of each batch; they serve in evaluation mode.
        activate_last: Whether the last layer has normalisation and activation as well.
        graph: Whether there is an ``A``.

    Shapes:
        forward: x ``(N, F)`` dense or CSR, edge_index ``(2, E)`` or an operator ``(N, N)``; returns ``(N, D)``.

    Raises:
        InputError: A width or number of layers below 1, an unknown activation, a momentum out of range.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        hidden: int = 256,
        layers: int = 2,
        activation: LayerActivation = "prelu",
        norm: bool = True,
        norm_momentum: float = 0.01,
        activate_last: bool = False,
        graph: bool = True,
    ) -> None:
        super().__init__()
        for name, value in (("hidden", hidden), ("layers", layers)):
            if value < 1:
                raise InputError(f"{name} must be >= 1; got {value}")
        if activation not in get_args(LayerActivation):
            raise unknown_name("activation", str(activation), ACTIVATIONS)
        if not 0 < norm_momentum <= 1:
            raise InputError(f"norm_momentum must lie in (0, 1], the share of the newest batch; got {norm_momentum}")
        widths = [in_features, *[hidden] * (layers - 1), out_features]
        self.products = nn.ModuleList(
            GCN(a, b, layers=1, activate_last=False) if graph else _Dense(a, b) for a, b in pairwise(widths)
        )
        self.norms, self.activations = nn.ModuleList(), nn.ModuleList()
        for width in widths[1:] if activate_last else widths[1:-1]:
            self.norms.append(nn.BatchNorm1d(width, momentum=norm_momentum) if norm else nn.Identity())
            self.activations.append(ACTIVATIONS[activation]())

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
        quiet = columns is None and not self.training and not torch.is_grad_enabled()
        first = self.products[0]
        if quiet and len(x) > LARGE and isinstance(first, GCN) and x.shape[1:] == (first.in_features,):
            x = x.to(torch.promote_types(x.dtype, torch.float32))
            return encode_by_layers(operator(edge_index, len(x), edge_weight).to(dtype=x.dtype), x, self._layers())
        for layer, product in enumerate(self.products):
            x = product(x, edge_index, edge_weight, columns=columns if layer == 0 else None)
            if layer < len(self.activations):
                x = self.activations[layer](self.norms[layer](x))
        return x

    def _layers(self) -> list[ConvolutionLayer]:
        """The layers by themselves, each with its normalisation and activation."""
        afters = [nn.Sequential(*pair) for pair in zip(self.norms, self.activations, strict=True)]
        bare = [layer for product in self.products if isinstance(product, GCN) for layer in product.layers()]
        return [replace(layer, after=after) for layer, after in zip_longest(bare, afters)]


class _Dense(nn.Module):
    """``x W + b``, called as a `GCN` is, whatever the edges."""

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__()
        for name, value in (("in_features", in_features), ("out_features", out_features)):
            if value < 1:
                raise InputError(f"{name} must be >= 1; got {value}")
        self.weight = nn.Parameter(torch.empty(in_features, out_features))
        self.bias = nn.Parameter(torch.zeros(out_features))
        nn.init.xavier_uniform_(self.weight)

    def forward(self, x: Tensor, _edges: object, _weights: object, *, columns: Tensor | None) -> Tensor:
        weight = self.weight if columns is None else self.weight * columns.unsqueeze(1)
        return feature_product(x, weight) + self.bias
