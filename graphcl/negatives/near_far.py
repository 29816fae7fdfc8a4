"""Which clusters an anchor meets member by member, so that the rest may be met as one."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from graphcl.negatives.bennett import Spread, log_excess
from graphcl.negatives.left_out import LeftOut

_CHUNK_BYTES = 2**20
_HALVINGS = 8
_LEVEL = math.log(1.01)
_LEAST = 1e-3
_ROOM = 1 - 1e-4  # of the budget, for the rounding of single precision


class NearFar(NamedTuple):
    """Near clusters of each anchor, and what the far ones may lack.

    Shapes:
        crow: ``(n + 1,)``, row pointers of the ``n`` anchors looked at; cluster: ``(E,)``, ascending in each row; slack:
            ``(n,)``, logarithm of the most by which the sum over the far clusters can exceed that over their means; cost: of
            all near clusters together.
    """

    crow: Tensor
    cluster: Tensor
    slack: Tensor
    cost: float


def near_far(
    a: Tensor,
    scale: Tensor,
    means: Tensor,
    sizes: Tensor,
    costs: Tensor,
    spread: Spread,
    left: LeftOut | None,
    *,
    budget: float,
    limit: float,
) -> NearFar:
    """The cheapest near clusters, up to a few percent, that keep ``log Z - log Z_hat <= log(1 + budget)``.

    With ``B_c`` the bound of `log_excess`, far clusters lack at most ``sum_c m_c e^{scale <a, mean_c>} (B_c - 1)``. What a near
    cluster saves of that, over what it costs, decides: each anchor has a threshold for it, found by bisection.
    The budget is relative to a sum that ``Z_hat`` cannot fall below, that of the proxies without what is left out. Clusters in
    which an anchor leaves out something are always near to it. Time ``O(N K D)``, memory ``O(N + E)`` and 1 MB tiles.

    Args:
        a: Anchors.
        scale: Multiplies their dot products.
        means: Of the clusters.
        sizes: Of the clusters, none empty.
        costs: Of a cluster that is near to one anchor, ``> 0``.
        spread: Of the clusters.
        left: What the rule leaves out, ``None`` where it leaves out nothing.
        budget: What the far clusters may lack, as a share of the sum.
        limit: Of the cost; beyond it the search stops after fewer anchors.

    Shapes:
        a: ``(N, D)``; scale: ``(N,)``; means: ``(K, D)``; sizes, costs: ``(K,)``.
    """
    log_size, log_cost = sizes.to(a.dtype).log(), costs.to(a.dtype).log()
    table, level = _excess_table((scale.abs() * a.norm(dim=1)).double(), spread)
    table = table.to(a.dtype) + (log_size - log_cost)
    height = max(64, _CHUNK_BYTES // (a.element_size() * len(sizes)))
    least = math.log(budget * _ROOM) - math.log(float(costs.sum()))
    counts, clusters, slacks, cost = [sizes.new_zeros(1)], [sizes.new_zeros(0)], [a.new_zeros(0)], 0.0
    for start in range(0, len(a), height):
        rows = slice(start, min(start + height, len(a)))
        raw = (a[rows] @ means.T).mul_(scale[rows, None])
        lowest = raw + log_size
        at = None if left is None else _left_out_of(left, rows, raw, lowest, scale, sizes)
        total = lowest.logsumexp(1, keepdim=True)
        total.masked_fill_(total == -torch.inf, 0.0)
        density = raw.add_(table.index_select(0, level[rows])).sub_(total)
        if at is not None:
            density.index_put_(at, density.new_tensor(-torch.inf))
        weight = torch.add(density, log_cost, out=lowest).exp_()
        lack = weight.sum(1)
        near = torch.zeros_like(density, dtype=torch.bool)
        over = (lack > budget * _ROOM).nonzero().squeeze(1)
        if len(over):
            some = density.index_select(0, over), weight.index_select(0, over)
            threshold = _thresholds(*some, budget * _ROOM, least)
            far = some[0] <= threshold
            near[over] = ~far
            lack[over] = torch.where(far, some[1], 0.0).sum(1)
        if at is not None:
            near.index_put_(at, near.new_tensor(True))
        counts.append(near.sum(1))
        clusters.append(near.nonzero()[:, 1])
        slacks.append(lack.log() + total.squeeze(1))
        cost += float(costs.index_select(0, clusters[-1]).sum())
        if cost > limit:
            break
    return NearFar(torch.cat(counts).cumsum(0), torch.cat(clusters), torch.cat(slacks), cost)


def _left_out_of(
    left: LeftOut, rows: slice, raw: Tensor, lowest: Tensor, scale: Tensor, sizes: Tensor
) -> tuple[Tensor, Tensor]:
    """Lowers the proxies of clusters that lose members to what the rest is at least; says where they are."""
    pointers = left.crow[rows.start : rows.stop + 1]
    entries = slice(int(pointers[0]), int(pointers[-1]))
    row = torch.arange(len(raw), device=raw.device).repeat_interleave(pointers.diff())
    at = row, left.cluster[entries]
    size = sizes.index_select(0, at[1])
    rest = (size - left.number[entries]).to(raw.dtype)
    there = rest > 0
    dots = size * raw[at] - scale[rows].index_select(0, row) * left.dot[entries]
    mean = dots / torch.where(there, rest, 1.0)
    lowest.index_put_(at, torch.where(there, mean + rest.log(), -torch.inf))
    return at


def _excess_table(reach: Tensor, spread: Spread) -> tuple[Tensor, Tensor]:
    """``log_excess`` for a few lengths of anchors, a hundredth apart, and the next longer one for each anchor."""
    top = reach.max().clamp(min=torch.finfo(torch.float64).tiny)
    steps = ((reach / top).clamp(min=_LEAST).log() / _LEVEL).ceil()
    used, level = torch.unique(steps, return_inverse=True)
    return log_excess(spread.share, (top * (used * _LEVEL).exp())[:, None] * spread.radius), level


def _thresholds(density: Tensor, weight: Tensor, budget: float, least: float) -> Tensor:
    """Per row, nearly the largest density up to which the weights add up to no more than the budget; ``least`` is one such.

    Shapes:
        density, weight: ``(n, K)``; returns: ``(n, 1)``.
    """
    high = density.amax(1, keepdim=True)
    low = torch.full_like(high, least)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        fits = torch.where(density <= middle, weight, 0.0).sum(1, keepdim=True) <= budget
        low, high = torch.where(fits, middle, low), torch.where(fits, high, middle)
    return low
