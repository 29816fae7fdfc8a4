"""What SimGCL and XSimGCL share: layers shaken by noise instead of graphs with holes."""

from __future__ import annotations

import torch
from torch import Tensor

from graphcl.errors import InputError
from graphcl.losses.standardise import check_weight
from graphcl.negatives import CLUSTERED, NegativesName
from graphcl.recsys.graph import Bipartite, polynomial
from graphcl.recsys.sampling import Triples
from graphcl.recsys.systems.contrast import Candidates, SideContrast
from graphcl.recsys.systems.system import Init, Layers, RecommendationSystem


@torch.no_grad()
def noise_like(rows: Tensor, eps: float) -> Tensor:
    """``eps sign(z) n / |n|`` for each row ``z``, ``n`` uniform in the unit cube: a step of length ``eps`` away from the axes.

    A coordinate that is 0 has no sign and stays, so that the rows of nodes without neighbours are left alone.

    Shapes:
        rows: ``(N, D)``; returns: the same, without gradient.
    """
    noise = torch.rand_like(rows)
    length = noise.norm(dim=1, keepdim=True).clamp_(min=torch.finfo(rows.dtype).tiny)
    return noise.mul_(eps / length).mul_(rows.sign())


def noisy_layers(graph: Bipartite, users: Tensor, items: Tensor, layers: int, eps: float) -> list[Layers]:
    """The layers 1 to ``layers``, noise added to each before it is passed on. Time ``O(L E D)``, memory that of the results.

    Shapes:
        users: ``(U, D)``; items: ``(I, D)``.
    """
    found = []
    for _ in range(layers):
        users, items = graph.spread(users, items)
        users, items = users + noise_like(users, eps), items + noise_like(items, eps)
        found.append(Layers(users, items))
    return found


class NoisyGCN(RecommendationSystem):
    """Embeddings ``1 / L sum_{l = 1}^L A^l E``, layer 0 left out, with a contrast of users and one of items.

    Args:
        graph: Training interactions.
        dim: Width of the tables.
        layers: Hops ``L``, ``>= 1``.
        penalty: Weight of ``1/2 |E|^2 / B`` over the rows of the batch.
        contrast: Weight of both contrasts; with 0 there is neither contrast nor noise.
        eps: Length of the noise.
        temperature: Divides the similarity.
        loss: One of `graphcl.losses.TWO_VIEWS`.
        negatives: One of `graphcl.negatives.NegativesName`.
        candidates: ``"batch"`` or ``"all"``.
        init: Of the tables.
        batch_size: Triples a step.
        sampler: How triples are drawn.

    Raises:
        InputError: A value out of range.
    """

    def __init__(
        self,
        graph: Bipartite,
        *,
        dim: int,
        layers: int,
        penalty: float,
        contrast: float,
        eps: float,
        temperature: float,
        loss: str,
        negatives: NegativesName,
        candidates: Candidates,
        init: Init,
        batch_size: int,
        sampler: str,
    ) -> None:
        super().__init__(graph, dim=dim, init=init, batch_size=batch_size, sampler=sampler)
        if layers < 1:
            raise InputError(f"layers must be >= 1, since layer 0 is left out; got {layers}")
        if not 0 <= eps < float("inf"):
            raise InputError(f"eps must be >= 0, the length of the noise; got {eps}")
        self.layers, self.eps = layers, eps
        self.penalty, self.contrast = check_weight("penalty", penalty), check_weight("contrast", contrast)
        self.user_side, self.item_side = (
            SideContrast(temperature, loss=loss, negatives=negatives, candidates=candidates) for _ in range(2)
        )

    def embeddings(self) -> Layers:
        """The mean over layers 1 to ``L``, without noise."""
        return self._weighted([0.0] + [1 / self.layers] * self.layers)

    def candidate_rows(self) -> Layers:
        """Where clusters of the candidates are looked for: their view, without noise."""
        return self.embeddings()

    def on_epoch_start(self, epoch: int, data: object) -> None:
        """New clusters, for estimators that stand on some."""
        if self.contrast and self.user_side.negatives in CLUSTERED:
            with torch.no_grad():
                users, items = self.candidate_rows()
            self.user_side.refresh(users)
            self.item_side.refresh(items)

    def objective(self, ranked: Layers, first: Layers, second: Layers, batch: Triples) -> dict[str, Tensor]:
        """All terms: who is ranked by ``ranked``, and the views that should agree."""
        terms = self.ranking_terms(ranked, batch)
        contrast = self.user_side(first.users, second.users, torch.unique(batch.user))
        contrast = contrast + self.item_side(first.items, second.items, torch.unique(batch.positive))
        return {**terms, "loss": terms["loss"] + self.contrast * contrast, "contrast": contrast}

    def ranking_terms(self, ranked: Layers, batch: Triples) -> dict[str, Tensor]:
        """BPR and the penalty alone."""
        ranking, penalty = self.ranking_loss(*ranked, batch), self.table_penalty(batch)
        return {"loss": ranking + self.penalty * penalty, "bpr": ranking, "penalty": penalty}

    def _weighted(self, weights: list[float]) -> Layers:
        return Layers(*polynomial(self.graph, self.user_table, self.item_table, weights))
