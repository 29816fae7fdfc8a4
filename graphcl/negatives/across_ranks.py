"""Exact sums and meta-nodes where the work, or the rows themselves, are shared out over ranks."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from graphcl.errors import InputError
from graphcl.kernels import Columns, Rule, pair_lse, segment_sum
from graphcl.kernels.pair_blocks import row_scale
from graphcl.kernels.pair_ranks import Sweep, pair_lse_ranks
from graphcl.kernels.pair_self import mirrored
from graphcl.kernels.pair_tiles import working_type
from graphcl.kernels.ranks import Ranks, all_lse, all_rows, all_sum
from graphcl.kernels.rule import Ids
from graphcl.negatives.exact import Exact
from graphcl.negatives.meta_node import MetaNode, Order


class ShardedExact(Exact):
    """`Exact` where each rank holds some of the anchors and some of the candidates: everybody is met, as on one process.

    Time ``O(N M D / P)`` a rank; memory and travel are those of `pair_lse_ranks`. Ids in the rule mean the same on every rank;
    ``exclude`` names candidates of the anchor's own rank, by position.

    Args:
        ranks: All of them.
        sweep: ``"ring"``, or ``"gather"``, which holds all candidates on every rank.
        bf16: As in `Exact`.
    """

    def __init__(self, ranks: Ranks, *, sweep: Sweep = "ring", bf16: bool = False) -> None:
        super().__init__(bf16=bf16)
        self.ranks, self.sweep = ranks, sweep

    def log_z(self, anchors: Tensor, candidates: Tensor, *, scale: float | Tensor, rule: Rule) -> Tensor:
        """Exact log-partition over the candidates of all ranks.

        Shapes:
            anchors: ``(n_r, D)``; candidates: ``(m_r, D)``; returns: ``(n_r,)``.
        """
        return pair_lse_ranks(
            anchors, Columns(candidates), scale=scale, rule=rule, bf16=self.bf16, ranks=self.ranks, sweep=self.sweep
        )

    def log_z_both(self, anchors: Tensor, candidates: Tensor, *, scale: float | Tensor, rule: Rule) -> tuple[Tensor, Tensor]:
        """Log-partitions of both sides out of one sweep.

        Shapes:
            anchors: ``(n_r, D)``; candidates: ``(m_r, D)``; returns: ``(n_r,)`` and ``(m_r,)``.
        """
        return pair_lse_ranks(
            anchors, Columns(candidates), scale=scale, rule=rule, both=True, bf16=self.bf16, ranks=self.ranks, sweep=self.sweep
        )

    def __repr__(self) -> str:
        return f"ShardedExact(ranks={self.ranks.size}, sweep='{self.sweep}')"


class SplitExact(Exact):
    """`Exact` where every rank holds all rows, the same ones: each meets its part of the anchors, and the sums are shared.

    For a program that runs alike on all ranks, a graph encoded by everybody: its one expensive part takes ``O(N M D / P)`` time
    a rank, half of that for a set with itself. What travels is one number an anchor, forwards and backwards. Every rank has the
    same loss, and the average of their gradients, not the gradient of one rank, is that of the loss.

    Args:
        ranks: All of them.
        bf16: As in `Exact`.
    """

    def __init__(self, ranks: Ranks, *, bf16: bool = False) -> None:
        super().__init__(bf16=bf16)
        self.ranks = ranks

    def log_z(self, anchors: Tensor, candidates: Tensor, *, scale: float | Tensor, rule: Rule) -> Tensor:
        """Exact log-partition.

        Shapes:
            anchors: ``(N, D)``; candidates: ``(M, D)``; returns: ``(N,)``.
        """
        if len(anchors) < 2 * self.ranks.size:
            return super().log_z(anchors, candidates, scale=scale, rule=rule)
        factor = row_scale(scale, len(anchors), working_type(anchors.dtype), anchors.device)
        if mirrored(anchors, Columns(candidates), factor, rule):
            return self._triangle(anchors, scale, rule)
        mine, own_scale, own_rule = self._part(anchors, scale, rule)
        part = pair_lse(mine, Columns(candidates), scale=own_scale, rule=own_rule, bf16=self.bf16)
        return all_rows(part, self.ranks)

    def log_z_both(self, anchors: Tensor, candidates: Tensor, *, scale: float | Tensor, rule: Rule) -> tuple[Tensor, Tensor]:
        """Log-partitions of both sides out of one sweep.

        Shapes:
            anchors: ``(N, D)``; candidates: ``(M, D)``; returns: ``(N,)`` and ``(M,)``.
        """
        if len(anchors) < 2 * self.ranks.size:
            return super().log_z_both(anchors, candidates, scale=scale, rule=rule)
        mine, own_scale, own_rule = self._part(anchors, scale, rule)
        there, back = pair_lse(mine, Columns(candidates), scale=own_scale, rule=own_rule, both=True, bf16=self.bf16)
        return all_rows(there, self.ranks), all_lse(back[None], self.ranks)

    def _triangle(self, z: Tensor, scale: float | Tensor, rule: Rule) -> Tensor:
        """A set with itself, each pair met once: of twice as many stairs as ranks each takes a high one and a low one.

        Shapes:
            z: ``(N, D)``; returns: ``(N,)``.
        """
        stairs = Ranks(0, 2 * self.ranks.size)
        parts = []
        for stair in (self.ranks.rank, stairs.size - 1 - self.ranks.rank):
            start, length = Ranks(stair, stairs.size).share(len(z))
            stop = start + length
            own = z.narrow(0, start, length)
            inside = _corner(rule, slice(start, stop), slice(start, stop))
            sums = pair_lse(own, Columns(own), scale=scale, rule=inside, bf16=self.bf16)
            below = z.new_full((start,), -torch.inf, dtype=sums.dtype)
            if stop < len(z):
                beyond = _corner(rule, slice(start, stop), slice(stop, len(z)))
                columns = Columns(z.narrow(0, stop, len(z) - stop))
                there, back = pair_lse(own, columns, scale=scale, rule=beyond, both=True, bf16=self.bf16)
                parts.append(torch.cat([below, there, back]))
                below = torch.cat([below, sums, torch.full_like(back, -torch.inf)])
            else:
                below = torch.cat([below, sums])
            parts.append(below)
        return all_lse(torch.stack(parts), self.ranks)

    def _part(self, anchors: Tensor, scale: float | Tensor, rule: Rule) -> tuple[Tensor, float | Tensor, Rule]:
        """This rank's anchors, and what is said of them."""
        start, length = self.ranks.share(len(anchors))
        own = scale.narrow(0, start, length) if isinstance(scale, Tensor) and scale.numel() > 1 else scale
        return anchors.narrow(0, start, length), own, _rows_of(rule, start, length)

    def __repr__(self) -> str:
        return f"SplitExact(ranks={self.ranks.size})"


