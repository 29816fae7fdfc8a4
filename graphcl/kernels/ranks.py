"""Processes that work together, and the few things they say to each other, with gradients."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.autograd.function import once_differentiable

from graphcl.errors import InputError


@dataclass(frozen=True)
class Ranks:
    """The ranks of a process group of `torch.distributed`, seen from one of them.

    What is trained on ranks is the mean of what they call their losses, so gradients of parameters are averaged over them, as
    `torch.nn.parallel.DistributedDataParallel` does. The functions here are differentiated that way: what comes back to a
    row is the sum over the ranks that used it. Every rank calls each of them, in the same order, forwards and backwards.

    Args:
        rank: This one, from 0.
        size: How many there are.
        group: Of `torch.distributed`; the default group when ``None``.
    """

    rank: int
    size: int
    group: Any = None

    @classmethod
    def of(cls, group: Any = None) -> Ranks:
        """The ranks of a group, or of the default one.

        Raises:
            InputError: There is no process group yet.
        """
        if not (dist.is_available() and dist.is_initialized()):
            raise InputError(
                "there are no ranks: start the program by torchrun, and call torch.distributed.init_process_group first"
            )
        return cls(dist.get_rank(group), dist.get_world_size(group), group)

    @property
    def first(self) -> bool:
        """Whether this is rank 0, which writes and speaks."""
        return self.rank == 0

    def share(self, count: int) -> tuple[int, int]:
        """Where this rank's part of ``count`` things begins, and how many they are: parts differ by one at most."""
        each, more = divmod(count, self.size)
        return self.rank * each + min(self.rank, more), each + (self.rank < more)

    def lengths(self, x: Tensor) -> list[int]:
        """How many rows each rank holds.

        Shapes:
            x: ``(n_r, ...)``.

        Raises:
            InputError: Rows of other shapes or types on another rank, on every rank alike.
        """
        code = [len(x), *_signature(x)]
        mine = torch.tensor(code, dtype=torch.int64, device=x.device)
        theirs = [torch.empty_like(mine) for _ in range(self.size)]
        dist.all_gather(theirs, mine, group=self.group)
        rows = [part.tolist() for part in theirs]
        for rank, row in enumerate(rows):
            if row[1:] != rows[0][1:]:
                raise InputError(
                    f"all ranks must hold rows of one shape and type; rank 0 has {_named(rows[0])}, and rank {rank} "
                    f"{_named(row)}"
                )
        return [int(row[0]) for row in rows]

    def peer(self, step: int) -> int:
        """The number, in the default group, of the rank that is ``step`` further on."""
        rank = (self.rank + step) % self.size
        return rank if self.group is None else dist.get_global_rank(self.group, rank)

    def wait(self) -> None:
        """Until all are here."""
        dist.barrier(group=self.group)


def all_rows(x: Tensor, ranks: Ranks) -> Tensor:
    """The rows of all ranks, in their order, on every rank; gradients go home, added up over the ranks.

    Ranks may hold different numbers of rows. Memory ``O(N D)``; travels ``N D`` forwards, twice that backwards.

    Shapes:
        x: ``(n_r, ...)``; returns: ``(N, ...)``.

    Raises:
        InputError: Rows of other shapes or types on another rank.
    """
    rows: Tensor = _AllRows.apply(x, ranks)  # type: ignore[no-untyped-call]
    return rows


def all_sum(x: Tensor, ranks: Ranks) -> Tensor:
    """The sum over the ranks, on every rank; gradients are added up in the same way.

    Shapes:
        x: any, the same everywhere; returns: the same.
    """
    total: Tensor = _AllSum.apply(x, ranks)  # type: ignore[no-untyped-call]
    return total


def all_lse(x: Tensor, ranks: Ranks) -> Tensor:
    """The logarithm of the sum of ``exp(x)`` over the rows of all ranks, on every rank; ``-inf`` where all say so.

    Memory and travel ``O(M)`` besides the rows themselves.

    Shapes:
        x: ``(k_r, M)`` with ``k_r >= 1``; returns: ``(M,)``.
    """
    total: Tensor = _AllLSE.apply(x, ranks)  # type: ignore[no-untyped-call]
    return total


