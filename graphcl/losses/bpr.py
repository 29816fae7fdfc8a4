"""Bayesian personalised ranking: what was chosen should score above what was not."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from graphcl.errors import InputError
from graphcl.losses.binary import checked, softplus

Reduce = Literal["mean", "logsumexp"]


class BPR(nn.Module):
    """Ranks each positive above its own negatives.

    ``mean_i softplus(s-_i - s+_i)`` with one negative each. With ``K`` of them either the mean over ``k``, or
    ``softplus(log sum_k exp(s-_ik) - s+_i)``, which is the cross-entropy of finding the positive among ``K + 1`` scores.
    Equal scores are worth ``log 2``, and ``log(K + 1)`` under ``"logsumexp"``. Time and memory ``O(N K)``.
    Rendle et al., 2009, https://arxiv.org/abs/1205.2618. Differs: no small constant inside the logarithm, which would cap the
    loss of badly ranked pairs and kill their gradient; the penalty on the embeddings is `l2_penalty`, added by hand.

    Args:
        reduce: How a row's negatives become one: averaged one by one, or competing in one partition.

    Shapes:
        positive: ``(N,)``; negative: ``(N,)`` or ``(N, K)``; returns: scalar, ``>= 0``.

    Raises:
        InputError: Shapes that do not fit, no scores, or scores that are not finite.
    """

    def __init__(self, *, reduce: Reduce = "mean") -> None:
        super().__init__()
        if reduce not in ("mean", "logsumexp"):
            raise InputError(f"reduce must be 'mean' or 'logsumexp'; got '{reduce}'")
        self.reduce = reduce

    def forward(self, positive: Tensor, negative: Tensor) -> Tensor:
        """The loss of scores before any sigmoid.

        Args:
            positive: Score of what was chosen.
            negative: Scores of what was not, in the same row.
        """
        if positive.ndim != 1 or negative.ndim not in (1, 2) or len(positive) != len(negative):
            raise InputError(
                f"positive must be (N,) and negative (N,) or (N, K) with the same N; got {tuple(positive.shape)} and "
                f"{tuple(negative.shape)}. Row i of the negatives belongs to positive i: squeeze or reshape the scores."
            )
        positive, negative = checked("positive", positive), checked("negative", negative)
        rows = negative.reshape(len(negative), -1)
        if self.reduce == "logsumexp":
            return softplus(rows.logsumexp(1) - positive).mean()
        return softplus(rows - positive.unsqueeze(1)).mean()

    def extra_repr(self) -> str:
        """How negatives are reduced, for ``print``."""
        return f"reduce={self.reduce}"


def l2_penalty(*embeddings: Tensor) -> Tensor:
    """``1/2 sum ||z||^2 / B`` over the rows that a batch looked up: the usual companion of `BPR`, to be weighted by hand.

    Meant for the rows of the embedding table itself, not for what a graph encoder made of them. Every tensor holds one row
    per triple, so a row that occurs twice counts twice. Time ``O(B D)``.
    Rendle et al., 2009, https://arxiv.org/abs/1205.2618. Differs: the half and the division by ``B`` are stated here because
    published code disagrees about them.

    Args:
        embeddings: Users, positives and negatives of the batch, say.

    Shapes:
        embeddings: ``(B, D)`` or ``(B, K, D)`` each, the same ``B``; returns: scalar, ``>= 0``.

    Raises:
        InputError: No tensor, no rows, or different ``B``.
    """
    if not embeddings or any(z.ndim < 2 or len(z) != len(embeddings[0]) for z in embeddings):
        raise InputError(f"l2_penalty takes (B, D) tensors of one batch; got {[tuple(z.shape) for z in embeddings]}")
    squares = [checked("embeddings", z).square().sum() for z in embeddings]
    return torch.stack(squares).sum() / (2 * len(embeddings[0]))
