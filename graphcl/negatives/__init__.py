"""Who the rest is: estimators of the log-partition over the negatives."""

from graphcl.negatives.cluster_restricted import ClusterRestricted
from graphcl.negatives.column_bias import ColumnBias
from graphcl.negatives.exact import Exact
from graphcl.negatives.hcl import HCL
from graphcl.negatives.meow import Meow
from graphcl.negatives.meta_node import MetaNode
from graphcl.negatives.protocol import Negatives
from graphcl.negatives.queue import Queue
from graphcl.negatives.sampled import Sampled

__all__ = ["HCL", "ClusterRestricted", "ColumnBias", "Exact", "Meow", "MetaNode", "Negatives", "Queue", "Sampled"]
