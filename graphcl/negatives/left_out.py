"""What a rule leaves out, told by anchor and cluster."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from graphcl.kernels import Rule, edge_dot, segment_sum
from graphcl.kernels.pattern import Pattern


class LeftOut(NamedTuple):
    """Pairs of an anchor and a cluster that holds candidates which the anchor leaves out, by anchor and then by cluster.

    Shapes:
        crow: ``(N + 1,)``, row pointers; cluster: ``(E,)``; number: ``(E,)``, of candidates left out; dot: ``(E,)``, of the
            anchor with their sum.
    """

    crow: Tensor
    cluster: Tensor
    number: Tensor
    dot: Tensor


def left_out(a: Tensor, z: Tensor, cluster: Tensor, costs: Tensor, rule: Rule, limit: float) -> LeftOut | None:
    """Where the rule leaves out something, found by sorting and joining ids.

    Ids that many candidates share are joined by cluster and not by candidate, so there are never more pairs than anchors times
    clusters. Time ``O((N + M) log M + E D)``, memory ``O(M D + E)``.

    Args:
        a: Anchors.
        z: Candidates.
        cluster: Of each candidate.
        costs: Of a pair of an anchor and a cluster.
        rule: Its parts ``exclude``, ``different`` and ``seen``; all name candidates by position.
        limit: Of the cost of all pairs; beyond it nothing is made.

    Shapes:
        a: ``(N, D)``; z: ``(M, D)``; cluster: ``(M,)``; costs: ``(K,)``; returns: ``None`` beyond the limit.
    """
    num_rows, num_columns, num_clusters = len(a), len(z), len(costs)
    row, item = _listed(rule, num_rows, num_columns)
    vectors, place, count = z, cluster, torch.ones_like(cluster)
    if rule.different is not None:
        left, right = rule.different
        apart = (left.index_select(0, row) != right.index_select(0, item)).nonzero().squeeze(1)
        row, item = row.index_select(0, apart), item.index_select(0, apart)  # the rest is in the groups below
        names, name = torch.unique(right, return_inverse=True)
        groups, group, members = torch.unique(name * num_clusters + cluster, return_inverse=True, return_counts=True)
        first = torch.searchsorted(groups, torch.arange(len(names) + 1, device=a.device) * num_clusters)
        at = torch.searchsorted(names, left).clamp(max=len(names) - 1)
        times = first.diff().index_select(0, at) * (names.index_select(0, at) == left)
        mass = torch.cat([costs.new_zeros(1), costs.index_select(0, groups % num_clusters).cumsum(0)]).index_select(0, first)
        if float((mass.diff().index_select(0, at) * (times > 0)).sum()) > limit:
            return None
        joined = torch.arange(num_rows, device=a.device).repeat_interleave(times)
        start = (first.index_select(0, at) - times.cumsum(0) + times).index_select(0, joined)
        row = torch.cat([row, joined])
        item = torch.cat([item, num_columns + start + torch.arange(len(joined), device=a.device)])
        vectors = torch.cat([z, segment_sum(z, group, len(groups))])
        place, count = torch.cat([cluster, groups % num_clusters]), torch.cat([count, members])
    key, pair = torch.unique(row * num_clusters + place.index_select(0, item), return_inverse=True)
    if float(costs.index_select(0, key % num_clusters).sum()) > limit:
        return None
    order = torch.argsort(row, stable=True)
    pattern = Pattern(_pointers(row.index_select(0, order), num_rows), item.index_select(0, order), len(vectors))
    dots = segment_sum(edge_dot(a, vectors, pattern), pair.index_select(0, order), len(key))
    counts = segment_sum(count.index_select(0, item), pair, len(key))
    return LeftOut(_pointers(key // num_clusters, num_rows), key % num_clusters, counts, dots)


def _listed(rule: Rule, num_rows: int, num_columns: int) -> tuple[Tensor, Tensor]:
    """Pairs that ``exclude`` and ``seen`` name, each once."""
    keys = [torch.empty(0, dtype=torch.int64)]
    if rule.exclude is not None:
        there = ((rule.exclude >= 0) & (rule.exclude < num_columns)).nonzero().squeeze(1)
        keys = [there * num_columns + rule.exclude.index_select(0, there)]
    if rule.seen is not None:
        crow, col = rule.seen
        row = torch.arange(num_rows, device=col.device).repeat_interleave(crow.diff().long())
        keys.append(row * num_columns + col)
    key = torch.cat([part.to(keys[-1].device) for part in keys])
    key = torch.unique(key)
    return key // num_columns, key % num_columns


def _pointers(row: Tensor, num_rows: int) -> Tensor:
    return torch.searchsorted(row, torch.arange(num_rows + 1, device=row.device))
