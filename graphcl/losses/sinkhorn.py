"""Entropic optimal transport in the log domain."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from graphcl.errors import InputError


@torch.no_grad()
def sinkhorn(
    scores: Tensor,
    epsilon: float = 0.05,
    iterations: int = 3,
    *,
    rows: Tensor | None = None,
    columns: Tensor | None = None,
    tolerance: float = 0.0,
) -> tuple[Tensor, Tensor]:
    """The plan ``P`` near ``max <P, scores> + epsilon H(P)`` with given marginals, and how far it misses them; no gradient.

    Columns and then rows are scaled in turn, so row marginals hold exactly and the error is that of the columns. Transport by
    cost is ``scores = -cost``. Time ``O(iterations N K)``, memory ``O(N K)``.
    Cuturi, 2013, https://arxiv.org/abs/1306.0895. Differs: scalings are kept as logarithms, so no ``epsilon`` overflows.

    Args:
        scores: Similarity of row and column, finite; half precision is computed in single.
        epsilon: Weight of the entropy, ``> 0``; large values lead to the product of the marginals.
        iterations: Most sweeps, ``>= 1``.
        rows: Row marginal, ``>= 0``, sum 1; uniform when ``None``.
        columns: Column marginal, ``>= 0``, sum 1; uniform when ``None``.
        tolerance: Stop when the error is at most this; 0 always runs all sweeps and never waits for the device.

    Shapes:
        scores: ``(N, K)``; rows: ``(N,)``; columns: ``(K,)``; returns: plan ``(N, K)`` of mass 1, and a scalar,
        the sum of absolute differences of the marginals.

    Raises:
        InputError: Arguments out of range, marginals that are no distributions, scores that are not finite.
    """
    if scores.ndim != 2 or scores.numel() == 0 or not scores.is_floating_point():
        raise InputError(f"scores must be a floating (N, K) matrix with entries; got {scores.dtype} {tuple(scores.shape)}")
    if not math.isfinite(epsilon) or epsilon <= 0:
        raise InputError(f"epsilon must be > 0, since it divides the scores; got {epsilon}")
    if iterations < 1:
        raise InputError(f"iterations must be >= 1; got {iterations}")
    if not scores.is_cuda and not bool(torch.isfinite(scores).all()):
        raise InputError("scores must be finite; a pair that must not meet needs a low score, not -inf")
    logits = scores.to(torch.promote_types(scores.dtype, torch.float32)) / epsilon
    a, b = _marginal(rows, logits, 0, "rows"), _marginal(columns, logits, 1, "columns")
    log_a, log_b = a.log(), b.log()
    f = torch.zeros_like(a)
    for _ in range(iterations):
        g = log_b - (logits + f[:, None]).logsumexp(0)
        f = log_a - (logits + g).logsumexp(1)
        if tolerance > 0 and float(_error((logits + f[:, None] + g).exp(), a, b)) <= tolerance:
            break
    plan = (logits + f[:, None] + g).exp()
    return plan, _error(plan, a, b)


def _error(plan: Tensor, a: Tensor, b: Tensor) -> Tensor:
    return torch.maximum((plan.sum(1) - a).abs().sum(), (plan.sum(0) - b).abs().sum())


def _marginal(given: Tensor | None, like: Tensor, axis: int, name: str) -> Tensor:
    length = like.shape[axis]
    if given is None:
        return like.new_full((length,), 1 / length)
    if given.shape != (length,):
        raise InputError(f"{name} must be a vector of length {length}, one mass each; got {tuple(given.shape)}")
    mass = given.to(like)
    if not (bool((mass >= 0).all()) and abs(float(mass.sum()) - 1) <= 1e-5):
        raise InputError(f"{name} must be >= 0 and sum to 1; got sum {float(mass.sum()):g} and least {float(mass.min()):g}")
    return mass / mass.sum()
