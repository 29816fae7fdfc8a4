"""Encoders: modules called as ``encoder(x, edge_index, edge_weight=None)``, as PyG's are."""

from graphcl.models.encoders.autoencoder import AutoEncoder, dense_features
from graphcl.models.encoders.gcn import GCN, Activation
from graphcl.models.encoders.positional import positional_features
from graphcl.models.encoders.propagated_mlp import PropagatedMLP, propagated_features, unit_rows

__all__ = [
    "GCN",
    "Activation",
    "AutoEncoder",
    "PropagatedMLP",
    "dense_features",
    "positional_features",
    "propagated_features",
    "unit_rows",
]
