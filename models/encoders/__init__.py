"""Encoders: modules called as ``encoder(x, edge_index, edge_weight=None)``, as PyG's are."""

from graphcl.models.encoders.autoencoder import AutoEncoder, dense_features
from graphcl.models.encoders.gcn import GCN, Activation
from graphcl.models.encoders.layered_gcn import LayeredGCN
from graphcl.models.encoders.named import EncoderName, PyGEncoder, named_encoder
from graphcl.models.encoders.positional import positional_features
from graphcl.models.encoders.propagated_mlp import PropagatedMLP, propagated_features, unit_rows
from graphcl.models.encoders.sgc import SGC

__all__ = [
    "GCN",
    "SGC",
    "Activation",
    "AutoEncoder",
    "EncoderName",
    "LayeredGCN",
    "PropagatedMLP",
    "PyGEncoder",
    "dense_features",
    "named_encoder",
    "positional_features",
    "propagated_features",
    "unit_rows",
]
