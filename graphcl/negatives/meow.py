"""A candidate counts as often as clusterings set it apart from the anchor."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from graphcl.errors import InputError
from graphcl.kernels import Columns, Rule, pair_lse
from graphcl.negatives.count import log_count


class Meow:
    """``log sum_j w_ij exp(l_ij)`` with ``w_ij`` the number of clusterings in which ``i`` and ``j`` are in different clusters.

    Likely false negatives, in the cluster of the anchor in all clusterings, do not count, and neither does the node itself; an
    anchor whose candidates are all such has ``-inf``.
    Between the exact value over what counts and that plus ``log C``: a reweighting on purpose. One sweep, time
    ``O(N M (D + C))``, memory ``O((N + M)(D + C))``.

    Yu, Ge, Li and Zhou, 2022 (MEOW), https://arxiv.org/abs/2212.13847. Differs from the official code, which holds the N x M
    weights, and clusters anew in every step: here the clusterings are given.

    Args:
        clusterings: Clusters of the nodes in ``C`` clusterings; row ``i`` of anchors and of candidates is the same node.

    Shapes:
        clusterings: ``(N, C)``, or ``(N,)`` for a single one; int64.

    Raises:
        InputError: Clusters that are not integers or of another number of nodes.
    """

    def __init__(self, clusterings: Tensor) -> None:
        if clusterings.ndim == 1:
            clusterings = clusterings[:, None]
        if clusterings.ndim != 2 or clusterings.shape[1] == 0 or clusterings.is_floating_point():
            raise InputError(
                f"clusterings must be integers (N, C), a column for each clustering; got {tuple(clusterings.shape)} "
                f"{clusterings.dtype}. For soft assignments: .argmax(1)."
            )
        self.clusterings = clusterings

    def log_z(self, anchors: Tensor, candidates: Tensor, *, scale: float | Tensor, rule: Rule) -> Tensor:
        """Log of the weighted sum.

        Shapes:
            anchors: ``(N, D)``; candidates: ``(N, D)``; returns: ``(N,)``.
        """
        return pair_lse(anchors, Columns(candidates), scale=scale, rule=self._weigh(anchors, candidates, rule))

    def log_count(self, anchors: Tensor, candidates: Tensor, rule: Rule) -> Tensor:
        """Log of the sum of the weights.

        Shapes:
            anchors: ``(N, D)``; candidates: ``(N, D)``; returns: ``(N,)``.
        """
        return log_count(anchors, candidates, self._weigh(anchors, candidates, rule))

    def _weigh(self, anchors: Tensor, candidates: Tensor, rule: Rule) -> Rule:
        if rule.clusters is not None:
            raise InputError("the rule has clusterings already; give all of them to Meow, a column for each")
        if not len(self.clusterings) == len(anchors) == len(candidates):
            raise InputError(
                f"the clusterings speak of {len(self.clusterings)} nodes but there are {len(anchors)} anchors and "
                f"{len(candidates)} candidates: were they made for another batch?"
            )
        own = self.clusterings.to(anchors.device)
        return replace(rule, clusters=(own, own))

    def __repr__(self) -> str:
        return f"Meow(num_clusterings={self.clusterings.shape[1]})"
