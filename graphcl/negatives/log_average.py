"""A moving average of positive numbers for each instance, kept as logarithms."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from graphcl.errors import InputError


class LogAverage(nn.Module):
    """``u_i <- (1 - gamma) u_i + gamma g_i`` for the instances of a batch, and ``u_i = g_i`` at the first visit.

    ``blend`` says what ``u`` would become and ``store`` makes it so: what comes twice, as two views do or an instance drawn
    twice, is averaged in the store. Time and memory ``O(N)``; state of 5 bytes an instance.

    Args:
        num_instances: Instances ``0 .. num_instances - 1``.
        gamma: Share of what is new, in ``(0, 1]``; at 1 nothing is remembered.

    Raises:
        InputError: No instances, or a share out of range.
    """

    log_u: Tensor
    visited: Tensor

    def __init__(self, num_instances: int, gamma: float) -> None:
        super().__init__()
        if num_instances < 1:
            raise InputError(f"num_instances must be >= 1, the size of the data set; got {num_instances}")
        if not 0 < gamma <= 1:
            raise InputError(f"gamma must be in (0, 1], the share of what is new in the moving average; got {gamma}")
        self.gamma = gamma
        self.register_buffer("log_u", torch.zeros(num_instances))
        self.register_buffer("visited", torch.zeros(num_instances, dtype=torch.bool))

    def check(self, ids: Tensor) -> None:
        """Refuses ids of instances that are not there; on the CPU only.

        Shapes:
            ids: ``(N,)`` integers.

        Raises:
            InputError: An id outside ``0 .. num_instances - 1``.
        """
        if not ids.is_cuda and len(ids) and (int(ids.min()) < 0 or int(ids.max()) >= len(self.log_u)):
            raise InputError(
                f"ids must lie in 0 .. {len(self.log_u) - 1}, one for each instance of the data set; got {int(ids.min())} .. "
                f"{int(ids.max())}. Was the moving average made for another one?"
            )

    @torch.no_grad()
    def blend(self, ids: Tensor, log_g: Tensor) -> Tensor:
        """Log of the average that each row would leave; the state stays as it is.

        Args:
            ids: Instances.
            log_g: Log of what is new.

        Shapes:
            ids, log_g: ``(N,)``; returns: ``(N,)``, type of ``log_g``.
        """
        if self.gamma == 1:
            return log_g.clone()
        past = self.log_u.index_select(0, ids).to(log_g.dtype) + math.log1p(-self.gamma)
        mixed = torch.logaddexp(past, log_g + math.log(self.gamma))
        return torch.where(self.visited.index_select(0, ids), mixed, log_g)

    @torch.no_grad()
    def store(self, ids: Tensor, log_u: Tensor) -> None:
        """Puts averages in place of the old ones; of one instance their mean. What is not finite changes nothing.

        Shapes:
            ids, log_u: ``(N,)``.
        """
        names, place = torch.unique(ids, return_inverse=True)
        top = log_u.new_full((len(names),), -torch.inf).scatter_reduce(0, place, log_u, "amax")
        shifted = (log_u - top.index_select(0, place)).exp()
        share = log_u.new_zeros(len(names)).index_add(0, place, shifted) / torch.bincount(place, minlength=len(names))
        mean = (top + share.log()).to(self.log_u.dtype)
        there = mean.isfinite()
        self.log_u[names] = torch.where(there, mean, self.log_u[names])
        self.visited[names] = self.visited[names] | there

    def extra_repr(self) -> str:
        """Size and share, for ``print``."""
        return f"{len(self.log_u)}, gamma={self.gamma:g}"


def follow(log_z: Tensor, log_total: Tensor) -> Tensor:
    """Value ``log_total``, gradient ``sum_j e^(l_ij) / e^(log_total_i) dl_ij``: that of the sum over its moving average.

    Args:
        log_z: Exact log-partition of the batch, ``-inf`` for an anchor without negatives, which stays.
        log_total: What stands in for it, a constant.

    Shapes:
        log_z, log_total: ``(N,)``; returns: ``(N,)``.
    """
    empty = torch.isneginf(log_z.detach())
    here = log_z.masked_fill(empty, 0.0)
    total = log_total.detach().masked_fill(empty, 0.0)
    share = (here.detach() - total).exp()
    return (total + share * (here - here.detach())).masked_fill(empty, -torch.inf)
