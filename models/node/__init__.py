"""Systems that embed the nodes of one graph."""

from graphcl.models.node.grace import GRACE

__all__ = ["GRACE"]
