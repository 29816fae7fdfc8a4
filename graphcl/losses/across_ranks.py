"""A loss of rows that lie on several ranks, equal in value and gradients to the loss of all rows on one."""

from __future__ import annotations

import copy
from typing import Literal, TypeAlias, get_args

import torch
from torch import Tensor, nn

from graphcl.errors import InputError, unknown_name
from graphcl.kernels import Columns, Rule
from graphcl.kernels.pair_ranks import pair_lse_ranks
from graphcl.kernels.ranks import Ranks, all_rows, rank_mean, rows_of_ranks
from graphcl.losses.alignment import Alignment
from graphcl.losses.anchors import anchor_mean, check_ids
from graphcl.losses.barlow_twins import BarlowTwins
from graphcl.losses.bpr import BPR
from graphcl.losses.cca_ssg import CCASSG
from graphcl.losses.full_softmax import FullSoftmax
from graphcl.losses.links import coupled, decoupled, shared
from graphcl.losses.moments_across_ranks import moment_loss
from graphcl.losses.pair_loss import PairLoss
from graphcl.losses.temperature import LearnableTemperature
from graphcl.losses.vicreg import VICReg
from graphcl.losses.views import full_precision, unit_rows
from graphcl.negatives import Exact
from graphcl.negatives.across_ranks import ShardedExact, ShardedMetaNode

Way: TypeAlias = Literal["ring", "gather", "whole"]
_MEMORY = ("Queue", "GlobalAverage", "ISogCLR", "SwAV")  # what they remember would have to be one thing on all ranks


