"""POT: nodes whose embedding some missing edges could spoil are trained until it is provably not so."""

from __future__ import annotations

from typing import Literal, Protocol, cast, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch_geometric.data import Data

from graphcl.augment.centrality import Centrality
from graphcl.errors import InputError, unknown_name
from graphcl.kernels import cached_adjacency
from graphcl.losses import unit_rows
from graphcl.models.node.gca import GCA
from graphcl.models.node.grace import GRACE
from graphcl.models.node.pot_bounds import (
    EdgeBounds,
    GCNSteps,
    check_encoder,
    edge_bounds,
    edge_budget,
    gcn_steps,
    relax,
    sampled_bound,
    worst_bound,
)
from graphcl.models.node.view import DrawnView, View
from graphcl.models.node.view_contrast import ViewContrast
from graphcl.negatives import NegativesName

BoundMode = Literal["sampled", "worst"]
PlainActivation = Literal["relu", "prelu"]


class TwoViewSystem(Protocol):
    """What a system has that POT can be put on; ``views`` may also be the two views themselves."""

    encoder: nn.Module
    projector: nn.Module
    contrast: ViewContrast

    def views(self, data: Data) -> tuple[View, View]:
        """How the two views of this graph are drawn."""
        ...

    def training_step(self, data: Data) -> dict[str, Tensor]:
        """One step."""
        ...

    def embed(self, data: Data) -> Tensor:
        """Embeddings of all nodes."""
        ...


class POT(nn.Module):
    """A contrastive system of two views, and a push for the nodes whose compactness has a low bound.

    Compactness of node ``i`` in one view is ``<z_i, w_i>`` with ``w_i = z'_i - mean_{j != i} z'_j`` of the unit rows of the
    other view. ``c_i`` bounds it from below, and the loss is ``(1 - share) contrast + share mean_i log(1 + exp(-c_i))``, the
    latter averaged over both directions. Six sparse products a view in addition to the encoder's: time
    ``O(E (H + D) + N H D)``, memory ``O(N (H + D) + E)``. Where ``share`` is 0 it is the system itself, bit for bit.

    Yu et al., 2023, https://arxiv.org/abs/2309.13944. Differs from the official code, whose numbers are not bounds: it uses
    the relaxation of the target at its neighbours, and values of the whole graph in place of the first layer's intervals.
    Here the bounds are sound, of the whole graph, and no N x N array is held. ``"sampled"``, as in the paper, is the
    compactness of the drawn view by lines that hold for every view within `edge_budget`: a bound where the drawn one is, too.
    ``"worst"`` is a bound over all views within it. Masked columns, which the paper leaves out, are those of the drawn view.

    Args:
        system: One with a `GCN` of two layers, ReLU or PReLU.
        share: Of the bounds in the loss, in ``[0, 1]``.
        mode: ``"sampled"`` or ``"worst"``.

    Shapes:
        training_step: ``Data(x=(N, F), edge_index=(2, E))`` to a dict whose ``"loss"`` is a scalar; x dense or CSR.
        embed: the same to ``(N, D)``, whole graph, eval mode, no gradients.

    Raises:
        InputError: A share out of range, an unknown mode, an encoder without known bounds.
    """

    def __init__(self, system: nn.Module, *, share: float = 0.4, mode: BoundMode = "sampled") -> None:
        super().__init__()
        if not 0 <= share <= 1:
            raise InputError(f"share is that of the bounds in the loss and lies in 0 .. 1; got {share}")
        if mode not in get_args(BoundMode):
            raise unknown_name("mode", str(mode), get_args(BoundMode))
        check_encoder(cast(TwoViewSystem, system).encoder)
        self.system = system
        self.share, self.mode = share, mode

    def on_epoch_start(self, epoch: int, data: Data) -> None:
        """What the system does before an epoch."""
        start = getattr(self.system, "on_epoch_start", None)
        if start is not None:
            start(epoch, data)

    def training_step(self, data: Data) -> dict[str, Tensor]:
        """One full-batch step on two fresh views."""
        system = cast(TwoViewSystem, self.system)
        if self.share == 0:
            return system.training_step(data)
        drawn, bounds = self._draw(data)
        steps = self._steps(drawn)
        contrast = system.contrast(*(system.projector(step.z) for step in steps))
        first, second = self._scores(drawn, bounds, steps, self.mode)
        bound = (F.softplus(-first).mean() + F.softplus(-second).mean()) / 2
        return {"loss": (1 - self.share) * contrast + self.share * bound, "contrast": contrast, "bound": bound}

    @torch.no_grad()
    def certified(self, data: Data) -> float:
        """Share of the nodes of two fresh views whose compactness is above 0 whatever edges within the budget are missing."""
        drawn, bounds = self._draw(data)
        return float((torch.cat(self._scores(drawn, bounds, self._steps(drawn), "worst")) > 0).double().mean())

    def embed(self, data: Data) -> Tensor:
        """The encoder's output for all nodes; the mode is put back afterwards."""
        return cast(TwoViewSystem, self.system).embed(data)

    def _draw(self, data: Data) -> tuple[list[DrawnView], list[EdgeBounds]]:
        system = cast(TwoViewSystem, self.system)
        views = system.views(data) if callable(system.views) else system.views
        drawn = [view.draw(data, row_normalise=getattr(system, "row_normalise", False)) for view in views]
        return drawn, [_bounds(view, data, each.x) for view, each in zip(views, drawn, strict=True)]

    def _steps(self, drawn: list[DrawnView]) -> list[GCNSteps]:
        gcn = check_encoder(cast(TwoViewSystem, self.system).encoder)
        return [gcn_steps(gcn, view) for view in drawn]

    def _scores(
        self, drawn: list[DrawnView], bounds: list[EdgeBounds], steps: list[GCNSteps], mode: BoundMode
    ) -> tuple[Tensor, Tensor]:
        """Lower bounds of the compactness of all nodes, ``(N,)`` for each view."""
        gcn = check_encoder(cast(TwoViewSystem, self.system).encoder)
        scores = []
        for view, within, step, other in zip(drawn, bounds, steps, reversed(steps), strict=True):
            relaxed = relax(gcn, within, step.product, contrast_direction(other.z))
            if mode == "worst":
                scores.append(worst_bound(relaxed, within))
            else:
                scores.append(sampled_bound(gcn, relaxed, view.adjacency, step.first))
        return scores[0], scores[1]


