"""Clusters of embeddings that still move: found again every epoch, so fast and good enough."""

from __future__ import annotations

import numpy as np
import torch
from sklearn.cluster import MiniBatchKMeans
from threadpoolctl import threadpool_limits
from torch import Tensor

from graphcl.errors import InputError


def quick_clusters(rows: Tensor, *, seed: int) -> tuple[Tensor, int]:
    """The cluster of each row, and the number of clusters: ``sqrt N``.

    Mini-batch k-means (scikit-learn) on one thread, for estimators of negatives that stand on clusters. Time
    ``O(N sqrt(N) D)``.

    Args:
        rows: Embeddings; gradients are left out.
        seed: The epoch, so that a run that goes on finds the same.

    Shapes:
        rows: ``(N, D)``; returns: ``(N,)`` int64.

    Raises:
        InputError: Values that are not finite.
    """
    points = rows.detach().float().cpu().numpy()
    if not np.isfinite(points).all():
        raise InputError("the embeddings have values that are not finite, so they cannot be clustered: training diverged")
    count = max(1, round(len(points) ** 0.5))
    with threadpool_limits(1):
        means = MiniBatchKMeans(count, batch_size=4096, n_init=1, random_state=seed).fit(points)
    return torch.from_numpy(means.labels_.astype(np.int64)).to(rows.device), count
