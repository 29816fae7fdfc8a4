"""Only candidates of the anchor's own cluster are negatives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from graphcl.errors import InputError
from graphcl.kernels import Rule
from graphcl.negatives.count import log_count
from graphcl.negatives.exact import Exact
from graphcl.negatives.protocol import Negatives


class ClusterRestricted:
    """``log sum exp(l_ij)`` over the candidates ``j`` in the cluster of anchor ``i``: what tells clusters apart is known.

    With several stages of clusterings, only candidates that agree in all of them count. Never above the value without the
    restriction. Time ``O(N M D)``: pairs of other clusters are met and dropped, so batches drawn from one cluster use the
    sweep better. An anchor alone in its cluster has ``-inf``.

    Zhang et al., 2024 (multistage contrastive learning), https://arxiv.org/abs/2402.11816. Differs in that the batch need not
    come from one cluster.

    Args:
        assignment: Clusters of the candidates, and of the anchors: row ``i`` of both is the same node.
        negatives: Estimator inside, one that honours ``rule.same``; exact when ``None``.

    Shapes:
        assignment: ``(N,)`` or, for ``T`` stages, ``(N, T)``; int64.

    Raises:
        InputError: Clusters that are not integers, or of another number of anchors or candidates.
    """

    def __init__(self, assignment: Tensor, negatives: Negatives | None = None) -> None:
        if assignment.ndim not in (1, 2) or assignment.is_floating_point():
            raise InputError(
                f"assignment must be integers (N,) or (N, T), a column for each stage; got {tuple(assignment.shape)} "
                f"{assignment.dtype}. For soft assignments: .argmax(1)."
            )
        self.assignment = assignment if assignment.ndim == 1 else _names(assignment)
        self.negatives: Negatives = negatives if negatives is not None else Exact()

    @property
    def reads_positive(self) -> bool:
        """Whether the estimator inside needs the rule to name the positive of each anchor."""
        return bool(getattr(self.negatives, "reads_positive", False))

    @property
    def reads_ids(self) -> bool:
        """Whether the estimator inside remembers instances by their ids."""
        return bool(getattr(self.negatives, "reads_ids", False))

    def log_z(self, anchors: Tensor, candidates: Tensor, *, scale: float | Tensor, rule: Rule) -> Tensor:
        """Log-partition over the own cluster.

        Shapes:
            anchors: ``(N, D)``; candidates: ``(N, D)``; returns: ``(N,)``.
        """
        return self.negatives.log_z(anchors, candidates, scale=scale, rule=self._restrict(anchors, candidates, rule))

    def log_count(self, anchors: Tensor, candidates: Tensor, rule: Rule) -> Tensor:
        """Log of how many candidates of the own cluster count.

        Shapes:
            anchors: ``(N, D)``; candidates: ``(N, D)``; returns: ``(N,)``.
        """
        count: Callable[[Tensor, Tensor, Rule], Tensor] = getattr(self.negatives, "log_count", log_count)
        return count(anchors, candidates, self._restrict(anchors, candidates, rule))

    def _restrict(self, anchors: Tensor, candidates: Tensor, rule: Rule) -> Rule:
        if not len(self.assignment) == len(anchors) == len(candidates):
            raise InputError(
                f"the assignment names the clusters of {len(self.assignment)} nodes but there are {len(anchors)} anchors and "
                f"{len(candidates)} candidates: was it made for another batch?"
            )
        own = self.assignment.to(anchors.device)
        same = own, own
        if rule.same is not None:
            joint = _names(torch.stack([torch.cat(same), torch.cat(rule.same)], 1))
            same = joint[: len(anchors)], joint[len(anchors) :]
        return replace(rule, same=same)

    def __repr__(self) -> str:
        return f"ClusterRestricted({self.negatives!r})"


def _names(rows: Tensor) -> Tensor:
    """One integer for each row, equal where rows are."""
    names: Tensor = torch.unique(rows, dim=0, return_inverse=True)[1]
    return names
