"""k-means of many points: clusters of a sample, put right where two groups share a centre, then of all points."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
from sklearn.cluster import KMeans

Points = npt.NDArray[np.float32] | sp.csr_matrix
Centres = npt.NDArray[np.float32]
SAMPLE = 20_000  # points that decide where centres begin
EACH = 200  # or so many for each cluster, if that is more
STARTS = 3  # of k-means on the sample; swaps do what more of them would
ROUNDS = 20  # of swaps, at most
STEPS = 10  # of Lloyd's algorithm on all points, at most


def large_kmeans(x: Points, n_clusters: int, *, seed: int, n_init: int) -> tuple[npt.NDArray[np.int64], Centres]:
    """Labels and centres; see `kmeans`, which calls this for many points, on one thread.

    Lloyd's algorithm on a sample, then swaps: while two clusters cost less to merge than the split of another in two gains, in
    the sum of squares, the centre that is too many here goes where one is missing. With a hundred clusters the best of any
    number of starts has a few such pairs. At last up to ten steps of Lloyd's algorithm on all points.

    Time ``O(N F K)`` a step and as much again for the sample, memory ``O(N + (N_s + K) F + K^2)`` beside the points.

    Lloyd, 1982; the swaps are close to Fränti's random swap, 2018, https://doi.org/10.1186/s40537-018-0122-y, with the pair
    chosen by what it costs instead of by chance.

    Args:
        x: Points, dense or CSR.
        n_clusters: ``K``.
        seed: Of the sample and the starts.
        n_init: Starts on the sample, of which three at most are made.

    Shapes:
        x: ``(N, F)``; returns: ``(N,)`` and ``(K, F)``.
    """
    rng = np.random.default_rng(seed)
    size = min(x.shape[0], max(SAMPLE, EACH * n_clusters))
    sample = x[np.sort(rng.choice(x.shape[0], size, replace=False))]
    fitted = KMeans(n_clusters, n_init=min(n_init, STARTS), random_state=seed).fit(sample)
    for _ in range(ROUNDS):
        moved = swapped(sample, fitted.labels_, fitted.cluster_centers_, seed)
        if moved is None:
            break
        again = KMeans(n_clusters, init=moved, n_init=1, random_state=seed).fit(sample)
        if not again.inertia_ < fitted.inertia_:
            break
        fitted = again
    whole = KMeans(n_clusters, init=fitted.cluster_centers_, n_init=1, max_iter=STEPS, random_state=seed).fit(x)
    return whole.labels_.astype(np.int64), whole.cluster_centers_.astype(np.float32)


def swapped(x: Points, labels: npt.NDArray[np.integer], centres: Centres, seed: int) -> Centres | None:
    """Centres after every swap that pays, the best first, each cluster in one of them at most; ``None`` where none pays.

    Merging clusters of ``a`` and ``b`` points raises the sum of squares by ``a b / (a + b)`` times the square of the distance
    of their centres; splitting one lowers it by the same of its halves.

    Shapes:
        x: ``(N, F)``; labels: ``(N,)``; centres, returns: ``(K, F)``.
    """
    count = np.bincount(labels, minlength=len(centres)).astype(np.float64)
    halves: dict[int, Centres] = {}
    gain = np.zeros(len(centres))
    members = np.split(np.argsort(labels, kind="stable"), np.cumsum(count.astype(np.int64))[:-1])
    for cluster, rows in enumerate(members):
        if len(rows) < 2:
            continue
        parted = KMeans(2, n_init=1, max_iter=20, random_state=seed).fit(x[rows])
        a, b = np.bincount(parted.labels_, minlength=2)
        halves[cluster] = parted.cluster_centers_
        gain[cluster] = a * b / (a + b) * float(np.square(halves[cluster][0] - halves[cluster][1]).sum())
    square = np.square(centres.astype(np.float64)).sum(1)
    distance = square[:, None] + square - 2 * (centres @ centres.T)
    cost = count[:, None] * count / np.maximum(count[:, None] + count, 1) * distance.clip(min=0)
    first, second = np.triu_indices(len(centres), 1)
    cheapest = np.argsort(cost[first, second], kind="stable")[: len(centres)]
    out, busy, pays = centres.copy(), set[int](), False
    pairs = iter(zip(first[cheapest].tolist(), second[cheapest].tolist(), strict=True))
    for split in np.argsort(-gain, kind="stable").tolist():
        if split in busy or split not in halves:
            continue
        pair = next((pair for pair in pairs if not busy & set(pair) and split not in pair), None)
        if pair is None or gain[split] <= cost[pair]:
            break
        kept, free = pair
        total = max(count[kept] + count[free], 1)
        out[kept] = (count[kept] * centres[kept] + count[free] * centres[free]) / total
        out[split], out[free] = halves[split]
        busy |= {split, kept, free}
        pays = True
    return out if pays else None
