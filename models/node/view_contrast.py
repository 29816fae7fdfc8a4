"""How two views of all nodes are contrasted: any loss of two views, any estimator of the negatives."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from graphcl.errors import InputError
from graphcl.evaluation import quick_clusters
from graphcl.losses import two_view_loss, unit_rows
from graphcl.negatives import CLUSTERED, NegativesName, named_negatives


class ViewContrast(nn.Module):
    """A loss by name with an estimator by name, and the clusters that some estimators stand on.

    Exact: time ``O(N N D)``, memory ``O(N D)``. Estimators that stand on clusters get ``sqrt N`` of them from mini-batch
    k-means on unit rows, before every epoch; meta-nodes go with losses whose negatives are in one view, ``"info-nce"`` for one.

    Args:
        temperature: Divides the similarity, in the losses that have one.
        loss: One of `graphcl.losses.TWO_VIEWS`.
        negatives: One of `graphcl.negatives.NegativesName`; ``"exact"`` leaves losses that take no estimator as they are.

    Shapes:
        first, second: ``(N, D)``, row ``i`` pairs with row ``i``; returns: scalar.

    Raises:
        InputError: Unknown names, a temperature out of range, or a loss and an estimator that do not go together.
    """

    def __init__(self, temperature: float, *, loss: str = "nt-xent", negatives: NegativesName = "exact") -> None:
        super().__init__()
        self.temperature, self.loss, self.negatives = temperature, loss, negatives
        estimator = None if negatives == "exact" else named_negatives(negatives, torch.zeros(2, dtype=torch.int64), 1)
        self.criterion = two_view_loss(loss, temperature, estimator)
        self.both_views = getattr(self.criterion, "intra", False) is True  # candidates are then two for each node
        if negatives in CLUSTERED:
            self._place(torch.tensor([0, 0, 1, 1]), 2)
            self.criterion(torch.eye(4), torch.eye(4))  # what does not go together shows now
            self.ready = False

    @property
    def clustered(self) -> bool:
        """Whether the estimator stands on clusters, so that `refresh` has to be called."""
        return self.negatives in CLUSTERED

    def refresh(self, z: Tensor, *, seed: int = 0) -> None:
        """Finds the clusters of the nodes, on one thread; of no effect where the estimator needs none.

        Args:
            z: What is contrasted, of the whole graph.
            seed: Of k-means: the epoch, so that a run that goes on finds the same.

        Shapes:
            z: ``(N, D)``.
        """
        if not self.clustered:
            return
        self._place(*quick_clusters(unit_rows(z.detach()), seed=seed))

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """The loss of two views."""
        if self.clustered and not self.ready:
            raise InputError(f"negatives '{self.negatives}' stand on clusters: call on_epoch_start before the first step")
        loss: Tensor = self.criterion(first, second)
        return loss

    def extra_repr(self) -> str:
        """What is contrasted how, for ``print``."""
        return f"{self.loss}, temperature={self.temperature:g}, negatives={self.negatives}"

    def _place(self, clusters: Tensor, count: int) -> None:
        assignment = clusters.repeat(2) if self.both_views else clusters
        self.criterion = two_view_loss(self.loss, self.temperature, named_negatives(self.negatives, assignment, count))
        self.ready = True
