"""The log-sum-exp over all pairs where anchors and candidates lie on several ranks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args, overload

import torch
import torch.distributed as dist
from torch import Tensor
from torch.autograd.function import once_differentiable

from graphcl.errors import InputError, unknown_name
from graphcl.kernels.columns import Columns
from graphcl.kernels.pair import pair_lse
from graphcl.kernels.pair_blocks import row_scale
from graphcl.kernels.pair_tiles import check_pairs, working_type
from graphcl.kernels.ranks import Ranks, all_lse, all_rows, part_of
from graphcl.kernels.rule import Ids, Rule

Sweep = Literal["gather", "ring"]


@overload
def pair_lse_ranks(
    a: Tensor,
    columns: Columns,
    *,
    scale: float | Tensor,
    ranks: Ranks,
    rule: Rule | None = None,
    both: Literal[False] = False,
    bf16: bool = False,
    sweep: Sweep = "ring",
) -> Tensor: ...
@overload
def pair_lse_ranks(
    a: Tensor,
    columns: Columns,
    *,
    scale: float | Tensor,
    ranks: Ranks,
    rule: Rule | None = None,
    both: Literal[True],
    bf16: bool = False,
    sweep: Sweep = "ring",
) -> tuple[Tensor, Tensor]: ...
def pair_lse_ranks(
    a: Tensor,
    columns: Columns,
    *,
    scale: float | Tensor,
    ranks: Ranks,
    rule: Rule | None = None,
    both: bool = False,
    bf16: bool = False,
    sweep: Sweep = "ring",
) -> Tensor | tuple[Tensor, Tensor]:
    """`pair_lse` of this rank's anchors with the candidates of all ranks; with ``both`` of its candidates with all anchors too.

    Equal to `pair_lse` of everything on one process, in value and in every gradient, as `Ranks` says gradients are. Ranks may
    hold different numbers of rows, one at least. Time ``O(N M D / P)`` a rank. ``"gather"`` brings all candidates together:
    memory ``O(M D)``. ``"ring"`` sends them round, a rank at a time, while the ones that are there are met: memory
    ``O((N + M) D / P + M)``; backwards they go round once more and their gradients travel home with them, and every tile is
    met once more than with ``"gather"``, a quarter more work in all.

    Liu et al., 2023 (ring attention), https://arxiv.org/abs/2310.01889, for a loss Cheng et al., 2024 (Inf-CL),
    https://arxiv.org/abs/2410.17243. Differs: any `Rule`, shards of any length, and gradients of bias and scale.

    Args:
        a: Anchors of this rank.
        columns: Candidates of this rank.
        scale: Multiplies the dot product, one number or one for each anchor of this rank.
        ranks: All of them.
        rule: Which pairs count. ``exclude`` names columns by ``columns.ids``, of whichever rank; where there are none, by the
            position among the candidates of its own rank. ``same``, ``different`` and ``clusters`` hold the ids of the anchors
            and of the candidates of this rank, with one meaning everywhere; ``seen`` lists columns by their position among
            the candidates of all ranks, in the order of the ranks.
        both: Whether the sums over anchors come along.
        bf16: As in `pair_lse`.
        sweep: ``"ring"`` or ``"gather"``.

    Shapes:
        a: ``(n_r, D)``; columns.z: ``(m_r, D)``; returns: ``(n_r,)``, with ``both`` ``(n_r,)`` and ``(m_r,)``.

    Raises:
        InputError: As `pair_lse`; blocks; a rank without a candidate; an unknown sweep.
    """
    if sweep not in get_args(Sweep):
        raise unknown_name("sweep", sweep, get_args(Sweep))
    if columns.blocks is not None:
        raise InputError("blocks speak of the candidates of one rank: leave them out, all pairs are met across ranks")
    rule = Rule() if rule is None else rule
    lengths = ranks.lengths(columns.z)  # what is wrong on one rank alone is asked for after what all can know
    if min(lengths) == 0:
        raise InputError(f"every rank must hold a candidate, and rank {lengths.index(0)} has none: share them out more evenly")
    check_pairs(a, columns, replace(rule, seen=None))
    dtype = working_type(a.dtype)
    start = sum(lengths[: ranks.rank])
    if rule.exclude is not None and columns.ids is None:  # by position here, and by number everywhere
        own = torch.arange(start, start + len(columns.z), device=a.device)
        columns, rule = replace(columns, ids=own), replace(rule, exclude=rule.exclude + start)
    shard = _Shard.of(columns, rule, dtype)
    sides = _Sides(a.to(dtype), row_scale(scale, len(a), dtype, a.device), rule)
    if sweep == "gather":
        whole = _Shard.from_parts([None if part is None else all_rows(part, ranks) for part in shard.parts])
        there, back = sides.lse(whole, 0, both, bf16)
        if back is None:
            return there
        return there, all_lse(back[None], ranks).narrow(0, start, len(columns.z))
    plan = _Plan(ranks, tuple(lengths), rule, both, bf16)
    there, back = _RingLSE.apply(sides.a, shard.z, shard.bias, sides.scale, shard, plan)  # type: ignore[no-untyped-call]
    return (there, back) if both else there


@dataclass(frozen=True)
class _Shard:
    """The candidates of one rank with all that is said of them."""

    z: Tensor
    bias: Tensor | None
    ids: Tensor | None
    same: Tensor | None
    different: Tensor | None
    clusters: Tensor | None

    @classmethod
    def of(cls, columns: Columns, rule: Rule, dtype: torch.dtype) -> _Shard:
        bias = None if columns.bias is None else columns.bias.to(dtype)
        names = (None if pair is None else pair[1].contiguous() for pair in (rule.same, rule.different, rule.clusters))
        return cls(columns.z.to(dtype).contiguous(), bias, columns.ids, *names)

    @classmethod
    def from_parts(cls, parts: Sequence[Tensor | None]) -> _Shard:
        z, *others = parts
        assert z is not None
        return cls(z, *others)

    @property
    def parts(self) -> tuple[Tensor | None, ...]:
        return self.z, self.bias, self.ids, self.same, self.different, self.clusters

    def detached(self) -> _Shard:
        return replace(self, z=self.z.detach(), bias=None if self.bias is None else self.bias.detach())


@dataclass(frozen=True)
class _Sides:
    """The anchors of this rank, which meet one shard after the other."""

    a: Tensor
    scale: Tensor
    rule: Rule

    def lse(self, shard: _Shard, start: int, both: bool, bf16: bool) -> tuple[Tensor, Tensor | None]:
        """The sums over one shard, whose first candidate has that number among all."""
        rule = self.rule
        rule = Rule(
            exclude=rule.exclude,
            same=_paired(rule.same, shard.same),
            different=_paired(rule.different, shard.different),
            clusters=_paired(rule.clusters, shard.clusters),
            seen=None if rule.seen is None else _window(rule.seen, start, len(shard.z)),
        )
        columns = Columns(shard.z, shard.bias, shard.ids)
        if both:
            return pair_lse(self.a, columns, scale=self.scale, rule=rule, both=True, bf16=bf16)
        return pair_lse(self.a, columns, scale=self.scale, rule=rule, bf16=bf16), None


@dataclass(frozen=True)
class _Plan:
    """Who holds what, and what is asked for."""

    ranks: Ranks
    lengths: tuple[int, ...]
    rule: Rule
    both: bool
    bf16: bool

    def owner(self, hop: int) -> int:
        """Whose candidates are here after so many hops."""
        return (self.ranks.rank - hop) % self.ranks.size

    def start(self, owner: int) -> int:
        return sum(self.lengths[:owner])


class _RingLSE(torch.autograd.Function):
    """Forward keeps the sums alone; backward meets each shard again, by `pair_lse` and its own gradient."""

    @staticmethod
    def forward(
        ctx: Any, a: Tensor, z: Tensor, bias: Tensor | None, scale: Tensor, shard: _Shard, plan: _Plan
    ) -> tuple[Tensor, Tensor | None]:
        sides, here = _Sides(a, scale, plan.rule), replace(shard, z=z, bias=bias)
        rows: Tensor | None = None
        columns = a.new_empty(sum(plan.lengths)) if plan.both else None
        for hop in range(plan.ranks.size):
            owner = plan.owner(hop)
            following = _Travel(here.parts, plan, hop) if hop + 1 < plan.ranks.size else None
            there, back = sides.lse(here, plan.start(owner), plan.both, plan.bf16)
            rows = there if rows is None else torch.logaddexp(rows, there)
            if columns is not None and back is not None:
                columns[plan.start(owner) : plan.start(owner) + len(back)] = back
            if following is not None:
                here = _Shard.from_parts(following.arrived())
        own = None
        if columns is not None:
            columns = all_lse(columns[None], plan.ranks)
            own = columns.narrow(0, plan.start(plan.ranks.rank), len(z)).clone()
        ctx.plan, ctx.shard = plan, shard.detached()
        ctx.save_for_backward(a, z, bias, scale, rows, columns)
        assert rows is not None
        return rows, own

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, row_grad: Tensor, column_grad: Tensor | None = None) -> tuple[Tensor | None, ...]:
        a, z, bias, scale, rows, columns = ctx.saved_tensors
        plan: _Plan = ctx.plan
        if plan.both:
            assert column_grad is not None
            column_grad = all_rows(column_grad, plan.ranks)
        a, scale = (tensor.detach().requires_grad_(need) for tensor, need in _asked(ctx, (a, 0), (scale, 3)))
        sides = _Sides(a, scale, plan.rule)
        here = replace(ctx.shard, z=z.detach(), bias=None if bias is None else bias.detach())
        da, dscale = torch.zeros_like(a), torch.zeros_like(scale)
        travelled: list[Tensor | None] = [torch.zeros_like(z), None if bias is None else torch.zeros_like(bias)]
        for hop in range(plan.ranks.size):
            owner, last = plan.owner(hop), hop + 1 == plan.ranks.size
            following = None if last else _Travel(here.parts, plan, hop)
            leaves = [here.z.requires_grad_(), None if here.bias is None else here.bias.requires_grad_()]
            with torch.enable_grad():
                there, back = sides.lse(here, plan.start(owner), plan.both, plan.bf16)
            outputs, grads = [there], [row_grad * part_of(there.detach(), rows)]
            if back is not None and column_grad is not None:
                span = slice(plan.start(owner), plan.start(owner) + len(back))
                outputs.append(back)
                grads.append(column_grad[span] * part_of(back.detach(), columns[span]))
            inputs = [a, scale, *leaves]
            wanted = [tensor for tensor in inputs if tensor is not None and tensor.requires_grad]
            found = iter(torch.autograd.grad(outputs, wanted, grads))
            pieces = [None if tensor is None or not tensor.requires_grad else next(found) for tensor in inputs]
            for total, piece in zip((da, dscale, *travelled), pieces, strict=True):
                if total is not None and piece is not None:
                    total += piece
            travelled = _Travel(travelled, plan, hop, tags=len(here.parts)).arrived()  # the last hop brings them home
            if following is not None:
                here = _Shard.from_parts(following.arrived())
        needs = ctx.needs_input_grad
        return (
            da if needs[0] else None, travelled[0] if needs[1] else None, travelled[1] if needs[2] else None,
            dscale if needs[3] else None, None, None,
        )  # fmt: skip


class _Travel:
    """Sends what is here to the next rank and takes what the one before sends, while something else is done.

    Args:
        parts: Tensors with a row for each candidate that is here; a part that is missing is missing everywhere.
        plan: Who holds what.
        hop: How far these have come already.
        tags: The first of the numbers that tell messages apart which are under way at the same time.
    """

    def __init__(self, parts: Sequence[Tensor | None], plan: _Plan, hop: int, *, tags: int = 0) -> None:
        ranks, coming = plan.ranks, plan.lengths[plan.owner(hop + 1)]
        self._kept = [None if part is None else part.detach().contiguous() for part in parts]  # until they are gone
        self._parts = [None if part is None else part.new_empty(coming, *part.shape[1:]) for part in self._kept]
        calls: list[dist.P2POp] = []
        for tag, (gone, come) in enumerate(zip(self._kept, self._parts, strict=True), tags):
            if gone is not None and come is not None and ranks.size > 1:
                calls.append(dist.P2POp(dist.isend, gone, ranks.peer(1), ranks.group, tag))
                calls.append(dist.P2POp(dist.irecv, come, ranks.peer(-1), ranks.group, tag))
        self._pending = dist.batch_isend_irecv(calls) if calls else []
        if ranks.size == 1:
            self._parts = self._kept

    def arrived(self) -> list[Tensor | None]:
        """What came, once it is all there."""
        for request in self._pending:
            request.wait()
        return self._parts


def _asked(ctx: Any, *inputs: tuple[Tensor, int]) -> list[tuple[Tensor, bool]]:
    return [(tensor, bool(ctx.needs_input_grad[at])) for tensor, at in inputs]


def _paired(rows: Ids | None, columns: Tensor | None) -> Ids | None:
    return None if rows is None or columns is None else (rows[0], columns)


def _window(seen: Ids, start: int, length: int) -> Ids:
    """A CSR pattern cut down to the columns ``start .. start + length - 1``, counted from the first of them."""
    crow, col = seen
    inside = (col >= start) & (col < start + length)
    before = torch.cat([crow.new_zeros(1), inside.cumsum(0).to(crow.dtype)])
    return before.index_select(0, crow.long()), col.masked_select(inside) - start
