"""k-means that gives the same answer twice."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits

from graphcl.errors import InputError
from graphcl.evaluation.large_kmeans import large_kmeans

LARGE = 50_000  # points above which a sample of them decides where centres begin


@dataclass(frozen=True)
class KMeansResult:
    """Labels ``(N,)`` int64 and centres ``(K, F)``."""

    labels: npt.NDArray[np.int64]
    centres: npt.NDArray[np.float32]


def kmeans(x: npt.NDArray[np.float32] | sp.csr_matrix, n_clusters: int, *, seed: int, n_init: int = 10) -> KMeansResult:
    """Best of ``n_init`` runs of Lloyd's algorithm with k-means++ starts (scikit-learn), on one thread.

    One thread because sums split over threads are added in another order from run to run, and a node on the border of two
    clusters then changes sides. More than 50,000 points are clustered by `large_kmeans`: a sample, swaps of centres, and a few
    steps on all points.

    Args:
        x: Points, dense or CSR.
        n_clusters: ``K``, at most the number of points.
        seed: Of the starts.
        n_init: Number of starts; three at most of more than 50,000 points.

    Raises:
        InputError: More clusters than points, fewer than one, or values that are not finite.
    """
    if not 1 <= n_clusters <= x.shape[0]:
        raise InputError(f"the number of clusters must lie in 1 .. {x.shape[0]}, the number of nodes; got {n_clusters}")
    if not np.isfinite(x.data if sp.issparse(x) else x).all():
        raise InputError("k-means met values that are not finite: the features or the embedding are bad")
    with threadpool_limits(1), warnings.catch_warnings():
        # Fewer distinct points than clusters: some stay empty, which whoever counts the labels sees.
        warnings.simplefilter("ignore", ConvergenceWarning)
        if x.shape[0] > LARGE:
            return KMeansResult(*large_kmeans(x, n_clusters, seed=seed, n_init=n_init))
        fitted = KMeans(n_clusters, n_init=n_init, random_state=seed).fit(x)
    return KMeansResult(fitted.labels_.astype(np.int64), fitted.cluster_centers_.astype(np.float32))
