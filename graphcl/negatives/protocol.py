"""What every estimator of the negative term answers."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

from graphcl.kernels import Rule


class Negatives(Protocol):
    """An estimator of ``log sum_j exp(scale * s_ij)`` over the candidates that count as negatives of anchor ``i``.

    Three things an estimator may say besides, and need not: ``reads_positive = True``, it takes the candidate that
    ``rule.exclude`` names for the anchor's positive; ``reads_ids = True``, it remembers instances by ``rule.different``; and a
    method ``log_count(anchors, candidates, rule)``, where its negatives are not the candidates that the rule lets count.
    """

    def log_z(self, anchors: Tensor, candidates: Tensor, *, scale: float | Tensor, rule: Rule) -> Tensor:
        """Log-partition of the negatives, one number an anchor.

        ``rule.exclude`` names the candidate, by position, that an anchor leaves out: its
        positive, or the anchor itself where it has others.

        Shapes:
            anchors: ``(N, D)``; candidates: ``(M, D)``; returns: ``(N,)``, ``-inf`` for an anchor without negatives.
        """
        ...
