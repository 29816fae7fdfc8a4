"""Histories in, states out: what turns the items somebody met into a vector that is compared with items."""

from graphcl.recsys.encoders.dropout import Dropout
from graphcl.recsys.encoders.encoder import SequenceEncoder
from graphcl.recsys.encoders.gru import GRUEncoder
from graphcl.recsys.encoders.layout import Bucket, Layout
from graphcl.recsys.encoders.sas import Norm, Positions, SASEncoder

__all__ = ["Bucket", "Dropout", "GRUEncoder", "Layout", "Norm", "Positions", "SASEncoder", "SequenceEncoder"]
