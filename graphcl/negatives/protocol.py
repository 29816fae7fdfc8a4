"""What every estimator of the negative term answers."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

from graphcl.kernels import Rule


class Negatives(Protocol):
    """An estimator of ``log sum_j exp(scale * s_ij)`` over the candidates that count as negatives of anchor ``i``."""

    def log_z(self, anchors: Tensor, candidates: Tensor, *, scale: float | Tensor, rule: Rule) -> Tensor:
        """Log-partition of the negatives, one number an anchor.

        ``rule.exclude`` names the candidate, by position, that an anchor leaves out.

        Shapes:
            anchors: ``(N, D)``; candidates: ``(M, D)``; returns: ``(N,)``, ``-inf`` for an anchor without negatives.
        """
        ...
