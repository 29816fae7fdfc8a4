"""Who the rest is: estimators of the log-partition over the negatives."""

from graphcl.negatives.exact import Exact
from graphcl.negatives.meta_node import MetaNode
from graphcl.negatives.protocol import Negatives

__all__ = ["Exact", "MetaNode", "Negatives"]
