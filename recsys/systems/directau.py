"""DirectAU: a user lies near their items, users lie apart and so do items; nothing is drawn that was not chosen."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor

from graphcl.errors import InputError, unknown_name
from graphcl.losses import Alignment, Uniformity, unit_rows
from graphcl.losses.standardise import check_weight
from graphcl.recsys.graph import Bipartite, polynomial
from graphcl.recsys.sampling import Triples
from graphcl.recsys.systems.system import Init, Layers, RecommendationSystem

Score = Literal["dot", "cosine"]


class DirectAU(RecommendationSystem):
    """``mean_b |u - i|^2 + gamma (unif(users) + unif(items)) / 2`` over the pairs of a batch, rows normalised.

    ``unif(X) = log mean_{a != b} exp(-2 |x_a - x_b|^2)`` over the rows of the batch: `Alignment` and `Uniformity`. The
    negatives of the triples are not used. Time ``O(B^2 D)`` a step, in tiles: no ``B x B`` array; with ``layers`` also their
    propagation, as in `LightGCN`.

    Wang et al., 2022, https://arxiv.org/abs/2206.12811. Differs from the official code: distances come from products, in
    tiles, and not from a list of all pairs. As there, someone who stands in the batch twice is two rows, whose distance
    of 0 enters the mean as a constant; ``distinct=True`` counts everybody once. As there, training sees
    directions and ranking inner products, so that the lengths, which the loss never sees, speak at last; ``score="cosine"``
    ranks by what was trained.

    Args:
        graph: Training interactions.
        dim: Width of the tables.
        layers: Hops of the encoder, the mean over layers 0 to ``layers``; 0 for the tables themselves.
        gamma: Weight of uniformity.
        score: What ranks, and what `embeddings` are: ``"cosine"`` has rows of length 1.
        distinct: Whether uniformity is over distinct users and items.
        init: Of the tables.
        std: Of ``init="normal"``.
        batch_size: Pairs a step.
        sampler: ``"interaction"``, ``"user-uniform"`` or ``"user-stratified"``.

    Raises:
        InputError: A value out of range.
    """

    def __init__(
        self,
        graph: Bipartite,
        *,
        dim: int = 64,
        layers: int = 0,
        gamma: float = 1.0,
        score: Score = "dot",
        distinct: bool = False,
        init: Init = "xavier-normal",
        std: float = 0.1,
        batch_size: int = 1024,
        sampler: str = "interaction",
    ) -> None:
        super().__init__(graph, dim=dim, init=init, std=std, batch_size=batch_size, sampler=sampler)
        if layers < 0:
            raise InputError(f"layers must be >= 0; got {layers}")
        if score not in get_args(Score):
            raise unknown_name("score", score, get_args(Score))
        self.weights = [1 / (layers + 1)] * (layers + 1)
        self.gamma, self.score, self.distinct = check_weight("gamma", gamma), score, distinct
        self.alignment, self.uniformity = Alignment(), Uniformity()

    def embeddings(self) -> Layers:
        """The mean over the layers, of length 1 where cosines rank."""
        users, items = self._encoded()
        return Layers(unit_rows(users), unit_rows(items)) if self.score == "cosine" else Layers(users, items)

    def training_step(self, batch: Triples) -> dict[str, Tensor]:
        """Alignment and uniformity; a batch of one pair has nothing to be apart from, and a uniformity of 0."""
        users, items = self._encoded()
        # A single pair twice has the same alignment, and the losses ask for two rows.
        user, item = (ids if len(ids) > 1 else ids.repeat(2) for ids in (batch.user, batch.positive))
        alignment = self.alignment(users.index_select(0, user), items.index_select(0, item))
        uniformity = (self._apart(users, user) + self._apart(items, item)) / 2
        return {"loss": alignment + self.gamma * uniformity, "alignment": alignment, "uniformity": uniformity}

    def _encoded(self) -> Layers:
        if len(self.weights) == 1:
            return Layers(self.user_table, self.item_table)
        return Layers(*polynomial(self.graph, self.user_table, self.item_table, self.weights))

    def _apart(self, rows: Tensor, ids: Tensor) -> Tensor:
        if self.distinct:
            ids = torch.unique(ids)
        if len(ids) < 2:
            return rows.new_zeros(())
        apart: Tensor = self.uniformity(rows.index_select(0, ids))
        return apart
