"""How views of histories are contrasted: any loss and any estimator, against the rest of the batch or against items."""

from __future__ import annotations

from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor, nn

from graphcl.errors import InputError, unknown_name
from graphcl.evaluation import quick_clusters
from graphcl.kernels import Rule, segment_sum
from graphcl.losses import PairLoss, check_temperature, coupled, two_view_loss
from graphcl.losses.views import check_pairs, full_precision
from graphcl.negatives import CLUSTERED, Negatives, NegativesName, check_negatives, named_negatives

Candidates = Literal["batch", "items"]


class Clusters(NamedTuple):
    """Which cluster each row is in.

    Shapes:
        of: ``(B,)`` int64 in ``0 .. number - 1``.
    """

    of: Tensor
    number: int


class SequenceContrast(nn.Module):
    """Two views of the same rows agree, and differ from the rest.

    With ``"nt-xent"``, over the ``2 B`` rows of both views, ``mean_r -log(exp(s_rp / t) / sum_{k != r} exp(s_rk / t))`` where
    ``p`` is the other view of ``r`` and ``s`` the inner product, of rows as they are. Rows with equal ids are no negatives of
    each other; where all ids are equal nobody has a negative, and the loss is 0. ``"info-nce"`` meets the rows of the other
    view alone; the sum is that of the estimator. Any other loss is taken as it is, with the similarity of its own. With
    ``candidates="items"`` the negatives of both views are all items but the target, whose space the states share.

    Exact over the batch: time ``O(B B D)``, memory ``O(B D)``. Estimators that stand on clusters take those of the items, found
    once an epoch: a row of a batch is in the cluster of its target. Rows of one id are then one candidate, their mean, as often
    as there are of them, so ids must lie within clusters.

    Args:
        temperature: Divides the similarity.
        loss: One of `graphcl.losses.TWO_VIEWS`.
        negatives: One of `graphcl.negatives.NegativesName`.
        candidates: Whom the views differ from: the rest of the ``"batch"``, or ``"items"``.
        masked: Whether ids will come along; refused here where the loss takes none.

    Raises:
        InputError: Unknown names, a value out of range, or a loss that does not go with estimator, candidates or ids.
    """

    def __init__(
        self,
        temperature: float = 1.0,
        *,
        loss: str = "nt-xent",
        negatives: NegativesName = "exact",
        candidates: Candidates = "batch",
        masked: bool = False,
    ) -> None:
        super().__init__()
        if candidates not in get_args(Candidates):
            raise unknown_name("kind of candidates", candidates, get_args(Candidates))
        self.temperature = check_temperature(temperature)
        self.loss, self.negatives, self.candidates = loss, negatives, candidates
        self._of_items: Clusters | None = None
        estimator = named_negatives(negatives, torch.zeros(2, dtype=torch.int64), 1)
        other = two_view_loss(loss, temperature, None if negatives == "exact" else estimator)
        self._plain = loss in ("nt-xent", "info-nce")
        if candidates == "items" and not self._plain:
            raise InputError(
                f"loss '{loss}' contrasts the rows of a batch: candidates='items' goes with 'nt-xent' or 'info-nce'"
            )
        if masked and not isinstance(other, PairLoss):
            raise InputError(f"loss '{loss}' takes no ids, so it cannot spare false negatives: switch their mask off")

    @property
    def clustered(self) -> bool:
        """Whether the estimator stands on clusters."""
        return self.negatives in CLUSTERED

    def refresh(self, items: Tensor, *, seed: int) -> None:
        """Finds ``sqrt I`` clusters of the items where the estimator stands on some; to be called before an epoch.

        Shapes:
            items: ``(I, D)``.

        Raises:
            InputError: Values that are not finite.
        """
        if self.clustered:
            self._of_items = Clusters(*quick_clusters(items.detach(), seed=seed))

    def forward(self, first: Tensor, second: Tensor, target: Tensor, items: Tensor, *, ids: Tensor | None = None) -> Tensor:
        """The loss of states; 0 for a batch of one row in a contrast within the batch.

        Args:
            first: States of one view.
            second: States of the other.
            target: The item that each row leads to.
            items: The catalogue.
            ids: Rows with equal ones are no negatives of each other; all differ when ``None``.

        Shapes:
            first, second: ``(B, D)``; target, ids: ``(B,)``; items: ``(I, D)``; returns: scalar.
        """
        target = target.to(first.device)
        if self.candidates == "items":
            return self._among_items(first, second, target, items)
        return self.within(first, second, ids=ids, clusters=self.clusters(target))

    def clusters(self, target: Tensor) -> Clusters | None:
        """Clusters of some items, for rows that lead to them; ``None`` where the estimator needs none.

        Shapes:
            target: ``(B,)``.

        Raises:
            InputError: They were never found.
        """
        if not self.clustered:
            return None
        of, number = self._found()
        return Clusters(of.index_select(0, target.to(of.device)), number)

    def within(self, first: Tensor, second: Tensor, *, ids: Tensor | None = None, clusters: Clusters | None = None) -> Tensor:
        """The loss against the rest of the batch, whose rows may be no states.

        Args:
            first: Rows of one view.
            second: Rows of the other.
            ids: As above.
            clusters: Of the rows; used where the estimator stands on clusters.

        Shapes:
            first, second: ``(B, D)``; ids: ``(B,)``; returns: scalar.
        """
        ids = None if ids is None else ids.to(first.device)
        if len(first) < 2 or (ids is not None and bool((ids == ids[0]).all())):
            return 0.0 * (first.sum() + second.sum())
        intra = self.loss == "nt-xent"
        if self.clustered and clusters is None:
            raise InputError(f"negatives '{self.negatives}' stand on clusters, and these rows have none")
        if not self._plain:
            estimator = None if self.negatives == "exact" else self._estimator(clusters, intra)
            other = two_view_loss(self.loss, self.temperature, estimator)
            loss: Tensor = other(first, second) if ids is None else other(first, second, ids=ids)
            return loss
        if self.negatives.startswith("meta-node"):
            assert clusters is not None
            return self._meta_nodes(first, second, ids, clusters, intra)
        pairs = PairLoss(
            coupled,
            negatives=self._estimator(clusters, intra),
            temperature=self.temperature,
            similarity="dot",
            intra=intra,
        )
        loss = pairs(first, second, ids=ids)
        return loss

    def extra_repr(self) -> str:
        """What is contrasted how, for ``print``."""
        return f"{self.loss}, temperature={self.temperature:g}, negatives={self.negatives}, candidates={self.candidates}"

    def _estimator(self, clusters: Clusters | None, intra: bool) -> Negatives:
        if clusters is None:
            return named_negatives(self.negatives)
        return named_negatives(self.negatives, torch.cat([clusters.of, clusters.of]) if intra else clusters.of, clusters.number)

    def _found(self) -> Clusters:
        if self._of_items is None:
            raise InputError(f"negatives '{self.negatives}' stand on clusters: call refresh before the first batch")
        return self._of_items

    def _among_items(self, first: Tensor, second: Tensor, target: Tensor, items: Tensor) -> Tensor:
        check_pairs(torch.cat([first, first]), torch.cat([second, second]))
        with full_precision(first):
            first, second = _working(first), _working(second)
            both = torch.cat([target, target])
            estimator = self._estimator(self._found() if self.clustered else None, intra=False)
            positive = (first * second).sum(1) / self.temperature
            log_z = estimator.log_z(
                torch.cat([first, second]), items.to(first.dtype), scale=1 / self.temperature, rule=Rule(exclude=both)
            )
            return coupled(torch.cat([positive, positive]), check_negatives(log_z)).mean()

    def _meta_nodes(self, first: Tensor, second: Tensor, ids: Tensor | None, clusters: Clusters, intra: bool) -> Tensor:
        """Rows of one id are one candidate, which its anchors leave out as a whole; each view has its own meta-nodes."""
        check_pairs(first, second)
        group, size = torch.arange(len(first), device=first.device), None
        if ids is not None:
            _, group, size = torch.unique(ids, return_inverse=True, return_counts=True)
        groups = len(group) if size is None else len(size)
        with full_precision(first):
            first, second = _working(first), _working(second)
            count = torch.ones_like(first[:, 0]) if size is None else size.to(first.dtype)
            # Whichever row of a group comes last: all are in one cluster.
            of = clusters.of.new_zeros(groups).scatter_(0, group, clusters.of)
            weights = first.new_zeros(groups, clusters.number).scatter_(1, of[:, None], count[:, None])
            estimator = named_negatives(self.negatives, weights, clusters.number)

            def log_z(anchors: Tensor, rows: Tensor) -> Tensor:
                means = rows if size is None else segment_sum(rows, group, groups) / count[:, None]
                return estimator.log_z(anchors, means, scale=1 / self.temperature, rule=Rule(exclude=group))

            positive = (first * second).sum(1) / self.temperature
            terms = []
            for own, other in ((first, second), (second, first)):
                rest = torch.logaddexp(log_z(own, other), log_z(own, own)) if intra else log_z(own, other)
                terms.append(coupled(positive, check_negatives(rest)))
            return torch.cat(terms).mean()


def _working(rows: Tensor) -> Tensor:
    return rows.to(torch.promote_types(rows.dtype, torch.float32))
