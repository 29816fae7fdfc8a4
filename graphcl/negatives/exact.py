"""All candidates, exactly."""

from __future__ import annotations

from torch import Tensor

from graphcl.kernels import Columns, Rule, pair_lse


class Exact:
    """Every candidate counts. Time ``O(N M D)``, memory ``O((N + M) D)``: the sweep is tiled, nothing N x M is held.

    Args:
        bf16: Whether products are rounded to bfloat16, as `pair_lse` says: faster where the hardware has such products, and
            exact no more.
    """

    def __init__(self, *, bf16: bool = False) -> None:
        self.bf16 = bf16

    def log_z(self, anchors: Tensor, candidates: Tensor, *, scale: float | Tensor, rule: Rule) -> Tensor:
        """Exact log-partition.

        Shapes:
            anchors: ``(N, D)``; candidates: ``(M, D)``; returns: ``(N,)``.
        """
        return pair_lse(anchors, Columns(candidates), scale=scale, rule=rule, bf16=self.bf16)

    def log_z_both(self, anchors: Tensor, candidates: Tensor, *, scale: float | Tensor, rule: Rule) -> tuple[Tensor, Tensor]:
        """Log-partitions of the anchors over the candidates, and of the candidates over the anchors, out of one sweep.

        Shapes:
            anchors: ``(N, D)``; candidates: ``(M, D)``; returns: ``(N,)`` and ``(M,)``.
        """
        return pair_lse(anchors, Columns(candidates), scale=scale, rule=rule, both=True, bf16=self.bf16)

    def __repr__(self) -> str:
        return f"Exact({'bf16=True' if self.bf16 else ''})"
