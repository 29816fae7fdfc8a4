"""How well clusters match classes: ACC, NMI, ARI and macro-F1 of one and the same prediction."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.optimize import linear_sum_assignment
from sklearn.metrics import adjusted_rand_score, f1_score, normalized_mutual_info_score

from graphcl.errors import InputError

Labels = npt.NDArray[np.int64]
METRICS = ("acc", "nmi", "ari", "f1")


def clustering_scores(y: npt.ArrayLike, predicted: npt.ArrayLike) -> dict[str, float]:
    """ACC, NMI, ARI and macro-F1 as fractions, all from the prediction as it is.

    ACC is the share of nodes on the best one-to-one matching of clusters to classes, on the full, possibly rectangular
    contingency table; nodes of an unmatched cluster count as wrong. NMI is normalised by the arithmetic mean of the
    entropies, ARI is Hubert and Arabie's (1985). F1 is averaged over the classes after ACC's matching.

    Args:
        y: True classes, any integers.
        predicted: Clusters, any integers, any number of them.

    Shapes:
        y, predicted: ``(N,)``.

    Raises:
        InputError: Other shapes, types, or no node at all.
    """
    true, cluster = _labels("y", y), _labels("predicted", predicted)
    if true.shape != cluster.shape:
        raise InputError(f"y and predicted must name the same nodes; got {len(true)} and {len(cluster)} labels")
    classes, row = np.unique(true, return_inverse=True)
    clusters, column = np.unique(cluster, return_inverse=True)
    table = np.zeros((len(classes), len(clusters)), dtype=np.int64)
    np.add.at(table, (row, column), 1)
    matched_class, matched_cluster = linear_sum_assignment(table, maximize=True)
    as_class = np.full(len(clusters), len(classes))  # a label of no class: always wrong
    as_class[matched_cluster] = matched_class
    return {
        "acc": float(table[matched_class, matched_cluster].sum() / len(true)),
        "nmi": float(normalized_mutual_info_score(true, cluster)),
        "ari": float(adjusted_rand_score(true, cluster)),
        "f1": float(f1_score(row, as_class[column], labels=np.arange(len(classes)), average="macro", zero_division=0)),
    }


def _labels(name: str, values: npt.ArrayLike) -> Labels:
    array = np.asarray(values)
    if array.ndim != 1 or len(array) == 0 or not np.issubdtype(array.dtype, np.integer):
        raise InputError(
            f"{name} must be a non-empty vector with one integer class a node; got shape {array.shape} of {array.dtype}"
            + (": clustering scores are not defined for several labels a node" if array.ndim == 2 else "")
        )
    return array.astype(np.int64)