class PotGRACE(POT):
    """`GRACE` with provable training: see `POT`.

    Yu et al., 2023, https://arxiv.org/abs/2309.13944, with its settings for Cora, which mask no features.

    Args:
        in_features: Width ``F`` of the features.
        hidden: Width ``D`` of the embedding; the encoder's hidden layer has twice that.
        projection: Width ``P`` of the projector's hidden layer.
        activation: Of the encoder, after both layers: one whose bounds are known.
        drop_edge_1: Probability that an edge is missing in the first view.
        drop_edge_2: The same in the second view.
        drop_feature_1: Probability that a feature column is masked in the first view.
        drop_feature_2: The same in the second view.
        symmetric_drop: Whether both directions of an undirected edge go together.
        temperature: Divides the cosine similarity.
        loss: Any of `graphcl.losses.TWO_VIEWS` in place of the paper's.
        negatives: Any of `graphcl.negatives.NegativesName`.
        share: Of the bounds in the loss, in ``[0, 1]``.
        mode: ``"sampled"`` or ``"worst"``.

    Raises:
        InputError: A hyper-parameter out of range, an unknown name.
    """

    def __init__(
        self,
        in_features: int,
        *,
        hidden: int = 128,
        projection: int = 128,
        activation: PlainActivation = "relu",
        drop_edge_1: float = 0.4,
        drop_edge_2: float = 0.3,
        drop_feature_1: float = 0.0,
        drop_feature_2: float = 0.0,
        symmetric_drop: bool = False,
        temperature: float = 0.7,
        loss: str = "nt-xent",
        negatives: NegativesName = "exact",
        share: float = 0.4,
        mode: BoundMode = "sampled",
    ) -> None:
        grace = GRACE(
            in_features,
            hidden=hidden,
            projection=projection,
            activation=activation,
            drop_edge_1=drop_edge_1,
            drop_edge_2=drop_edge_2,
            drop_feature_1=drop_feature_1,
            drop_feature_2=drop_feature_2,
            symmetric_drop=symmetric_drop,
            temperature=temperature,
            loss=loss,
            negatives=negatives,
        )
        super().__init__(grace, share=share, mode=mode)


