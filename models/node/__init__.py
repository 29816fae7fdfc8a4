"""Systems that embed the nodes of one graph."""

from graphcl.models.node.bgrl import BGRL
from graphcl.models.node.cca_ssg import CCASSG
from graphcl.models.node.csgcl import CSGCL
from graphcl.models.node.dgi import DGI
from graphcl.models.node.gbt import GBT
from graphcl.models.node.gca import GCA
from graphcl.models.node.grace import GRACE
from graphcl.models.node.mvgrl import MVGRL
from graphcl.models.node.pot import POT, PotGCA, PotGRACE
from graphcl.models.node.progcl import ProGCL
from graphcl.models.node.ssge import SSGE

__all__ = ["BGRL", "CCASSG", "CSGCL", "DGI", "GBT", "GCA", "GRACE", "MVGRL", "POT", "SSGE", "PotGCA", "PotGRACE", "ProGCL"]
