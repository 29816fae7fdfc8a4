"""The pair sweeps by one dense N x M array: the oracles of the tests, differentiable by plain autograd."""

from __future__ import annotations

import torch
from torch import Tensor

from graphcl.kernels.columns import Columns
from graphcl.kernels.pair_kernel import PairKernel
from graphcl.kernels.rule import Rule


def pair_weights_reference(a: Tensor, columns: Columns, rule: Rule | None = None) -> Tensor:
    """How often each pair counts: 0 where it is left out.

    Shapes:
        a: ``(N, D)``; columns.z: ``(M, D)``; returns: ``(N, M)``.
    """
    z, rule = columns.z, rule or Rule()
    weights = torch.ones(len(a), len(z), dtype=a.dtype, device=a.device)
    if rule.exclude is not None:
        ids = torch.arange(len(z), device=a.device) if columns.ids is None else columns.ids
        weights = weights * (rule.exclude[:, None] != ids)
    if rule.same is not None:
        weights = weights * (rule.same[0][:, None] == rule.same[1])
    if rule.different is not None:
        weights = weights * (rule.different[0][:, None] != rule.different[1])
    if rule.clusters is not None:
        weights = weights * (rule.clusters[0][:, None] != rule.clusters[1]).sum(2)
    if rule.seen is not None:
        crow, col = rule.seen
        for row in range(len(a)):
            weights[row, col[int(crow[row]) : int(crow[row + 1])].long()] = 0
    return weights


def pair_logits_reference(a: Tensor, columns: Columns, *, scale: float | Tensor, rule: Rule | None = None) -> Tensor:
    """All logits, ``-inf`` where a pair does not count.

    Shapes:
        a: ``(N, D)``; columns.z: ``(M, D)``; scale: one number or ``(N,)``; returns: ``(N, M)``.
    """
    if isinstance(scale, Tensor):
        scale = scale.reshape(-1, 1)
    logits = scale * (a @ columns.z.T)
    if columns.bias is not None:
        logits = logits + columns.bias
    return logits + pair_weights_reference(a, columns, rule).log()


def pair_lse_reference(a: Tensor, columns: Columns, *, scale: float | Tensor, rule: Rule | None = None) -> Tensor:
    """``pair_lse`` by one dense array; for both ways, ``pair_logits_reference`` and a ``logsumexp`` over each side.

    Shapes:
        a: ``(N, D)``; columns.z: ``(M, D)``; scale: one number or ``(N,)``; returns: ``(N,)``.
    """
    return pair_logits_reference(a, columns, scale=scale, rule=rule).logsumexp(1)


def pair_sum_reference(a: Tensor, columns: Columns, *, kernel: PairKernel, rule: Rule | None = None) -> Tensor:
    """``pair_sum`` by one dense array of differences.

    Shapes:
        a: ``(N, D)``; columns.z: ``(M, D)``; returns: ``(N,)``.
    """
    arguments = (a[:, None] - columns.z).square().sum(2) if kernel.of_distance else a @ columns.z.T
    return (pair_weights_reference(a, columns, rule) * kernel.value(arguments.clone())).sum(1)
