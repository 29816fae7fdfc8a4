"""ProGCL: negatives that are likely of the anchor's own class count less."""

from __future__ import annotations

import torch
from torch import Tensor
from torch_geometric.data import Data

from graphcl.augment.centrality import Centrality
from graphcl.errors import InputError
from graphcl.losses import NTXent, unit_rows
from graphcl.models.encoders.layered_gcn import LayerActivation
from graphcl.models.encoders.named import EncoderName
from graphcl.models.node.gca import GCA
from graphcl.models.node.view_contrast import ViewContrast
from graphcl.negatives import BetaPosterior

_SAMPLED = 100  # nodes whose similarities to all others the mixture is fitted to


class ProGCL(GCA):
    """`GCA`, whose negatives from some epoch on are weighted by `BetaPosterior`.

    The mixture is fitted to the similarities across two fresh views of 100 random nodes to all others, and again every
    ``refit`` epochs. Time ``O(N N D)`` a step, memory that of `GCA` and chunks of ``2^22`` pairs.

    Xia et al., 2022, https://arxiv.org/abs/2110.02027, the weighting variant. Differs from the official code as `GCA` and
    `BetaPosterior` say: the weights follow the embeddings, where there they are computed once and frozen.

    Args:
        in_features: Width ``F`` of the features.
        hidden: Width ``D`` of the embedding; the encoder's hidden layer has twice that.
        projection: Width ``P`` of the projector's hidden layer.
        encoder: ``"gcn"``, or another of `graphcl.models.encoders.named`.
        activation: Of the encoder, after both layers.
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
        start: Epoch from which negatives are weighted; the paper's recipes have 400, of 1,000 and more.
        refit: Epochs between two fits, ``>= 1``.
        false_share: Share of false negatives that a fit begins with, in ``(0, 1)``.

    Shapes:
        training_step: ``Data(x=(N, F), edge_index=(2, E))`` to a dict whose ``"loss"`` is a scalar; x dense or CSR.
        embed: the same to ``(N, D)``, whole graph, eval mode, no gradients.

    Raises:
        InputError: A hyper-parameter out of range, an unknown name; fewer than two nodes to contrast.
    """

    def __init__(
        self,
        in_features: int,
        *,
        hidden: int = 128,
        projection: int = 128,
        encoder: EncoderName = "gcn",
        activation: LayerActivation = "rrelu",
        drop_edge_1: float = 0.6,
        drop_edge_2: float = 0.3,
        drop_feature_1: float = 0.2,
        drop_feature_2: float = 0.3,
        centrality: Centrality = "eigenvector",
        cap: float = 0.7,
        binary: bool = True,
        symmetric_drop: bool = False,
        row_normalise: bool = False,
        temperature: float = 0.2,
        start: int = 50,
        refit: int = 50,
        false_share: float = 0.15,
    ) -> None:
        if start < 0:
            raise InputError(f"start must be >= 0, the epoch from which negatives are weighted; got {start}")
        if refit < 1:
            raise InputError(f"refit must be >= 1, the epochs between two fits; got {refit}")
        super().__init__(
            in_features,
            hidden=hidden,
            projection=projection,
            encoder=encoder,
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
        )
        self.start, self.refit = start, refit
        self.posterior = BetaPosterior(false_share=false_share)
        self.contrast = PosteriorContrast(temperature, self.posterior)

    @property
    def late_parts(self) -> dict[str, int]:
        """See `graphcl.training.HasLateParts`."""
        return {"start": self.start}

    @torch.no_grad()
    def on_epoch_start(self, epoch: int, data: Data) -> None:
        """Fits the mixture where its time has come."""
        if epoch < self.start or (epoch - self.start) % self.refit:
            return
        first, second = (
            unit_rows(self.projector(view.encode(self.encoder, data, row_normalise=self.row_normalise)))
            for view in self.views(data)
        )
        rows = torch.randperm(len(first))[:_SAMPLED].to(first.device)
        similarity = first.index_select(0, rows) @ second.T
        others = rows[:, None] != torch.arange(len(first), device=first.device)
        self.posterior.fit(similarity.masked_select(others))


class PosteriorContrast(ViewContrast):
    """`NTXent` with exact negatives, and with negatives by their posterior once that is fitted.

    Args:
        temperature: Divides the similarity.
        posterior: Of true negatives.

    Shapes:
        first, second: ``(N, D)``, row ``i`` pairs with row ``i``; returns: scalar.
    """

    def __init__(self, temperature: float, posterior: BetaPosterior) -> None:
        super().__init__(temperature)
        # In a tuple: the mixture is the system's, and stands once in its state.
        self._weighted = (NTXent(temperature, negatives=posterior),)
        self._posterior = (posterior,)

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """The loss of two views."""
        if not bool(self._posterior[0].fitted):
            return super().forward(first, second)
        loss: Tensor = self._weighted[0](first, second)
        return loss
