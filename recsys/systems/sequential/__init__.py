"""Recommenders that read a history in order."""

from graphcl.recsys.systems.sequential.cl4srec import CL4SRec
from graphcl.recsys.systems.sequential.duorec import DuoRec
from graphcl.recsys.systems.sequential.gru4rec import GRU4Rec
from graphcl.recsys.systems.sequential.iclrec import ICLRec
from graphcl.recsys.systems.sequential.icsrec import ICSRec
from graphcl.recsys.systems.sequential.mclrec import MCLRec
from graphcl.recsys.systems.sequential.objectives import (
    CatalogueCrossEntropy,
    GeneralisedBCE,
    ObjectiveName,
    named_objective,
)
from graphcl.recsys.systems.sequential.sasrec import SASRec
from graphcl.recsys.systems.sequential.system import EncoderName, SequenceSystem

__all__ = [
    "CL4SRec",
    "CatalogueCrossEntropy",
    "DuoRec",
    "EncoderName",
    "GRU4Rec",
    "GeneralisedBCE",
    "ICLRec",
    "ICSRec",
    "MCLRec",
    "ObjectiveName",
    "SASRec",
    "SequenceSystem",
    "named_objective",
]
