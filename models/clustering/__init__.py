"""Systems that cluster the nodes of one graph."""

from graphcl.models.clustering.pamc import PamC

__all__ = ["PamC"]
