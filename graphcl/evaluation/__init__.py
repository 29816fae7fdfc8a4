"""Scores, the protocols that give them, and the anchors beside them."""

from graphcl.evaluation.baselines import kmeans_baselines
from graphcl.evaluation.clustering import METRICS, clustering_scores
from graphcl.evaluation.kmeans import KMeansResult, kmeans
from graphcl.evaluation.selection import Prediction, Selection
from graphcl.evaluation.summary import summarise

__all__ = [
    "METRICS",
    "KMeansResult",
    "Prediction",
    "Selection",
    "clustering_scores",
    "kmeans",
    "kmeans_baselines",
    "summarise",
]
