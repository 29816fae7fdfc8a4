"""Who the rest is: estimators of the log-partition over the negatives."""

from graphcl.negatives.cluster_restricted import ClusterRestricted
from graphcl.negatives.column_bias import ColumnBias
from graphcl.negatives.community_strength import community_strength
from graphcl.negatives.debiased import Debiased
from graphcl.negatives.empty import check_negatives
from graphcl.negatives.exact import Exact
from graphcl.negatives.global_average import GlobalAverage
from graphcl.negatives.hard_top_k import HardTopK
from graphcl.negatives.hcl import HCL
from graphcl.negatives.hybrid import Certificate, Hybrid
from graphcl.negatives.log_average import LogAverage, follow
from graphcl.negatives.meow import Meow
from graphcl.negatives.meta_node import MetaNode
from graphcl.negatives.named import CLUSTERED, NegativesName, named_negatives
from graphcl.negatives.pamc_proxy import PamCProxy
from graphcl.negatives.progcl import BetaPosterior
from graphcl.negatives.protocol import Negatives
from graphcl.negatives.queue import Queue
from graphcl.negatives.sampled import Sampled

__all__ = [
    "CLUSTERED",
    "HCL",
    "BetaPosterior",
    "Certificate",
    "ClusterRestricted",
    "ColumnBias",
    "Debiased",
    "Exact",
    "GlobalAverage",
    "HardTopK",
    "Hybrid",
    "LogAverage",
    "Meow",
    "MetaNode",
    "Negatives",
    "NegativesName",
    "PamCProxy",
    "Queue",
    "Sampled",
    "check_negatives",
    "community_strength",
    "follow",
    "named_negatives",
]