class ShardedMetaNode(MetaNode):
    """`MetaNode` where each rank holds some of the candidates: the sums and counts of the clusters are added up over the ranks.

    ``K (D + 1)`` numbers travel, however many rows there are. An anchor leaves out a candidate of its own rank. Time
    ``O(n_r K D)`` a rank.

    Args:
        assignment: Cluster of each candidate of this rank, the same clusters everywhere.
        num_clusters: ``K``.
        ranks: All of them.
        order: ``"mean"`` or ``"isotropic"``.

    Shapes:
        assignment: ``(m_r,)`` int64 in ``0 .. K - 1``.
    """

    def __init__(self, assignment: Tensor, num_clusters: int, ranks: Ranks, *, order: Order = "mean") -> None:
        if order not in ("mean", "isotropic") or assignment.is_floating_point():
            raise InputError(
                "across ranks meta-nodes take one cluster for each candidate and order='mean' or 'isotropic'; "
                f"got order='{order}' and an assignment of {assignment.dtype}"
            )
        super().__init__(assignment, num_clusters, order=order)
        self.ranks = ranks

    def log_z(self, anchors: Tensor, candidates: Tensor, *, scale: float | Tensor, rule: Rule) -> Tensor:
        """Log of the proxy sum over the candidates of all ranks.

        Shapes:
            anchors: ``(n_r, D)``; candidates: ``(m_r, D)``; returns: ``(n_r,)``.

        Raises:
            InputError: As `MetaNode.log_z`.
        """
        if self.assignment.shape != (len(candidates),):
            raise InputError(
                f"the meta-node assignment names {tuple(self.assignment.shape)} candidates but this rank has {len(candidates)}"
            )
        if not (rule.same is rule.different is rule.clusters is rule.seen is None):
            raise InputError("meta-nodes can leave out one candidate an anchor, by exclude, and nothing else; use Exact")
        members = torch.cat([candidates, candidates.square().sum(1, keepdim=True)], 1)
        sums = all_sum(segment_sum(members, self.assignment, self.num_clusters), self.ranks)
        counts = all_sum(torch.bincount(self.assignment, minlength=self.num_clusters).to(candidates.dtype), self.ranks)
        wide = self._anchors(anchors, scale)
        meta = Columns(self._centres(sums, counts), bias=counts.log())
        if rule.exclude is None:
            return pair_lse(wide, meta, scale=scale)
        own = self.assignment.index_select(0, rule.exclude)
        others = pair_lse(wide, meta, scale=scale, rule=Rule(exclude=own))
        left = counts.index_select(0, own) - 1
        rest = self._centres(sums.index_select(0, own) - members.index_select(0, rule.exclude), left)
        return torch.logaddexp(others, scale * (wide * rest).sum(1) + left.log())


def _corner(rule: Rule, rows: slice, columns: slice) -> Rule:
    """The rule of some rows and columns of one set, which leaves out nobody or each row itself.

    Shapes:
        rule: of ``(N, N)`` pairs, without seen.
    """

    def cut(pair: Ids | None) -> Ids | None:
        if pair is None:
            return None
        left = pair[0][rows]
        return left, left if rows == columns else pair[1][columns]

    itself = None
    if rule.exclude is not None and rows == columns:
        itself = torch.arange(rows.stop - rows.start, device=rule.exclude.device)
    return Rule(itself, cut(rule.same), cut(rule.different), cut(rule.clusters))


def _rows_of(rule: Rule, start: int, length: int) -> Rule:
    """The rule of some of the rows."""

    def cut(pair: Ids | None) -> Ids | None:
        return None if pair is None else (pair[0].narrow(0, start, length), pair[1])

    seen = rule.seen
    if seen is not None:
        crow = seen[0].narrow(0, start, length + 1)
        seen = crow - crow[0], seen[1][int(crow[0]) : int(crow[-1])]
    return replace(
        rule,
        exclude=None if rule.exclude is None else rule.exclude.narrow(0, start, length),
        same=cut(rule.same),
        different=cut(rule.different),
        clusters=cut(rule.clusters),
        seen=seen,
    )
