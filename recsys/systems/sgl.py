"""SGL: two graphs with random holes should agree on everybody."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from graphcl.errors import InputError, unknown_name
from graphcl.losses.standardise import check_weight
from graphcl.negatives import CLUSTERED, NegativesName
from graphcl.recsys.graph import Bipartite, polynomial
from graphcl.recsys.graph.edge_views import without_edges, without_nodes
from graphcl.recsys.sampling import Triples
from graphcl.recsys.systems.contrast import Candidates, SideContrast
from graphcl.recsys.systems.system import Init, Layers, RecommendationSystem, mean_of

View = Literal["nd", "ed", "rw"]
Mode = Literal["both-side", "merge"]
Reduction = Literal["sum", "mean"]


class SGL(RecommendationSystem):
    """`LightGCN` and InfoNCE of two views, each the same mean over layers 0 to ``L`` of a graph with random holes.

    A graph is drawn for each view once an epoch, and normalised by the degrees that are left: without a share of users and of
    items (``"nd"``), of interactions (``"ed"``), or of interactions for each layer by itself (``"rw"``). The loss is
    ``BPR + penalty 1/2 |E|^2 + contrast (InfoNCE(users) + InfoNCE(positive items))``, where the rows of the first view find
    themselves among all rows of the second. Sums over the batch as in the official code, or means, which is the same divided
    by ``B``. A user counts as often as they stand in the batch: distinct rows are met once and weighted, the same number.

    ``ssl_mode="merge"`` has one InfoNCE of users and items together, with a denominator over both. ``candidates="batch"`` has
    the distinct rows of the batch as each other's negatives and weighs them alike: with ``"merge"`` and ``"mean"``, SELFRec's
    form. With ``contrast=0`` no graph is drawn and no view made.

    Time ``O(6 L E D)`` a step for three runs and ``O(B (U + I) D)`` for the contrast; memory ``O((L + 1) (U + I) D + L E)``,
    the logits are met in tiles.

    Wu et al., 2021, https://arxiv.org/abs/2010.10783. Differs from the official code: the denominator takes
    ``O((B + U + I) D)`` memory instead of a ``B x (U + I)`` matrix; a user or an item that lost all interactions has no
    neighbours rather than infinite weights; training is not stopped by the test part. SELFRec's ``"rw"`` draws one graph for
    all layers, which is ``"ed"``.

    Args:
        graph: Training interactions.
        dim: Width of the tables.
        layers: Hops ``L``, ``>= 1``.
        penalty: Weight of the squared rows of the tables that the batch looked up.
        contrast: Weight of the contrast.
        view: ``"nd"``, ``"ed"`` or ``"rw"``.
        drop: Share that a view lacks.
        ssl_mode: ``"both-side"`` or ``"merge"``.
        reduction: ``"sum"`` or ``"mean"`` over the batch, of every term.
        temperature: Divides the similarity.
        loss: One of `graphcl.losses.TWO_VIEWS`; all but ``"info-nce"`` go with ``candidates="batch"``.
        negatives: One of `graphcl.negatives.NegativesName`.
        candidates: Against ``"all"`` rows, or those of the ``"batch"``.
        init: Of the tables.
        batch_size: Triples a step.
        sampler: ``"interaction"``, ``"user-uniform"`` or ``"user-stratified"``.

    Raises:
        InputError: A value out of range or an unknown name.
    """

    def __init__(
        self,
        graph: Bipartite,
        *,
        dim: int = 64,
        layers: int = 3,
        penalty: float = 1e-4,
        contrast: float = 0.1,
        view: View = "ed",
        drop: float = 0.1,
        ssl_mode: Mode = "both-side",
        reduction: Reduction = "sum",
        temperature: float = 0.2,
        loss: str = "info-nce",
        negatives: NegativesName = "exact",
        candidates: Candidates = "all",
        init: Init = "xavier-uniform",
        batch_size: int = 2048,
        sampler: str = "interaction",
    ) -> None:
        super().__init__(graph, dim=dim, init=init, batch_size=batch_size, sampler=sampler)
        for kind, name, known in (
            ("view", view, get_args(View)),
            ("ssl_mode", ssl_mode, get_args(Mode)),
            ("reduction", reduction, get_args(Reduction)),
        ):
            if name not in known:
                raise unknown_name(kind, name, known)
        if layers < 1 or not 0 <= drop < 1:
            raise InputError(f"layers must be >= 1 and drop in [0, 1); got {layers} and {drop}")
        self.layers = layers
        self.penalty, self.contrast = check_weight("penalty", penalty), check_weight("contrast", contrast)
        self.view, self.drop, self.ssl_mode, self.reduction = view, drop, ssl_mode, reduction
        self.sides = nn.ModuleList(
            SideContrast(temperature, loss=loss, negatives=negatives, candidates=candidates)
            for _ in range(2 if ssl_mode == "both-side" else 1)
        )
        self.weighted = candidates == "all"
        self.clustered = negatives in CLUSTERED
        self._views: tuple[Sequence[Bipartite], Sequence[Bipartite]] | None = None

    def embeddings(self) -> Layers:
        """The mean over layers 0 to ``L`` of the whole graph."""
        weights = [1 / (self.layers + 1)] * (self.layers + 1)
        return Layers(*polynomial(self.graph, self.user_table, self.item_table, weights))

    def on_epoch_start(self, epoch: int, data: object) -> None:
        """Draws the graphs of both views out of torch's own generator, and finds clusters for estimators that need some."""
        if not self.contrast:
            return
        self._views = (self._draw(), self._draw())
        if self.clustered:
            with torch.no_grad():
                for side, rows in zip(self.sides, self._sides(self._encode(self._views[1])), strict=True):
                    assert isinstance(side, SideContrast)
                    side.refresh(rows)

    def training_step(self, batch: Triples) -> dict[str, Tensor]:
        """BPR, the penalty and the contrast."""
        size = len(batch.user) if self.reduction == "sum" else 1
        ranking, penalty = size * self.ranking_loss(*self.embeddings(), batch), size * self.table_penalty(batch)
        terms = {"loss": ranking + self.penalty * penalty, "bpr": ranking, "penalty": penalty}
        if self.contrast:
            terms["contrast"] = self._contrast(batch)
            terms["loss"] = terms["loss"] + self.contrast * terms["contrast"]
        return terms

    def _draw(self) -> Sequence[Bipartite]:
        """The graph of each layer."""
        hole: Callable[[Bipartite, float], Bipartite] = without_nodes if self.view == "nd" else without_edges
        if self.view == "rw":
            return [hole(self.graph, self.drop) for _ in range(self.layers)]
        return [hole(self.graph, self.drop)] * self.layers

    def _encode(self, graphs: Sequence[Bipartite]) -> Layers:
        layers = [Layers(self.user_table, self.item_table)]
        for graph in graphs:
            layers.append(Layers(*graph.spread(*layers[-1])))
        return mean_of(layers)

    def _sides(self, layers: Layers) -> list[Tensor]:
        """What each contrast is of: users and items, or all of them in one."""
        return list(layers) if self.ssl_mode == "both-side" else [torch.cat(layers)]

    def _contrast(self, batch: Triples) -> Tensor:
        if self._views is None:
            raise InputError("the views of this epoch are not drawn: call on_epoch_start before the first batch")
        first, second = (self._sides(self._encode(graphs)) for graphs in self._views)
        rows = [batch.user, batch.positive]
        if self.ssl_mode == "merge":
            rows = [torch.cat([batch.user, batch.positive + self.graph.num_users])]
        terms = []
        for side, one, other, ids in zip(self.sides, first, second, rows, strict=True):
            distinct, times = torch.unique(ids, return_counts=True)
            mean = side(one, other, distinct, times if self.weighted else None)
            anchors = len(ids) if self.weighted else len(distinct)
            terms.append(anchors * mean if self.reduction == "sum" else mean)
        return torch.stack(terms).sum()
