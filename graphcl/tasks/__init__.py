"""sklearn-like faces over systems, and the runs that benchmark them."""

from graphcl.tasks.graph_clusterer import GraphClusterer
from graphcl.tasks.node_embedder import NodeEmbedder
from graphcl.tasks.recommender import Recommender
from graphcl.tasks.run_config import RunConfig, check_wishes, read_config, resolve
from graphcl.tasks.seed_runs import SeedRuns
from graphcl.tasks.system_run import SystemRun, run_system
from graphcl.tasks.trained import Trained

__all__ = [
    "GraphClusterer",
    "NodeEmbedder",
    "Recommender",
    "RunConfig",
    "SeedRuns",
    "SystemRun",
    "Trained",
    "check_wishes",
    "read_config",
    "resolve",
    "run_system",
]
