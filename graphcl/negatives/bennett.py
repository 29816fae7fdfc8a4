"""How far a cluster's sum of exponentials can lie above that of its mean."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

_ROOM = 1 + 1e-9  # for the rounding of double precision
_LARGE = 30.0


class Spread(NamedTuple):
    """What the bound knows of each cluster.

    Shapes:
        radius: ``(K,)``, largest distance of a member from the mean; share: ``(K,)`` in ``[0, 1]``, largest eigenvalue of the
            covariance over ``radius^2``; both float64.
    """

    radius: Tensor
    share: Tensor


def cluster_spread(z: Tensor, sizes: Tensor, means: Tensor) -> Spread:
    """Radius and largest variance of each cluster, in double precision and rounded up.

    Eigenvalues come from the smaller of covariance and Gram matrix: a power iteration would approach them from below and
    certify nothing. Time ``O(M D^2 + K D^3)``, memory ``O(m D + D^2)`` for the largest cluster.

    Args:
        z: Members, sorted by cluster.
        sizes: Of the clusters, none empty.
        means: Of the clusters.

    Shapes:
        z: ``(M, D)``; sizes: ``(K,)``; means: ``(K, D)``.
    """
    radius, share = (torch.zeros(len(sizes), dtype=torch.float64, device=z.device) for _ in range(2))
    for k, members in enumerate(torch.split(z, sizes.tolist())):
        if len(members) == 1:
            continue
        centred = members.double() - means[k].double()
        square = centred.square().sum(1).max()
        gram = centred.T @ centred if len(members) >= centred.shape[1] else centred @ centred.T
        radius[k] = square.sqrt() * _ROOM
        share[k] = torch.linalg.eigvalsh(gram)[-1] / len(members) / square.clamp(min=torch.finfo(torch.float64).tiny)
    return Spread(radius, (share * _ROOM).clamp(0.0, 1.0))


def log_excess(share: Tensor, reach: Tensor) -> Tensor:
    """``log(B - 1)``, where no variable of mean 0 that stays below ``t`` and has variance up to ``q t^2`` has ``E e^X > B``.

    ``B = (e^{-q t} + q e^t) / (1 + q)``: Bennett's two-point distribution attains it. It lies below both ``e^{t^2 / 2}`` and
    ``1 + q (e^t - 1 - t)``. With ``X = scale <a, z_j - mean>`` over the members of a cluster, ``t = scale |a| radius`` and the
    ``q`` of `Spread`, the cluster's sum lies between that of its mean and ``B`` times that. The logarithm, since ``B`` itself
    overflows at small temperatures. Bennett, 1962, https://doi.org/10.1080/01621459.1962.10482149.

    Args:
        share: ``q`` in ``[0, 1]``.
        reach: ``t >= 0``.

    Shapes:
        share, reach: any that broadcast; returns: what they broadcast to, ``-inf`` where one is 0.
    """
    t = reach.clamp(max=_LARGE)
    small = ((share * _beyond_linear(t) + _beyond_linear(-share * t)) / (1 + share)).log()
    large = share.log() + reach - share.log1p()  # above by less than e^-30 of itself
    return torch.where(reach > _LARGE, large, small)


def _beyond_linear(x: Tensor) -> Tensor:
    """``e^x - 1 - x`` without cancellation."""
    series = torch.ones_like(x)
    for n in range(9, 2, -1):
        series = 1 + x * series / n
    return torch.where(x.abs() < 0.25, x.square() / 2 * series, x.expm1() - x)
