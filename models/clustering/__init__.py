"""Systems that cluster the nodes of one graph."""

from graphcl.models.clustering.initial import Initial
from graphcl.models.clustering.pamc import PamC
from graphcl.models.clustering.scgc_k import SCGCK
from graphcl.models.clustering.sdcn import SDCN

__all__ = ["SCGCK", "SDCN", "Initial", "PamC"]