class PotGCA(POT):
    """`GCA` with provable training: see `POT`.

    Yu et al., 2023, https://arxiv.org/abs/2309.13944, with its settings for Cora, which mask no features.

    Args:
        in_features: Width ``F`` of the features.
        hidden: Width ``D`` of the embedding; the encoder's hidden layer has twice that.
        projection: Width ``P`` of the projector's hidden layer.
        activation: Of the encoder, after both layers: one whose bounds are known.
        drop_edge_1: Mean probability that an edge is missing in the first view, before the cap.
        drop_edge_2: The same in the second view.
        drop_feature_1: Mean probability that a feature column is masked in the first view, before the cap.
        drop_feature_2: The same in the second view.
        centrality: ``"degree"``, ``"pagerank"``, ``"eigenvector"`` or ``"lazy-walk"``.
        cap: The largest probability.
        binary: Whether having a feature counts in the centrality of its column, or how much of it: for dense features.
        symmetric_drop: Whether both directions of an undirected edge go together.
        row_normalise: Whether the features of each node are divided by their sum.
        temperature: Divides the cosine similarity.
        loss: Any of `graphcl.losses.TWO_VIEWS` in place of the paper's.
        negatives: Any of `graphcl.negatives.NegativesName`.
        share: Of the bounds in the loss, in ``[0, 1]``.
        mode: ``"sampled"`` or ``"worst"``.

    Raises:
        InputError: A hyper-parameter out of range, an unknown name.
    """

    def __init__(
        self,
        in_features: int,
        *,
        hidden: int = 128,
        projection: int = 128,
        activation: PlainActivation = "relu",
        drop_edge_1: float = 0.3,
        drop_edge_2: float = 0.1,
        drop_feature_1: float = 0.0,
        drop_feature_2: float = 0.0,
        centrality: Centrality = "degree",
        cap: float = 0.7,
        binary: bool = True,
        symmetric_drop: bool = False,
        row_normalise: bool = False,
        temperature: float = 0.9,
        loss: str = "nt-xent",
        negatives: NegativesName = "exact",
        share: float = 0.3,
        mode: BoundMode = "sampled",
    ) -> None:
        gca = GCA(
            in_features,
            hidden=hidden,
            projection=projection,
            activation=activation,
            drop_edge_1=drop_edge_1,
            drop_edge_2=drop_edge_2,
            drop_feature_1=drop_feature_1,
            drop_feature_2=drop_feature_2,
            centrality=centrality,
            cap=cap,
            binary=binary,
            symmetric_drop=symmetric_drop,
            row_normalise=row_normalise,
            temperature=temperature,
            loss=loss,
            negatives=negatives,
        )
        super().__init__(gca, share=share, mode=mode)


def contrast_direction(z: Tensor) -> Tensor:
    """``w_i = u_i - mean_{j != i} u_j`` of the unit rows ``u`` of ``z``: what speaks for node ``i`` and against the others.

    Time ``O(N D)``.

    Shapes:
        z: ``(N, D)`` with ``N >= 2``; returns: ``(N, D)``.
    """
    unit = unit_rows(z)
    return (len(z) * unit - unit.sum(0)) / (len(z) - 1)


def _bounds(view: View, data: Data, x: Tensor) -> EdgeBounds:
    weight = data.edge_weight if "edge_weight" in data else None
    plain = cached_adjacency(data.edge_index, len(x), edge_weight=weight, normalize=None)
    plain = plain.to(dtype=torch.promote_types(x.dtype, torch.float32))
    return edge_bounds(plain, edge_budget(plain, data.edge_index, view.edges.p, weight))
