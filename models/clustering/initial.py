"""Where the clusters of a system begin: k-means on its embedding, kept for the record."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from graphcl.evaluation.clustering import Labels
from graphcl.evaluation.kmeans import kmeans


@dataclass(frozen=True)
class Initial:
    """What a system had to improve on, as ``system.initial`` once there are clusters.

    Nothing that is computed later depends on it, so it is no part of a system's state: whoever reports it keeps it.

    Args:
        labels: Clusters by k-means, before any step knew of clusters.
        seconds: Of pre-training; 0 where there was none.

    Shapes:
        labels: ``(N,)`` int64.
    """

    labels: Labels
    seconds: float


@torch.no_grad()
def place_centres(centres: nn.Parameter, z: Tensor, *, n_init: int, seconds: float = 0.0) -> Initial:
    """Writes the centres that k-means finds; its seed is drawn from torch's generator, so the run's seed decides it.

    Args:
        centres: Of the clusters, overwritten.
        z: The embedding.
        n_init: Starts of k-means; the best speaks.
        seconds: What pre-training took.

    Shapes:
        centres: ``(K, D)``; z: ``(N, D)``.

    Raises:
        InputError: Fewer nodes than clusters, or an embedding that is not finite.
    """
    seed = int(torch.randint(2**31 - 1, ()))
    found = kmeans(z.cpu().numpy(), len(centres), seed=seed, n_init=n_init)
    centres.copy_(torch.from_numpy(found.centres))
    return Initial(found.labels, seconds)
