"""LightGCL: what comes over the edges, contrasted with what comes over the few strongest directions of the whole graph."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from graphcl.errors import InputError, unknown_name
from graphcl.kernels.csr import multiply
from graphcl.losses import anchor_mean, unit_rows
from graphcl.losses.standardise import check_weight
from graphcl.negatives import CLUSTERED, NegativesName
from graphcl.recsys.graph import Bipartite
from graphcl.recsys.graph.edge_dropout import drop_edges
from graphcl.recsys.graph.low_rank import LowRank, exact_svd
from graphcl.recsys.sampling import Triples
from graphcl.recsys.systems.contrast import Candidates, SideContrast
from graphcl.recsys.systems.system import Init, Layers, RecommendationSystem

Variant = Literal["released", "paper"]
SLOPE, KEPT = 0.5, 0.5  # of the paper's leaky units below 0; share of its contrastive terms that a step keeps


class LightGCL(RecommendationSystem):
    """A linear graph encoder whose second view is a truncated SVD of the whole graph, found once.

    With ``R`` the normalised block and ``S`` its best approximation of rank ``q``, from tables ``P^0`` and ``Q^0``::

        P^l = drop(R) Q^(l-1)    Q^l = drop(R)^T P^(l-1)    a mask of its own for each product
        E = sum_{l=0}^L P^l      G = P^0 + S sum_{l=0}^{L-1} Q^l      and so for items

    ``loss = BPR(E) + contrast * (C_users + C_items) + penalty * |tables|^2`` over the whole tables, where
    ``C = mean_b log sum_v exp(g_b e_v / t) - mean_b clamp(g_b e_b / t, -5, 5)`` over the users (the positive and negative
    items) ``b`` of a batch, duplicates counted, and all users (items) ``v``. The second view reads the first one's layers,
    so that the products with ``S`` of all layers are one. The first pair of singular vectors of a connected graph is the roots
    of the degrees: part of the second view is popularity, and all of it with ``rank=1``. At full rank, without dropout,
    ``G = E``.

    Time ``O(L E D + q (U + I) D)`` a step for both views and ``O(B (U + I) D)`` for the contrast, met in tiles and once for
    each distinct id. Memory ``O((U + I) (D + q) + E)``: neither ``U x I`` nor ``B x (U + I)`` is ever held.

    Cai et al., 2023, https://arxiv.org/abs/2302.08191, as released; the paper describes another method in the details.
    ``variant="paper"`` is that one: an SVD of the interactions as they are, without degrees; ``Z^l = leaky(drop(R) E^(l-1))``,
    ``E^l = Z^l + E^(l-1)``; at each layer a cosine InfoNCE, among the rows of the batch, between ``Z^l`` and a learned linear
    map of ``leaky(S E^(l-1))``, summed over a random half of these rows; the hinge ``max(0, 1 - s+ + s-)`` in place of BPR.
    Its settings: ``dim=32, contrast=1e-7, temperature=0.5, penalty=0, edge_dropout=0.25``, and weight decay 1e-4.

    Differs from the official code: what ranks are the parameters as they are, without dropout, where the code keeps what its
    last training batch left behind; the SVD is exact and has a seed, where their sketch, no wider than the rank, mixes the
    triples with what comes after; the sum of exponentials is shifted, so that it cannot overflow, and nothing is added to it;
    negatives are drawn for each batch and not once an epoch. The paper's variant takes the distinct rows of a batch, so that
    nobody is their own negative, and the mean of the hinge over triples of any sampler, where the code goes through up to 40
    items each of 256 users. Users and items without interactions are among the candidates, as in the code, but rank as rows
    of zeros.

    Args:
        graph: Training interactions.
        variant: ``"released"`` or ``"paper"``.
        dim: Width of the tables.
        layers: Hops ``L``, ``>= 1``.
        rank: ``q`` of the second view.
        contrast: Weight of the contrast; at 0 there is none.
        temperature: ``t``.
        penalty: Weight of the squared tables.
        edge_dropout: Probability that an edge is missing from a product; the others weigh ``1 / (1 - p)``.
        normalize: Whether the similarity is the cosine, as the paper writes, and not the inner product; released only.
        clamp: Bound on the logits of positives in ``"info-nce"``, beyond which they pull no more; none when ``None``; released
            only.
        loss: How views are contrasted; see `SideContrast`.
        negatives: Estimator of the sum of exponentials over the others.
        candidates: ``"batch"`` or ``"all"``; when ``None``, ``"all"`` for the released ``"info-nce"``, else ``"batch"``.
        init: Of the tables.
        std: Of ``init="normal"``.
        batch_size: Triples a step.
        sampler: How triples are drawn.

    Attributes:
        svd_left, svd_singular, svd_right: The second view, drawn out of torch's own generator; kept with the weights.

    Raises:
        InputError: A value out of range, an unknown name, or a rank that the graph does not have.
    """

    svd_left: Tensor
    svd_singular: Tensor
    svd_right: Tensor

    def __init__(
        self,
        graph: Bipartite,
        *,
        variant: Variant = "released",
        dim: int = 64,
        layers: int = 2,
        rank: int = 5,
        contrast: float = 0.2,
        temperature: float = 0.2,
        penalty: float = 1e-7,
        edge_dropout: float = 0.0,
        normalize: bool = False,
        clamp: float | None = 5.0,
        loss: str = "info-nce",
        negatives: NegativesName = "exact",
        candidates: Candidates | None = None,
        init: Init = "xavier-uniform",
        std: float = 0.1,
        batch_size: int = 4096,
        sampler: str = "interaction",
    ) -> None:
        super().__init__(graph, dim=dim, init=init, std=std, batch_size=batch_size, sampler=sampler)
        if variant not in get_args(Variant):
            raise unknown_name("variant", variant, get_args(Variant))
        if layers < 1 or not 0 <= edge_dropout < 1 or (clamp is not None and not clamp > 0):
            raise InputError(
                "layers must be >= 1, edge_dropout in [0, 1) and clamp above 0 or none; "
                f"got {layers}, {edge_dropout:g} and {clamp}"
            )
        self.contrast, self.penalty = check_weight("contrast", contrast), check_weight("penalty", penalty)
        self.variant, self.layers, self.edge_dropout, self.clamp = variant, layers, edge_dropout, clamp
        paper = variant == "paper"
        own: Candidates = "all" if loss == "info-nce" and not paper else "batch"
        self.user_side, self.item_side = (
            SideContrast(
                temperature,
                loss=loss,
                negatives=negatives,
                candidates=own if candidates is None else candidates,
                similarity="cosine" if paper or normalize else "dot",
            )
            for _ in range(2)
        )
        linear = [nn.Linear(dim, dim, bias=False) for _ in range(layers if paper else 0)]
        for one in linear:
            nn.init.xavier_uniform_(one.weight)
        self.maps = nn.ModuleList(linear)
        whole = graph.reweight(torch.ones_like(graph.matrix.values)) if paper else graph
        found = exact_svd(whole.matrix, rank)
        for name, part in (("left", found.left), ("singular", found.singular), ("right", found.right)):
            self.register_buffer(f"svd_{name}", part.to(self.user_table.dtype))

    def embeddings(self) -> Layers:
        """The sum over layers 0 to ``L``."""
        return _total(self._first_view(0.0)[0])

    def on_epoch_start(self, epoch: int, data: object) -> None:
        """Clusters of users and of items, for estimators that stand on some."""
        if self.user_side.negatives in CLUSTERED:
            users, items = self.encode()
            self.user_side.refresh(users, seed=epoch)
            self.item_side.refresh(items, seed=epoch)

    def training_step(self, batch: Triples) -> dict[str, Tensor]:
        """Ranking, contrast and penalty."""
        layers, arrived = self._first_view(self.edge_dropout)
        final = _total(layers)
        name, ranking = "bpr", self.ranking_loss(final.users, final.items, batch)
        if self.variant == "paper":
            name, ranking = "hinge", _hinge(final, batch)
        terms = {"loss": ranking, name: ranking}
        if self.contrast:
            ids = batch.user, torch.cat([batch.positive, batch.negative.flatten()])
            terms["contrast"] = self._by_layer(layers, arrived, ids) if self.maps else self._by_sum(layers, final, ids)
            terms["loss"] = terms["loss"] + self.contrast * terms["contrast"]
        if self.penalty:
            terms["penalty"] = self.user_table.square().sum() + self.item_table.square().sum()
            terms["loss"] = terms["loss"] + self.penalty * terms["penalty"]
        return terms

    def second_view(self, layers: Sequence[Layers]) -> Layers:
        """What the low-rank graph says of the sum of the given layers of the first view.

        Shapes:
            layers: ``(U, D)`` and ``(I, D)`` each; returns: the same.
        """
        graph = LowRank(self.svd_left, self.svd_singular, self.svd_right)
        below = _total(layers)
        return Layers(graph.apply(below.items), graph.apply_transposed(below.users))

    def _first_view(self, dropout: float) -> tuple[list[Layers], list[Layers]]:
        """Layers 0 to ``L``, and what arrived over the edges to make layers 1 to ``L``."""
        layers, arrived = [Layers(self.user_table, self.item_table)], []
        for _ in range(self.layers):
            last = layers[-1]
            users = multiply(drop_edges(self.graph, dropout).matrix, last.items)
            items = multiply(drop_edges(self.graph, dropout).matrix, last.users, transposed=True)
            came = Layers(users, items)
            if self.variant == "paper":
                came = Layers(*(F.leaky_relu(rows, SLOPE) for rows in came))
            arrived.append(came)
            layers.append(_total([came, last]) if self.variant == "paper" else came)
        return layers, arrived

    def _by_sum(self, layers: list[Layers], final: Layers, ids: tuple[Tensor, Tensor]) -> Tensor:
        """The released contrast: sums over layers, each distinct row weighted by how often it stands in the batch."""
        second = _total([layers[0], self.second_view(layers[:-1])])
        terms: list[Tensor] = []
        for side, anchors, rows, batch in zip((self.user_side, self.item_side), second, final, ids, strict=True):
            distinct, count = torch.unique(batch, return_counts=True)
            weight = count.to(rows.dtype)
            terms.append(side(anchors, rows, distinct, weight))
            if self.clamp is not None and side.loss == "info-nce":
                left, right = anchors.index_select(0, distinct), rows.index_select(0, distinct)
                if side.similarity == "cosine":
                    left, right = unit_rows(left), unit_rows(right)
                positive = (left * right).sum(1) / side.temperature
                terms.append(anchor_mean(positive - positive.clamp(-self.clamp, self.clamp), weight))
        return reduce(torch.add, terms)

    def _by_layer(self, layers: list[Layers], arrived: list[Layers], ids: tuple[Tensor, Tensor]) -> Tensor:
        """The paper's contrast: a sum over layers and over the rows that this step keeps."""
        distinct = [torch.unique(batch) for batch in ids]
        total = self.user_table.new_zeros(())
        for linear, below, came in zip(self.maps, layers, arrived, strict=False):  # the last layer is below none
            second = self.second_view([below])
            for side, anchors, rows, batch in zip((self.user_side, self.item_side), came, second, distinct, strict=True):
                kept = (torch.rand(len(batch), device=batch.device) >= KEPT).to(rows.dtype)
                count = kept.sum()
                if count > 0:
                    total = total + count * side(anchors, linear(F.leaky_relu(rows, SLOPE)), batch, kept)
        return total


def _total(layers: Sequence[Layers]) -> Layers:
    return Layers(reduce(torch.add, (rows.users for rows in layers)), reduce(torch.add, (rows.items for rows in layers)))


def _hinge(final: Layers, batch: Triples) -> Tensor:
    """``mean max(0, 1 - s+ + s-)``.

    Shapes:
        final: ``(U, D)`` and ``(I, D)``; returns: scalar.
    """
    user, positive = final.users.index_select(0, batch.user), final.items.index_select(0, batch.positive)
    negative = final.items.index_select(0, batch.negative.flatten()).view(len(user), -1, user.shape[1])
    return (1 - (user * positive).sum(1, keepdim=True) + (user[:, None] * negative).sum(2)).relu().mean()
