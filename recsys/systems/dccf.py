"""DCCF: latent intents of users and items, and graphs re-weighted by them, contrasted with what comes over the edges."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from graphcl.errors import InputError
from graphcl.losses.standardise import check_weight
from graphcl.negatives import CLUSTERED, NegativesName
from graphcl.recsys.graph import Bipartite
from graphcl.recsys.graph.cosine_mask import cosine_weights, weighted_means
from graphcl.recsys.sampling import Triples
from graphcl.recsys.systems.contrast import Candidates, SideContrast
from graphcl.recsys.systems.system import Init, Layers, RecommendationSystem


class Views(NamedTuple):
    """The four views of a layer: over the edges, of the intents, over edges masked by the first, and by the second."""

    local: Layers
    intent: Layers
    by_local: Layers
    by_intent: Layers


class DCCF(RecommendationSystem):
    """Four views a layer, added up in what is ranked and told apart in the contrast.

    With ``A`` the normalised graph, ``E^0`` the tables and ``C`` the ``K`` intents of a side, a layer has::

        Z = A E    R = softmax(E C) C^T    H_Z = M(Z) E    H_R = M(R) E    E' = Z + R + H_Z + H_R + E

    where the mask ``M(F)`` weighs edge ``(u, i)`` by ``(cos(f_u, f_i) + 1) / 2`` and divides by the sum over a node's
    edges: no parameters, but gradients that reach tables and intents. What is ranked is ``sum_{l=0}^L E^l``.

    ``loss = BPR + penalty * sum_b (|P_u|^2 + |Q_i|^2 + |Q_j|^2) + intent_penalty * |C|^2 + contrast * C``, where the second
    term is a sum over the triples ``b`` and no mean, and ``C`` the sum over layers, sides and ``X`` in ``R, H_Z, H_R`` of
    the mean InfoNCE, cosine, of ``Z`` and ``X`` over the distinct users and the distinct positive items of the batch.

    Time a step ``O(L E D)`` for three propagations and two passes over the edges, ``O(L (U + I) K D)`` for the intents and
    ``O(L B^2 D)`` for the contrast, six times each. Memory ``O(L ((U + I) D + E))``: neither ``(U + I) x K`` shares nor
    ``E x D`` rows nor ``B x B`` logits are held.

    Ren et al., 2023, https://arxiv.org/abs/2305.02759. Differs from the official code: a node without edges gets zeros, where
    the code divides by its degree; the cosine with a row of zeros is 0; each interaction is weighed once for both directions;
    the sum of exponentials has no small constant; users are drawn from those with items, and a user who has every item does
    not stop the sampler. Train on the training part alone and choose the epoch on validation: the published figures for
    Gowalla and Tmall were trained on both.

    Args:
        graph: Training interactions.
        dim: Width of the tables.
        layers: ``L``, ``>= 1``.
        intents: ``K`` of each side.
        contrast: Weight of the contrast; at 0 there is none.
        temperature: Of the contrast.
        penalty: Weight of the squared rows of the batch.
        intent_penalty: Weight of the squared intents.
        loss: How views are contrasted; see `SideContrast`.
        negatives: Estimator of the sum of exponentials over the others. Clusters are those of the final embeddings.
        candidates: ``"batch"`` or ``"all"``.
        init: Of the tables.
        std: Of ``init="normal"``.
        batch_size: Triples a step.
        sampler: How triples are drawn.
        batches_per_epoch: Steps of an epoch; a pass of the sampler when ``None``.

    Attributes:
        user_intents, item_intents: ``C``, drawn as ``"xavier-normal"``.

    Shapes:
        user_intents, item_intents: ``(D, K)``.

    Raises:
        InputError: A value out of range, or an unknown name.
    """

    def __init__(
        self,
        graph: Bipartite,
        *,
        dim: int = 32,
        layers: int = 2,
        intents: int = 128,
        contrast: float = 0.1,
        temperature: float = 1.0,
        penalty: float = 2.5e-5,
        intent_penalty: float = 5e-3,
        loss: str = "info-nce",
        negatives: NegativesName = "exact",
        candidates: Candidates = "batch",
        init: Init = "xavier-normal",
        std: float = 0.1,
        batch_size: int = 10240,
        sampler: str = "user-uniform",
        batches_per_epoch: int | None = 40,
    ) -> None:
        super().__init__(graph, dim=dim, init=init, std=std, batch_size=batch_size, sampler=sampler)
        if layers < 1 or intents < 1:
            raise InputError(f"layers and intents must be >= 1; got {layers} and {intents}")
        self.contrast, self.penalty = check_weight("contrast", contrast), check_weight("penalty", penalty)
        self.intent_penalty = check_weight("intent_penalty", intent_penalty)
        self.layers, self.batches_per_epoch = layers, batches_per_epoch
        self.user_intents = nn.Parameter(nn.init.xavier_normal_(torch.empty(dim, intents)))
        self.item_intents = nn.Parameter(nn.init.xavier_normal_(torch.empty(dim, intents)))
        self.user_side, self.item_side = (
            SideContrast(temperature, loss=loss, negatives=negatives, candidates=candidates) for _ in range(2)
        )

    def embeddings(self) -> Layers:
        """The sum over layers 0 to ``L``."""
        return self._encoded()[0]

    def on_epoch_start(self, epoch: int, data: object) -> None:
        """Clusters of users and of items, for estimators that stand on some."""
        if self.user_side.negatives in CLUSTERED:
            users, items = self.encode()
            self.user_side.refresh(users, seed=epoch)
            self.item_side.refresh(items, seed=epoch)

    def training_step(self, batch: Triples) -> dict[str, Tensor]:
        """BPR, contrast and the two penalties."""
        final, layers = self._encoded()
        ranking = self.ranking_loss(final.users, final.items, batch)
        penalty = 2 * len(batch.user) * self.table_penalty(batch)  # that has a half and a mean
        intent_penalty = self.user_intents.square().sum() + self.item_intents.square().sum()
        loss = ranking + self.penalty * penalty + self.intent_penalty * intent_penalty
        terms = {"loss": loss, "bpr": ranking, "penalty": penalty, "intent_penalty": intent_penalty}
        if self.contrast:
            terms["contrast"] = self._contrast(layers, batch)
            terms["loss"] = loss + self.contrast * terms["contrast"]
        return terms

    def views(self, rows: Layers) -> Views:
        """The four views of a layer.

        Shapes:
            rows: ``(U, D)`` and ``(I, D)``; returns: four times the same.
        """
        local = Layers(*self.graph.spread(*rows))
        intent = Layers(_intent(rows.users, self.user_intents), _intent(rows.items, self.item_intents))
        masked = (weighted_means(self.graph, cosine_weights(self.graph, *by), *rows) for by in (local, intent))
        return Views(local, intent, *(Layers(*pair) for pair in masked))

    def _encoded(self) -> tuple[Layers, list[Views]]:
        rows = final = Layers(self.user_table, self.item_table)
        layers = []
        for _ in range(self.layers):
            layers.append(self.views(rows))
            rows = _added(rows, *layers[-1])
            final = _added(final, rows)
        return final, layers

    def _contrast(self, layers: list[Views], batch: Triples) -> Tensor:
        total = self.user_table.new_zeros(())
        for side, column, ids in zip((self.user_side, self.item_side), range(2), (batch.user, batch.positive), strict=True):
            distinct = torch.unique(ids)
            for views in layers:
                for other in views[1:]:
                    total = total + side(views.local[column], other[column], distinct)
        return total


def _intent(rows: Tensor, intents: Tensor) -> Tensor:
    """``softmax(rows C) C^T``: attention over the intents, which serve as keys and as values.

    Shapes:
        rows: ``(N, D)``; intents: ``(D, K)``; returns: ``(N, D)``.
    """
    keys = intents.T.contiguous()[None, None]  # the fast kernel, which holds no shares, wants rows
    return F.scaled_dot_product_attention(rows[None, None], keys, keys, scale=1.0)[0, 0].to(rows.dtype)


def _added(first: Layers, *others: Layers) -> Layers:
    users, items = first
    for rows in others:
        users, items = users + rows.users, items + rows.items
    return Layers(users, items)
