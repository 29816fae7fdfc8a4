"""Diffusion of rows over a graph, as a sum over walks that is cut where a tolerance is reached."""

from __future__ import annotations

import math
from typing import Literal, get_args

import torch
from torch import Tensor

from graphcl.errors import InputError, unknown_name
from graphcl.kernels import Adjacency, propagate

DiffusionKind = Literal["ppr", "heat"]
_MOST = 10_000  # hops


class Diffusion:
    """``sum_k c_k A^k x`` in place of a dense matrix of ``N x N``: personalised PageRank, or heat.

    ``"ppr"``: ``c_k = alpha (1 - alpha)^k``, which sums to ``alpha (I - (1 - alpha) A)^-1``. ``"heat"``:
    ``c_k = e^-t t^k / k!``, the matrix exponential ``e^(-t (I - A))``. The series ends with the first hop after which no more
    than ``tolerance`` of the weights is left. That bounds the error, relative to ``x``: in the spectral norm where ``A`` is
    that of an undirected graph, normalised on both sides, and in the largest entry where its rows sum to 1. The weights kept
    sum to 1 less what is left. Time ``O(K E D)`` with ``K`` hops, memory ``O(N D)``; PageRank with 0.2 takes 15 hops for 3 %,
    30 for 0.1 %.

    Klicpera et al., 2019 (GDC), https://arxiv.org/abs/1911.05485. Differs: the diffused graph is applied and never written out,
    so nothing is thresholded. The code of MVGRL takes exponentials of the entries, which is not the heat kernel.

    Args:
        kind: ``"ppr"`` or ``"heat"``.
        alpha: Probability to go back in each step of ``"ppr"``, in ``(0, 1]``.
        time: ``t`` of ``"heat"``, ``>= 0``.
        tolerance: Largest share of the weights that is cut off, in ``(0, 1)``.

    Attributes:
        weights: ``c_0 .. c_K``.

    Shapes:
        called: adjacency ``(N, N)`` and ``(N, D)`` to ``(N, D)``.

    Raises:
        InputError: An unknown kind, a value out of range, a series of more than 10,000 hops.
    """

    def __init__(self, kind: DiffusionKind = "ppr", *, alpha: float = 0.2, time: float = 5.0, tolerance: float = 1e-3) -> None:
        if kind not in get_args(DiffusionKind):
            raise unknown_name("diffusion", str(kind), get_args(DiffusionKind))
        if not 0 < alpha <= 1:
            raise InputError(f"alpha must lie in (0, 1], the probability to go back; got {alpha}")
        if not (time >= 0 and math.isfinite(time)):
            raise InputError(f"time must be finite and >= 0; got {time}")
        if not 0 < tolerance < 1:
            raise InputError(f"tolerance must lie in (0, 1), the share of the weights that is cut off; got {tolerance}")
        self.kind, self.alpha, self.time, self.tolerance = kind, alpha, time, tolerance
        hops = torch.arange(_MOST + 1, dtype=torch.float64)
        if kind == "ppr":
            rest = 0.0 if alpha == 1 else float(1 - alpha)
            terms = alpha * torch.pow(rest, hops)
        elif time == 0:
            terms = (hops == 0).double()
        else:
            terms = (hops * math.log(time) - time - torch.lgamma(hops + 1)).exp()
        enough = (terms.cumsum(0) >= 1 - tolerance).nonzero()
        if len(enough) == 0:
            raise InputError(f"{self!r} would take more than {_MOST} hops: take a larger alpha or tolerance, or a shorter time")
        self.weights: list[float] = terms[: int(enough[0]) + 1].tolist()

    def __call__(self, adjacency: Adjacency, x: Tensor) -> Tensor:
        """What the rows become."""
        hop, out = x, self.weights[0] * x
        for weight in self.weights[1:]:
            hop = propagate(adjacency, hop)
            out = out + weight * hop
        return out

    def __repr__(self) -> str:
        strength = f"alpha={self.alpha:g}" if self.kind == "ppr" else f"time={self.time:g}"
        return f"Diffusion('{self.kind}', {strength}, tolerance={self.tolerance:g})"
