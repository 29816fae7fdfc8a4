"""How many clusters there are, without a label: modularity, silhouette and stability over seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
from sklearn.metrics import adjusted_rand_score
from torch import Tensor

from graphcl.errors import InputError, unknown_name
from graphcl.evaluation.cluster_quality import cluster_quality
from graphcl.evaluation.kmeans import kmeans

Criterion = Literal["combined", "modularity", "silhouette", "stability"]
CRITERIA = ("modularity", "silhouette", "stability")


@dataclass(frozen=True)
class ChoiceOfK:
    """What the criteria say of each number of clusters, and which one was chosen.

    Args:
        n_clusters: The choice.
        by: The criterion that made it.
        ks: The numbers that were tried, ascending.
        values: Criterion to its value for each of them, ``NaN`` where it is not defined; all of them are best when large.

    Shapes:
        values: ``(len(ks),)`` each.
    """

    n_clusters: int
    by: Criterion
    ks: tuple[int, ...]
    values: dict[str, tuple[float, ...]]

    def told(self) -> str:
        """The choice in a line."""
        at = self.ks.index(self.n_clusters)
        said = ", ".join(f"{name} {values[at]:.3f}" for name, values in self.values.items() if np.isfinite(values[at]))
        return f"k = {self.n_clusters} of {self.ks[0]} .. {self.ks[-1]}, chosen by {self.by}: {said}"


def best_k(
    points: npt.NDArray[np.float32],
    edge_index: Tensor,
    ks: Sequence[int],
    *,
    edge_weight: Tensor | None = None,
    by: Criterion = "combined",
    seeds: int = 5,
    seed: int = 0,
) -> ChoiceOfK:
    """The number of clusters for which k-means on some points is best by a criterion that knows no label.

    For each ``k``, k-means from ``seeds`` single starts. ``stability`` is the mean adjusted Rand index of all pairs of them;
    ``modularity`` (of the graph) and ``silhouette`` (of the points, a sample of 2,000) are those of the start with the least
    sum of squares. ``combined`` scales each from 0 to 1 over the numbers tried, and takes the mean: modularity alone tends to
    many clusters, stability to few, and silhouette to either end. It depends on what is tried, therefore. Of equals the
    smallest wins.

    Time ``O(|ks| seeds)`` runs of k-means, and ``O(E + N)`` each; memory ``O(E + N F)``. Nothing is trained.

    Args:
        points: Filtered features, or an embedding.
        edge_index: The graph.
        ks: Numbers to try, each in ``2 .. N - 1``.
        edge_weight: 1 each when ``None``.
        by: The criterion.
        seeds: Starts for each number, at least 2.
        seed: The first of them.

    Shapes:
        points: ``(N, F)``; edge_index: ``(2, E)``; edge_weight: ``(E,)``.

    Raises:
        InputError: Nothing to try, a number that the nodes do not allow, or a criterion that is not defined here.
    """
    if by not in get_args(Criterion):
        raise unknown_name("criterion", str(by), get_args(Criterion))
    tried = sorted(set(ks))
    if not tried or tried[0] < 2 or tried[-1] >= len(points):
        raise InputError(
            f"the numbers of clusters to try must lie in 2 .. {len(points) - 1}, below the number of nodes; got "
            + (f"{tried[0]} .. {tried[-1]}" if tried else "none")
        )
    if seeds < 2:
        raise InputError(f"seeds must be >= 2, for stability compares two starts at least; got {seeds}")
    rows = [_judged(points, edge_index, edge_weight, k, seeds, seed) for k in tried]
    values = {name: tuple(row[name] for row in rows) for name in CRITERIA}
    values["combined"] = tuple(np.nanmean([_scaled(values[name]) for name in CRITERIA], axis=0).tolist())
    wanted = np.asarray(values[by])
    if not np.isfinite(wanted).any():
        raise InputError(f"{by} is not defined for this graph: choose the number of clusters by another criterion")
    return ChoiceOfK(tried[int(np.nanargmax(wanted.round(9)))], by, tuple(tried), values)


def _judged(
    points: npt.NDArray[np.float32], edge_index: Tensor, edge_weight: Tensor | None, k: int, seeds: int, seed: int
) -> dict[str, float]:
    found = [kmeans(points, k, seed=seed + start, n_init=1) for start in range(seeds)]
    squares = [float(np.square(points - one.centres[one.labels]).sum()) for one in found]
    best = found[int(np.argmin(squares))].labels
    quality = cluster_quality(edge_index, best, points, edge_weight=edge_weight, n_clusters=k, seed=seed)
    pairs = [adjusted_rand_score(a.labels, b.labels) for at, a in enumerate(found) for b in found[:at]]
    return {
        "modularity": quality.modularity,
        "silhouette": quality.mean_silhouette,
        "stability": float(np.mean(pairs)),
    }


def _scaled(values: Sequence[float]) -> npt.NDArray[np.float64]:
    """From 0, the least, to 1, the largest; all 0 where they are the same or never defined, and where one is not."""
    array = np.asarray(values, dtype=np.float64)
    known = np.isfinite(array)
    if not known.any() or np.ptp(array[known]) == 0:
        return np.zeros(len(array))
    scaled = (array - array[known].min()) / np.ptp(array[known])
    return np.where(known, scaled, 0.0)
