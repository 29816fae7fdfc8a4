"""Systems that cluster the nodes of one graph."""

from graphcl.models.clustering.dink_net import DinkNet
from graphcl.models.clustering.initial import Initial
from graphcl.models.clustering.magi import MAGI
from graphcl.models.clustering.pamc import PamC
from graphcl.models.clustering.scgc_k import SCGCK
from graphcl.models.clustering.scgc_l import SCGCL
from graphcl.models.clustering.sdcn import SDCN

__all__ = ["MAGI", "SCGCK", "SCGCL", "SDCN", "DinkNet", "Initial", "PamC"]
