"""Systems that embed the nodes of one graph."""

from graphcl.models.node.bgrl import BGRL
from graphcl.models.node.cca_ssg import CCASSG
from graphcl.models.node.dgi import DGI
from graphcl.models.node.gbt import GBT
from graphcl.models.node.gca import GCA
from graphcl.models.node.grace import GRACE
from graphcl.models.node.ssge import SSGE

__all__ = ["BGRL", "CCASSG", "DGI", "GBT", "GCA", "GRACE", "SSGE"]
