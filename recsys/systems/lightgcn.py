"""LightGCN: users and items are the mean of what comes to them over a few hops, and nothing else is learned."""

from __future__ import annotations

from torch import Tensor

from graphcl.errors import InputError
from graphcl.losses.standardise import check_weight
from graphcl.recsys.graph import Bipartite, polynomial
from graphcl.recsys.graph.edge_dropout import drop_edges
from graphcl.recsys.sampling import Triples
from graphcl.recsys.systems.system import Init, Layers, RecommendationSystem


class LightGCN(RecommendationSystem):
    """``1 / (L + 1) sum_{l = 0}^L A^l E`` of the tables ``E``, by `BPR` with a penalty on the looked-up rows of ``E``.

    With ``layers=0`` it is matrix factorisation by BPR. Time ``O(L E D)`` a step for the propagation of the whole graph and
    ``O(B D)`` for the rest; memory ``O((U + I) D)`` beside tables and optimiser.

    He et al., 2020, https://arxiv.org/abs/2002.02126. Differs from the official code: users and items are propagated by the
    block between them and its transpose, and the gradient by the same products; scores are inner products without a sigmoid;
    ``sampler="user-uniform"`` is that of its Python version; dropped edges are drawn anew each step, as there.

    Args:
        graph: Training interactions.
        dim: Width of the tables.
        layers: Hops ``L``.
        penalty: Weight of ``1/2 |E|^2 / B`` over the rows of the batch.
        edge_dropout: Probability that an edge is missing from a step; the others weigh ``1 / (1 - p)``.
        init: Of the tables.
        std: Of ``init="normal"``.
        batch_size: Triples a step.
        sampler: ``"interaction"``, ``"user-uniform"`` or ``"user-stratified"``.

    Raises:
        InputError: A value out of range.
    """

    def __init__(
        self,
        graph: Bipartite,
        *,
        dim: int = 64,
        layers: int = 3,
        penalty: float = 1e-4,
        edge_dropout: float = 0.0,
        init: Init = "normal",
        std: float = 0.1,
        batch_size: int = 2048,
        sampler: str = "interaction",
    ) -> None:
        super().__init__(graph, dim=dim, init=init, std=std, batch_size=batch_size, sampler=sampler)
        if layers < 0 or not 0 <= edge_dropout < 1:
            raise InputError(f"layers must be >= 0 and edge_dropout in [0, 1); got {layers} and {edge_dropout:g}")
        self.weights = [1 / (layers + 1)] * (layers + 1)
        self.penalty, self.edge_dropout = check_weight("penalty", penalty), edge_dropout

    def embeddings(self) -> Layers:
        """The mean over layers 0 to ``L``."""
        return Layers(*polynomial(self.graph, self.user_table, self.item_table, self.weights))

    def training_step(self, batch: Triples) -> dict[str, Tensor]:
        """BPR and the penalty."""
        graph = drop_edges(self.graph, self.edge_dropout)
        users, items = polynomial(graph, self.user_table, self.item_table, self.weights)
        ranking, penalty = self.ranking_loss(users, items, batch), self.table_penalty(batch)
        return {"loss": ranking + self.penalty * penalty, "bpr": ranking, "penalty": penalty}
