"""Who is shown to a model with what, and with what instead: batches of triples out of training rows."""

from graphcl.recsys.sampling.samplers import SAMPLERS
from graphcl.recsys.sampling.triple_source import Triples, TripleSource
from graphcl.recsys.sampling.unseen import Unseen

__all__ = ["SAMPLERS", "TripleSource", "Triples", "Unseen"]
