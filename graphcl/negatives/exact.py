"""All candidates, exactly."""

from __future__ import annotations

from torch import Tensor

from graphcl.kernels import Columns, Rule, pair_lse


class Exact:
    """Every candidate counts. Time ``O(N M D)``, memory ``O((N + M) D)``: the sweep is tiled, nothing N x M is held."""

    def log_z(self, anchors: Tensor, candidates: Tensor, *, scale: float | Tensor, rule: Rule) -> Tensor:
        """Exact log-partition.

        Shapes:
            anchors: ``(N, D)``; candidates: ``(M, D)``; returns: ``(N,)``.
        """
        return pair_lse(anchors, Columns(candidates), scale=scale, rule=rule)

    def __repr__(self) -> str:
        return "Exact()"
