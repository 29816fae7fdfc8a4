"""Scores, the protocols that give them, and the anchors beside them."""

from graphcl.evaluation.baselines import clustering_baselines, kmeans_baselines
from graphcl.evaluation.clustering import METRICS, clustering_scores
from graphcl.evaluation.factorisation import factorised_walks
from graphcl.evaluation.kmeans import KMeansResult, kmeans
from graphcl.evaluation.linear_probe import ProbeResult, ProbeSummary, linear_probe
from graphcl.evaluation.link_prediction import LinkResult, link_prediction
from graphcl.evaluation.link_split import LinkSplit, check_no_leak, hide_links, split_links
from graphcl.evaluation.node_baselines import node_baselines
from graphcl.evaluation.quick_clusters import quick_clusters
from graphcl.evaluation.selection import Prediction, Selection
from graphcl.evaluation.spectral import spectral_clusters
from graphcl.evaluation.splits import Split, node_splits, public_splits, random_splits
from graphcl.evaluation.summary import summarise

__all__ = [
    "METRICS",
    "KMeansResult",
    "LinkResult",
    "LinkSplit",
    "Prediction",
    "ProbeResult",
    "ProbeSummary",
    "Selection",
    "Split",
    "check_no_leak",
    "clustering_baselines",
    "clustering_scores",
    "factorised_walks",
    "hide_links",
    "kmeans",
    "kmeans_baselines",
    "linear_probe",
    "link_prediction",
    "node_baselines",
    "node_splits",
    "public_splits",
    "quick_clusters",
    "random_splits",
    "spectral_clusters",
    "split_links",
    "summarise",
]
