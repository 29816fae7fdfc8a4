"""Recommenders that read a history in order."""

from graphcl.recsys.systems.sequential.gru4rec import GRU4Rec
from graphcl.recsys.systems.sequential.objectives import (
    CatalogueCrossEntropy,
    GeneralisedBCE,
    ObjectiveName,
    named_objective,
)
from graphcl.recsys.systems.sequential.sasrec import SASRec
from graphcl.recsys.systems.sequential.system import EncoderName, SequenceSystem

__all__ = [
    "CatalogueCrossEntropy",
    "EncoderName",
    "GRU4Rec",
    "GeneralisedBCE",
    "ObjectiveName",
    "SASRec",
    "SequenceSystem",
    "named_objective",
]
