"""How the views of one side, users or items, are contrasted: any loss, any estimator, in the batch or over everybody."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor, nn

from graphcl.errors import InputError, unknown_name
from graphcl.evaluation import quick_clusters
from graphcl.losses import FullSoftmax, two_view_loss, unit_rows
from graphcl.negatives import CLUSTERED, Negatives, NegativesName, named_negatives

Candidates = Literal["batch", "all"]


class SideContrast(nn.Module):
    """The rows of one view find their own rows in the other.

    With ``"info-nce"``, ``mean_b -log(exp(s_bb / t) / sum_k exp(s_bk / t))`` over the distinct rows ``b`` of a batch, where
    ``k`` runs over these rows of the second view or over all of them; the sum is that of the estimator. Any other loss
    meets the rows of the batch alone; ``"w-mse"`` needs more of them than ``D``. Exact over all ``N`` rows: time
    ``O(B N D)``, memory ``O((B + N) D)``; the logits are met in tiles. Estimators that stand on clusters get k-means of the
    second view once an epoch.

    Args:
        temperature: Divides the similarity.
        loss: One of `graphcl.losses.TWO_VIEWS`.
        negatives: One of `graphcl.negatives.NegativesName`.
        candidates: ``"batch"``, or ``"all"`` rows of the second view.
        similarity: ``"cosine"`` or ``"dot"``; losses other than ``"info-nce"`` have their own.

    Shapes:
        first, second: ``(N, D)``; ids: ``(B,)``; weight: ``(B,)``; returns: scalar.

    Raises:
        InputError: Unknown names, a value out of range, or a loss that does not go with estimator or candidates.
    """

    def __init__(
        self,
        temperature: float,
        *,
        loss: str = "info-nce",
        negatives: NegativesName = "exact",
        candidates: Candidates = "batch",
        similarity: Literal["cosine", "dot"] = "cosine",
    ) -> None:
        super().__init__()
        if candidates not in get_args(Candidates):
            raise unknown_name("kind of candidates", candidates, get_args(Candidates))
        if candidates == "all" and loss != "info-nce":
            raise InputError(f"loss '{loss}' contrasts the rows of a batch: candidates='all' goes with 'info-nce' alone")
        self.temperature, self.loss, self.negatives = temperature, loss, negatives
        self.candidates, self.similarity = candidates, similarity
        self._clusters: Tensor | None = None
        self._num_clusters = 0
        self._over_all: Negatives | None = None
        # What is wrong with the names shows now, not after the data were read.
        estimator = named_negatives(negatives, torch.zeros(2, dtype=torch.int64), 1)
        self._make(None if negatives == "exact" else estimator)

    def refresh(self, second: Tensor, *, seed: int = 0) -> None:
        """Finds the clusters of the second view, ``sqrt N`` of them, where the estimator stands on some.

        `quick_clusters`, of unit rows under cosine. To be called before the first batch of an epoch.

        Raises:
            InputError: Values that are not finite.
        """
        if self.negatives not in CLUSTERED:
            return
        rows = unit_rows(second.detach()) if self.similarity == "cosine" else second
        self._clusters, self._num_clusters = quick_clusters(rows, seed=seed)
        self._over_all = named_negatives(self.negatives, self._clusters, self._num_clusters)

    def forward(self, first: Tensor, second: Tensor, ids: Tensor, weight: Tensor | None = None) -> Tensor:
        """The loss of a batch; 0 for a batch of one row, which has nothing to differ from.

        Args:
            first: The view of the anchors.
            second: The view of the candidates.
            ids: Rows of the batch, each once.
            weight: Of these rows, of ``"info-nce"``: how often each stood in the batch, for example.
        """
        anchors = first.index_select(0, ids)
        if self.candidates == "all":
            return self._info_nce(anchors, second, ids, weight, self._estimator(None))
        pairs = second.index_select(0, ids)
        if len(ids) < 2:
            return 0.0 * (anchors.sum() + pairs.sum())
        estimator = self._estimator(ids)
        if self.loss == "info-nce":
            return self._info_nce(anchors, pairs, torch.arange(len(ids), device=ids.device), weight, estimator)
        loss: Tensor = self._make(None if self.negatives == "exact" else estimator)(anchors, pairs)
        return loss

    def extra_repr(self) -> str:
        """What is contrasted how, for ``print``."""
        return f"{self.loss}, temperature={self.temperature:g}, negatives={self.negatives}, candidates={self.candidates}"

    def _info_nce(self, anchors: Tensor, rows: Tensor, at: Tensor, weight: Tensor | None, estimator: Negatives) -> Tensor:
        loss: Tensor = FullSoftmax(self.temperature, similarity=self.similarity, negatives=estimator)(
            anchors, rows, at, weight=weight
        )
        return loss

    def _make(self, estimator: Negatives | None) -> nn.Module:
        return two_view_loss(self.loss, self.temperature, estimator)

    def _estimator(self, ids: Tensor | None) -> Negatives:
        if self.negatives not in CLUSTERED:
            return named_negatives(self.negatives)
        if self._clusters is None:
            raise InputError(f"negatives '{self.negatives}' stand on clusters: call refresh before the first batch")
        if ids is None:
            assert self._over_all is not None
            return self._over_all
        return named_negatives(self.negatives, self._clusters.index_select(0, ids), self._num_clusters)
