"""How views are drawn: a graph in, a new graph out, as PyG transforms; operators and masks where a system wants it fast.

`torch_geometric.transforms.Compose` chains them. Random numbers come from the ``torch.Generator`` of each, torch's own by
default.
"""

from graphcl.augment.centrality import node_centrality
from graphcl.augment.centrality_drop import drop_probabilities, edge_weights, feature_weights
from graphcl.augment.communities import community_edge_drop, community_feature_mask, find_communities
from graphcl.augment.diffusion import Diffusion
from graphcl.augment.draws import Probability, check_probability
from graphcl.augment.drop_edges import DropEdges
from graphcl.augment.drop_nodes import DropNodes
from graphcl.augment.mask_features import MaskFeatures, mask_columns

__all__ = [
    "Diffusion",
    "DropEdges",
    "DropNodes",
    "MaskFeatures",
    "Probability",
    "check_probability",
    "community_edge_drop",
    "community_feature_mask",
    "drop_probabilities",
    "edge_weights",
    "feature_weights",
    "find_communities",
    "mask_columns",
    "node_centrality",
]
