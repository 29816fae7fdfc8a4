"""UltraGCN: what endless propagation would come to, asked of the tables directly."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from graphcl.errors import InputError
from graphcl.kernels.csr import dots_at
from graphcl.kernels.pattern import Pattern
from graphcl.losses.standardise import check_weight
from graphcl.losses.views import full_precision
from graphcl.recsys.graph import Bipartite
from graphcl.recsys.graph.item_graph import nearest_items
from graphcl.recsys.sampling import Triples
from graphcl.recsys.systems.system import Init, RecommendationSystem


class UltraGCN(RecommendationSystem):
    """Weighted logistic factorisation, against many negatives and with the neighbours of each item; no layers.

    With ``s_ui = <P_u, Q_i>``, ``beta_ui = sqrt(d_u + 1) / d_u / sqrt(d_i + 1)`` and the weights ``omega`` of `nearest_items`,
    **summed** over the pairs ``(u, i)`` of a batch::

        (w1 + w2 beta_ui) softplus(-s_ui) + negative_weight mean_j (w3 + w4 beta_uj) softplus(s_uj)
        + neighbour_weight sum_k omega_ik softplus(-s_uk),   and once a batch   penalty / 2 |E|^2 of all tables

    with ``n = num_negatives`` items ``j`` drawn anew for each pair. Time ``O(B n D)`` a step beside the optimiser's
    ``O((U + I) D)``; memory ``O(B n)``: scores are met at the drawn places of a sparse ``B x I`` matrix, so that no
    ``B x n x D`` array of negatives exists. The neighbours are found once, see `nearest_items`.

    Mao et al., 2021, https://arxiv.org/abs/2110.15114; the defaults are its settings for Yelp2018. Differs from the official
    code: no item is its own neighbour; a user without items has ``beta = 0`` rather than a division by 0; ``w2 = 0`` works.
    As there, negatives are uniform over all items, some of which the user has; ``sifted=True`` takes those of the
    sampler, which the user does not have.

    Args:
        graph: Training interactions.
        dim: Width of the tables.
        w1: Weight of every pair.
        w2: Weight of ``beta`` for pairs.
        w3: Weight of every negative.
        w4: Weight of ``beta`` for negatives.
        num_negatives: Items ``j`` of each pair.
        negative_weight: Of their mean.
        neighbours: Items ``k`` of each item.
        neighbour_weight: Of their sum; where it is 0 the graph between items is not built.
        penalty: Of the squared tables, summed over all rows.
        sifted: Whether negatives leave out what the user has.
        init: Of the tables.
        std: Of ``init="normal"``.
        batch_size: Pairs a step.
        sampler: ``"interaction"``, ``"user-uniform"`` or ``"user-stratified"``.

    Raises:
        InputError: A value out of range.
    """

    beta_user: Tensor
    beta_item: Tensor
    near: Tensor
    omega: Tensor

    def __init__(
        self,
        graph: Bipartite,
        *,
        dim: int = 64,
        w1: float = 1e-8,
        w2: float = 1.0,
        w3: float = 1e-8,
        w4: float = 1.0,
        num_negatives: int = 800,
        negative_weight: float = 300.0,
        neighbours: int = 10,
        neighbour_weight: float = 5e-4,
        penalty: float = 1e-4,
        sifted: bool = False,
        init: Init = "normal",
        std: float = 1e-4,
        batch_size: int = 1024,
        sampler: str = "interaction",
    ) -> None:
        super().__init__(graph, dim=dim, init=init, std=std, batch_size=batch_size, sampler=sampler)
        if num_negatives < 1 or neighbours < 1:
            raise InputError(f"num_negatives and neighbours must be >= 1; got {num_negatives} and {neighbours}")
        self.w1, self.w2 = check_weight("w1", w1), check_weight("w2", w2)
        self.w3, self.w4 = check_weight("w3", w3), check_weight("w4", w4)
        self.negative_weight = check_weight("negative_weight", negative_weight)
        self.neighbour_weight = check_weight("neighbour_weight", neighbour_weight)
        self.penalty, self.num_negatives, self.sifted = check_weight("penalty", penalty), num_negatives, sifted
        if sifted:
            self.negatives_per_positive = num_negatives
        degree = graph.user_degree
        near, omega = torch.zeros(graph.num_items, 0, dtype=torch.int64), torch.zeros(graph.num_items, 0)
        if neighbour_weight:
            near, omega = nearest_items(graph, neighbours)
        # Found in the data again by whoever loads the weights, so that they need not be kept.
        for name, buffer in (
            ("beta_user", torch.where(degree > 0, (degree + 1).sqrt() / degree.clamp(min=1), 0.0)),
            ("beta_item", (graph.item_degree + 1).rsqrt()),
            ("near", near.to(degree.device)),
            ("omega", omega.to(degree)),
        ):
            self.register_buffer(name, buffer, persistent=False)

    def training_step(self, batch: Triples) -> dict[str, Tensor]:
        """The sums of the batch: pairs, negatives, neighbours, and half the squared tables."""
        ends = [1, 1 + self.near.shape[1]]
        # All that a pair is scored with: its item, the neighbours of that item, and the negatives.
        items = torch.cat([batch.positive[:, None], self.near.index_select(0, batch.positive), self._negatives(batch)], 1)
        with full_precision(self.user_table):
            scores = self._scores(batch.user, items).tensor_split(ends, 1)
            beta_item = self.beta_item.index_select(0, items.flatten()).view_as(items)
            beta = (self.beta_user.index_select(0, batch.user)[:, None] * beta_item).tensor_split(ends, 1)
            positive = ((self.w1 + self.w2 * beta[0]) * F.softplus(-scores[0])).sum()
            near = (self.omega.index_select(0, batch.positive) * F.softplus(-scores[1])).sum()
            each = self.negative_weight / self.num_negatives
            negative = each * ((self.w3 + self.w4 * beta[2]) * F.softplus(scores[2])).sum()
            penalty = (self.user_table.square().sum() + self.item_table.square().sum()) / 2
            loss = positive + negative + self.neighbour_weight * near + self.penalty * penalty
        return {"loss": loss, "positive": positive, "negative": negative, "neighbours": near, "penalty": penalty}

    def _scores(self, user: Tensor, items: Tensor) -> Tensor:
        """Of the users with the items of their rows, ``(B, n)``."""
        rows, found = self.user_table.index_select(0, user), []
        # An item may be listed twice, but torch takes no more entries than the matrix has places.
        for part in torch.split(items, self.graph.num_items, 1):
            ends = torch.arange(0, part.numel() + 1, part.shape[1], device=items.device)
            found.append(dots_at(Pattern(ends, part.flatten(), self.graph.num_items), rows, self.item_table).view_as(part))
        return torch.cat(found, 1)

    def _negatives(self, batch: Triples) -> Tensor:
        """Items ``(B, n)``: the batch's own, or uniform ones."""
        size, number = len(batch.user), self.num_negatives
        if not self.sifted:
            return torch.randint(self.graph.num_items, (size, number), device=batch.user.device)
        if batch.negative.numel() != size * number:
            raise InputError(
                f"negatives must be ({size}, {number}), as many as num_negatives; got {tuple(batch.negative.shape)}"
            )
        return batch.negative.view(size, number)
