"""A batch stands in for the data set: its sums are averaged over the steps, instance by instance."""

from __future__ import annotations

from torch import Tensor, nn

from graphcl.errors import InputError
from graphcl.kernels import Columns, Rule, pair_lse
from graphcl.negatives.count import log_count
from graphcl.negatives.log_average import LogAverage, follow


class GlobalAverage(nn.Module):
    """``log(N_i u_i)`` with ``u_i`` a moving average, over the steps, of the mean of ``exp(l_ij)`` over the batch's negatives.

    The log of a batch's mean is too low on average; that of a mean over many batches is not, so small batches come to train
    as large ones do. The value is therefore no function of this batch alone, and its gradient is not the value's own: it is
    ``sum_j e^(l_ij) / (N_i u_i) dl_ij``, that of ``Exact`` times batch mean over moving average, and that of ``Exact`` itself
    at ``gamma = 1``. Link: ``decoupled``. Only training moves the average; evaluation blends, and stores nothing. One sweep,
    time ``O(N M D)``, memory ``O((N + M) D)``; state of 5 bytes an instance.

    The views of an instance share ``u``, which every call visits: a loss of two directions visits it twice in a step,
    the second on top of the first, and leaves ``(1 - gamma)^2`` of the past. For a share ``g`` of news a step take
    ``gamma = 1 - sqrt(1 - g)``.

    Yuan et al., 2022 (SogCLR), https://arxiv.org/abs/2202.12387. Differs from the official code, which averages both
    directions of a step: here they come one after the other. `graphcl.losses.ISogCLR` averages them.

    Args:
        num_instances: Instances of the data set; their ids ``0 .. num_instances - 1`` are those given to the loss.
        gamma: Share of what is new, in ``(0, 1]``.

    Raises:
        InputError: Arguments out of range; a rule without ``different`` ids, which say whose average it is; unknown ids.
    """

    reads_ids = True

    def __init__(self, num_instances: int, *, gamma: float = 0.9) -> None:
        super().__init__()
        self.average = LogAverage(num_instances, gamma)

    def log_z(self, anchors: Tensor, candidates: Tensor, *, scale: float | Tensor, rule: Rule) -> Tensor:
        """Log of the averaged sum.

        Shapes:
            anchors: ``(N, D)``; candidates: ``(M, D)``; returns: ``(N,)``.
        """
        if rule.different is None:
            raise InputError("an average for each instance needs to know the instances: pass ids to the loss")
        ids = rule.different[0]
        exact = pair_lse(anchors, Columns(candidates), scale=scale, rule=rule)
        self.average.check(ids)
        count = log_count(anchors, candidates, rule).to(exact)
        log_u = self.average.blend(ids, exact.detach() - count)
        if self.training:
            self.average.store(ids, log_u)
        return follow(exact, log_u + count)