def rows_of_ranks(x: Tensor, index: Tensor, ranks: Ranks) -> Tensor:
    """Some rows by their number among those of all ranks, which lie one behind the other; gradients go home.

    Memory and travel ``O(B D)`` for the ``B`` rows that all ranks together ask for.

    Args:
        x: The rows of this rank.
        index: Which it wants.
        ranks: All of them.

    Shapes:
        x: ``(n_r, D)``; index: ``(b_r,)`` int64; returns: ``(b_r, D)``.

    Raises:
        InputError: A number that no rank has.
    """
    lengths = ranks.lengths(x)
    wanted = all_rows(index, ranks)
    asked = ranks.lengths(index)
    if len(wanted) and (int(wanted.min()) < 0 or int(wanted.max()) >= sum(lengths)):
        raise InputError(
            f"rows of all ranks are numbered 0 .. {sum(lengths) - 1}; got {int(wanted.min())} .. {int(wanted.max())}"
        )
    here = wanted - sum(lengths[: ranks.rank])
    mine = (here >= 0) & (here < len(x))
    rows = x.index_select(0, torch.where(mine, here, 0)) * mine[:, None].to(x.dtype)
    return all_sum(rows, ranks).narrow(0, sum(asked[: ranks.rank]), len(index))


def rank_mean(value: Tensor, weight: float, ranks: Ranks) -> Tensor:
    """The loss of all rows, out of each rank's mean over its own: the same number everywhere.

    ``sum_r w_r value_r / sum_r w_r``; backwards it is ``P w_r / sum w`` times the rank's own value, so that the average of the
    ranks' gradients is the gradient of the loss of all rows, however unequal their shares are.

    Args:
        value: Mean over the rows of this rank.
        weight: How much they are: their number, or the sum of their weights; 0 for a rank that has nothing to say.
        ranks: All of them.

    Shapes:
        value: scalar; returns: scalar.

    Raises:
        InputError: Weights that are 0 on all ranks, on every one of them.
    """
    both = torch.stack([value.detach().double() * weight, torch.tensor(weight, dtype=torch.float64, device=value.device)])
    dist.all_reduce(both, group=ranks.group)
    total = float(both[1])
    if not total > 0:
        raise InputError(f"the weights of all ranks must add up to more than 0; they are {total:g} in all: is the batch empty?")
    own = value * (ranks.size * weight / total)
    return (own - own.detach()) + (both[0] / total).to(own.dtype)  # in this order the same bits everywhere


class _AllRows(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, ranks: Ranks) -> Tensor:
        lengths = ranks.lengths(x)
        ctx.ranks, ctx.start, ctx.length = ranks, sum(lengths[: ranks.rank]), len(x)
        widest = max(lengths)
        padded = x.contiguous()
        if len(x) < widest:  # not every backend takes parts of different lengths
            padded = torch.cat([x, x.new_zeros(widest - len(x), *x.shape[1:])])
        parts = [torch.empty_like(padded) for _ in lengths]
        dist.all_gather(parts, padded, group=ranks.group)
        return torch.cat([part[:length] for part, length in zip(parts, lengths, strict=True)])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        total = grad.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total, group=ctx.ranks.group)
        return total.narrow(0, ctx.start, ctx.length), None


class _AllSum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, ranks: Ranks) -> Tensor:
        ctx.ranks = ranks
        return _summed(x, ranks)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return _summed(grad, ctx.ranks), None


class _AllLSE(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, ranks: Ranks) -> Tensor:
        top = x.amax(0)
        dist.all_reduce(top, op=dist.ReduceOp.MAX, group=ranks.group)
        shift = top.masked_fill(top == -torch.inf, 0.0)
        lse = _summed((x - shift).exp_().sum(0), ranks).log_().add_(shift)
        ctx.ranks = ranks
        ctx.save_for_backward(x, lse)
        return lse

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        x, lse = ctx.saved_tensors
        return _summed(grad, ctx.ranks) * part_of(x, lse), None


def part_of(part: Tensor, lse: Tensor) -> Tensor:
    """``exp(part - lse)``, the share of a part in a sum; 0 where there is no sum.

    Shapes:
        part, lse: the same; returns: the same.
    """
    return (part - lse.masked_fill(lse == -torch.inf, 0.0)).exp()


def _summed(x: Tensor, ranks: Ranks) -> Tensor:
    total = x.clone(memory_format=torch.contiguous_format)
    dist.all_reduce(total, group=ranks.group)
    return total


_KINDS = (torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int32)


def _signature(x: Tensor) -> list[int]:
    """Number of dimensions, product of all but the first, type: what must agree."""
    kind = _KINDS.index(x.dtype) if x.dtype in _KINDS else len(_KINDS)
    return [x.ndim, x[:1].numel() if len(x) else torch.Size(x.shape[1:]).numel(), kind]


def _named(code: list[int]) -> str:
    kind = str(_KINDS[code[3]]).removeprefix("torch.") if code[3] < len(_KINDS) else "another type"
    return f"{code[1]} dimensions, {code[2]} numbers a row, {kind}"
