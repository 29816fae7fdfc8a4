"""Encoders by name, for settings that come from a command line or a recipe."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch_geometric.nn.models import GAT, GIN, GraphSAGE
from torch_geometric.nn.models.basic_gnn import BasicGNN

from graphcl.errors import InputError, unknown_name
from graphcl.models.encoders.autoencoder import dense_features
from graphcl.models.encoders.gcn import GCN
from graphcl.models.encoders.layered_gcn import ACTIVATIONS, LayerActivation, LayeredGCN
from graphcl.models.encoders.sgc import SGC

EncoderName = Literal["gcn", "sgc", "mlp", "sage", "gat", "gin"]
_PYG: dict[str, type[BasicGNN]] = {"sage": GraphSAGE, "gat": GAT, "gin": GIN}


def named_encoder(
    name: EncoderName,
    in_features: int,
    out_features: int,
    *,
    hidden: int = 256,
    layers: int = 2,
    activation: LayerActivation = "relu",
    norm: bool = False,
    activate_last: bool = False,
) -> nn.Module:
    """An encoder called as ``encoder(x, edge_index, edge_weight=None, columns=None)``.

    ``"gcn"`` is `GCN`, or `LayeredGCN` where it is normalised or the activation is ``"elu"``; ``"mlp"`` is `LayeredGCN` without
    its graph; ``"sgc"`` is `SGC` of as many hops as layers, linear whatever the activation. The others are PyG's, in
    `PyGEncoder`.

    Args:
        name: One of `EncoderName`.
        in_features: Width ``F`` of the features.
        out_features: Width ``D`` of the embedding.
        hidden: Width of every layer but the last.
        layers: Number of layers, ``>= 1``.
        activation: Between layers.
        norm: Whether columns are normalised over the batch before an activation.
        activate_last: Whether the last layer has normalisation and activation as well.

    Raises:
        InputError: An unknown name, or what the encoder refuses.
    """
    if name not in get_args(EncoderName):
        raise unknown_name("encoder", str(name), get_args(EncoderName))
    if name == "sgc":
        return SGC(in_features, out_features, hops=layers)
    if name in _PYG:
        return PyGEncoder(
            name,
            in_features,
            out_features,
            hidden=hidden,
            layers=layers,
            activation=activation,
            norm=norm,
            activate_last=activate_last,
        )
    if name == "gcn" and not norm and activation != "elu":
        return GCN(in_features, out_features, hidden=hidden, layers=layers, activation=activation, activate_last=activate_last)
    return LayeredGCN(
        in_features,
        out_features,
        hidden=hidden,
        layers=layers,
        activation=activation,
        norm=norm,
        activate_last=activate_last,
        graph=name == "gcn",
    )


class PyGEncoder(nn.Module):
    """A network of PyG by its name: GraphSAGE with means, GAT with one head, GIN.

    It takes edges, not operators, and reads sparse features as dense ones, ``O(N F)``; edge weights have no meaning in these
    three and are not looked at. Time ``O(N F D + E D)``, memory ``O(N F + E D)`` where messages are written out.

    Hamilton et al., 2017, https://arxiv.org/abs/1706.02216; Velickovic et al., 2018, https://arxiv.org/abs/1710.10903; Xu et
    al., 2019, https://arxiv.org/abs/1810.00826.

    Args:
        name: ``"sage"``, ``"gat"`` or ``"gin"``.
        in_features: Width ``F`` of the features.
        out_features: Width ``D`` of the embedding.
        hidden: Width of every layer but the last.
        layers: Number of layers, ``>= 1``.
        activation: Between layers.
        norm: Whether columns are normalised over the batch before an activation.
        activate_last: Whether the last layer has normalisation and activation as well.

    Shapes:
        forward: x ``(N, F)`` dense or CSR, edge_index ``(2, E)``; returns ``(N, D)``.

    Raises:
        InputError: A width or number of layers below 1, an unknown name or activation.
    """

    def __init__(
        self,
        name: str,
        in_features: int,
        out_features: int,
        *,
        hidden: int = 256,
        layers: int = 2,
        activation: LayerActivation = "relu",
        norm: bool = False,
        activate_last: bool = False,
    ) -> None:
        super().__init__()
        if name not in _PYG:
            raise unknown_name("encoder", name, _PYG)
        if activation not in ACTIVATIONS:
            raise unknown_name("activation", str(activation), ACTIVATIONS)
        for what, value in (
            ("in_features", in_features),
            ("out_features", out_features),
            ("hidden", hidden),
            ("layers", layers),
        ):
            if value < 1:
                raise InputError(f"{what} must be >= 1; got {value}")
        self.in_features = in_features
        self.network = _PYG[name](
            in_features,
            hidden,
            num_layers=layers,
            out_channels=out_features,
            act=ACTIVATIONS[activation](),
            norm=nn.BatchNorm1d(hidden, momentum=0.01) if norm else None,
        )
        last: list[nn.Module] = [nn.BatchNorm1d(out_features, momentum=0.01)] if norm else []
        self.last = nn.Sequential(*last, ACTIVATIONS[activation]()) if activate_last else nn.Identity()

    def forward(
        self, x: Tensor, edge_index: Tensor, _edge_weight: Tensor | None = None, *, columns: Tensor | None = None
    ) -> Tensor:
        """Embeddings of all nodes.

        Args:
            x: Features.
            edge_index: The edges.
            columns: ``(F,)``, what each feature column is multiplied with; ones when ``None``.
        """
        if x.ndim != 2 or x.size(1) != self.in_features:
            raise InputError(f"this encoder was made for {self.in_features} features a node; got x of shape {tuple(x.shape)}")
        if not isinstance(edge_index, Tensor):
            raise InputError("networks of PyG take edges (2, E), not an operator; give the view as a graph")
        x = dense_features(x).to(torch.promote_types(x.dtype, torch.float32))
        z: Tensor = self.last(self.network(x if columns is None else x * columns, edge_index))
        return z
