"""sklearn-like faces over systems, and the runs that benchmark them."""

from graphcl.tasks.clustering_run import ClusteringRun, run_clustering
from graphcl.tasks.graph_clusterer import GraphClusterer
from graphcl.tasks.run_config import RunConfig, read_config, resolve
from graphcl.tasks.seed_runs import SeedRuns

__all__ = ["ClusteringRun", "GraphClusterer", "RunConfig", "SeedRuns", "read_config", "resolve", "run_clustering"]