class AcrossRanks(nn.Module):
    """The loss of the rows of all ranks, called with the rows of this one.

    Every rank gets the same number. The average of the ranks' gradients, as `torch.nn.parallel.DistributedDataParallel`
    makes it, is the gradient of the loss of all rows on one process, also where ranks hold different numbers of rows.

    What travels: exact contrast of two views (`PairLoss` with `Exact`: ``info-nce``, ``nt-xent``, ``dcl``, ``dhel``, ``nscl``)
    its candidates, round a ring or gathered; with `ShardedMetaNode` the sums of clusters; `FullSoftmax` over a catalogue
    whose items are shared out, the items; ``cca-ssg``, ``barlow-twins`` and ``vicreg`` their moments. ``alignment`` and ``bpr``
    are means of rows: nothing but their number. Every other loss of rows goes with ``way="whole"``: all rows are gathered, and
    every rank computes the loss of all, ``O(N D)`` memory and no less time than one process. Losses that remember rows or
    instances from step to step are refused.

    Args:
        loss: As for one process; its own state is not touched.
        ranks: All of them.
        way: ``"ring"``, ``"gather"`` or ``"whole"``.

    Shapes:
        as the loss, with ``n_r`` rows; ids mean the same on every rank. Of `FullSoftmax`: items ``(m_r, D)``, bias and ids
        ``(m_r,)`` of this rank's items, target and the columns of seen numbered over the items of all ranks.

    Raises:
        InputError: A loss or an argument that cannot be had across ranks in this way; fewer than two rows, or two ids, on a
            rank.
    """

    def __init__(self, loss: nn.Module, ranks: Ranks, *, way: Way = "ring") -> None:
        super().__init__()
        if way not in get_args(Way):
            raise unknown_name("way across ranks", way, get_args(Way))
        held = getattr(loss, "negatives", None)
        for part in (loss, held):
            if type(part).__name__ in _MEMORY:
                raise InputError(
                    f"{type(part).__name__} remembers rows or instances from step to step, on each rank others: train it by "
                    "one process, or take a loss without memory"
                )
        self.ranks, self.way = ranks, way
        self.loss = loss
        if way == "whole":
            return
        if isinstance(loss, PairLoss):
            self.loss = _sharded(loss, ranks, way)
        elif not isinstance(loss, FullSoftmax | CCASSG | BarlowTwins | VICReg | Alignment | BPR):
            raise InputError(f"{type(loss).__name__} is no sum over ranks that is known here: use way='whole'")
        elif isinstance(loss, FullSoftmax) and type(loss.negatives) is not Exact:
            raise InputError(f"a catalogue that is shared out over ranks takes exact negatives; got {loss.negatives!r}")

    def forward(
        self,
        first: Tensor,
        second: Tensor,
        target: Tensor | None = None,
        *,
        ids: Tensor | None = None,
        labels: Tensor | None = None,
        bias: Tensor | None = None,
        seen: tuple[Tensor, Tensor] | None = None,
        weight: Tensor | None = None,
    ) -> Tensor:
        """The loss of all rows.

        Args:
            first: This rank's rows of the first view, or its queries or positive scores.
            second: The same of the second view, or its items or negative scores.
            target: Of `FullSoftmax` alone: the number of each chosen item among the items of all ranks.
            ids: Of the rows, or of the items of `FullSoftmax`, where the loss takes some.
            labels: Of the rows, with ``way="whole"`` alone.
            bias: Of this rank's items, `FullSoftmax` alone.
            seen: `FullSoftmax` alone: items that are no negatives, by their number among those of all ranks.
            weight: Of the rows in the mean, where the loss takes one; a constant.
        """
        if isinstance(self.loss, FullSoftmax) and self.way != "whole":
            if target is None or labels is not None:
                raise InputError("a full softmax takes a target for each query, the number of an item, and no labels")
            value = self._full_softmax(self.loss, first, second, target, ids, bias, seen, weight)
            return rank_mean(value, _amount(first, weight), self.ranks)
        if target is not None or bias is not None or seen is not None:
            raise InputError("target, bias and seen belong to a full softmax across ranks, with way='ring' or 'gather'")
        if self.way == "whole":
            whole = {"ids": ids, "labels": labels, "weight": weight}
            given = {name: all_rows(part, self.ranks) for name, part in whole.items() if part is not None}
            both = all_rows(first, self.ranks)
            loss: Tensor = self.loss(both, both if second is first else all_rows(second, self.ranks), **given)
            return loss
        if labels is not None:
            raise InputError("labels join rows of all ranks: use way='whole', or ids where they only part negatives")
        if isinstance(self.loss, CCASSG | BarlowTwins | VICReg):
            if ids is not None or weight is not None:
                raise InputError("moments across ranks take neither ids nor weight: use way='whole'")
            return moment_loss(self.loss, first, second, self.ranks)
        if isinstance(self.loss, PairLoss):
            lengths = self.ranks.lengths(first)
            if min(lengths) < 2:
                raise InputError(f"contrast needs at least 2 rows on every rank; got {lengths}: share them out more evenly")
            if ids is not None:
                ends = all_rows(torch.stack([ids.min(), ids.max()])[None], self.ranks)
                if bool((ends[:, 0] == ends[:, 1]).any()):
                    raise InputError("ids are all equal on a rank; at least two must differ on each: share rows out otherwise")
        given = {name: part for name, part in (("ids", ids), ("weight", weight)) if part is not None}
        return rank_mean(self.loss(first, second, **given), _amount(first, weight), self.ranks)

    def extra_repr(self) -> str:
        """Ranks and way, for ``print``."""
        return f"ranks={self.ranks.size}, way={self.way!r}"

    def _full_softmax(
        self,
        loss: FullSoftmax,
        queries: Tensor,
        items: Tensor,
        target: Tensor,
        ids: Tensor | None,
        bias: Tensor | None,
        seen: tuple[Tensor, Tensor] | None,
        weight: Tensor | None,
    ) -> Tensor:
        """The mean over this rank's queries."""
        ranks = self.ranks
        if len(queries) == 0 or target.shape != (len(queries),) or target.is_floating_point():
            raise InputError(
                f"there must be a query, and target be ({len(queries)},) integers, the item that each chose; got "
                f"{tuple(target.shape)} {target.dtype}"
            )
        dtype = torch.promote_types(torch.promote_types(queries.dtype, items.dtype), torch.float32)
        queries, items, target = queries.to(dtype), items.to(dtype), target.long()
        start = sum(ranks.lengths(items)[: ranks.rank])
        names = torch.arange(start, start + len(items), device=items.device)
        different = None
        if ids is not None:
            check_ids("ids", ids, len(items), differ=False)
            different = all_rows(ids, ranks).index_select(0, target), ids
        with full_precision(queries):
            if loss.similarity == "cosine":
                queries, items = unit_rows(queries), unit_rows(items)
            scale = loss.temperature() if isinstance(loss.temperature, LearnableTemperature) else 1.0 / loss.temperature
            positive = scale * (queries * rows_of_ranks(items, target, ranks)).sum(1)
            columns = Columns(items, None if bias is None else bias.to(dtype), names)
            rule = Rule(exclude=target, different=different, seen=seen)
            sweep: Literal["ring", "gather"] = "gather" if self.way == "gather" else "ring"
            log_z = pair_lse_ranks(queries, columns, scale=scale, rule=rule, ranks=ranks, sweep=sweep)
            if bias is not None:
                positive = positive + rows_of_ranks(bias.to(dtype)[:, None], target, ranks).squeeze(1)
            return anchor_mean(coupled(positive, log_z), weight)


def _sharded(loss: PairLoss, ranks: Ranks, way: Literal["ring", "gather"]) -> PairLoss:
    """A copy whose negatives are those of all ranks."""
    if loss.link not in (coupled, decoupled, shared):
        raise InputError(f"the link {loss.link!r} may look at all rows of a batch: use way='whole'")
    if not isinstance(loss.negatives, ShardedMetaNode) and type(loss.negatives) is not Exact:
        raise InputError(
            f"negatives across ranks are exact, or ShardedMetaNode; got {loss.negatives!r}. All others go with way='whole'"
        )
    other = copy.copy(loss)
    if isinstance(loss.negatives, Exact):
        other.negatives = ShardedExact(ranks, sweep=way, bf16=loss.negatives.bf16)
    return other


def _amount(rows: Tensor, weight: Tensor | None) -> float:
    return float(len(rows)) if weight is None else float(weight.detach().sum())
