"""GRACE: every node is told apart from all others of two corrupted views."""

from __future__ import annotations

from torch import Tensor, nn
from torch_geometric.data import Data

from graphcl.augment import check_probability
from graphcl.errors import InputError
from graphcl.models.encoders import GCN, Activation
from graphcl.models.node.view import View, embed_whole
from graphcl.models.node.view_contrast import ViewContrast
from graphcl.negatives import NegativesName


class GRACE(nn.Module):
    """Two corrupted views, one encoder, node-level contrast within and across the views.

    Each step drops edges and masks feature columns twice over; a two-layer GCN, ``F -> 2 D -> D``, embeds both views, and a
    projector of two layers maps them to where `NTXent` contrasts them. What is used afterwards is the encoder's output on the
    whole graph. Time ``O(N N D)`` a step for the contrast, ``O((nnz(x) + E) D)`` for the rest; memory ``O(N (D + P))``.

    Zhu et al., 2020, https://arxiv.org/abs/2006.04131. Differs from the official code: no N x N similarities are held, exact
    as they are; a view is an operator on the cached positions of the whole graph, and a masked column a masked row of the
    first weight, which are the same numbers. The default drops the two directions of an edge by themselves, as that code
    does; ``symmetric_drop`` lets them go together. Random numbers come from torch's own generator.

    Args:
        in_features: Width ``F`` of the features.
        hidden: Width ``D`` of the embedding; the encoder's hidden layer has twice that.
        projection: Width ``P`` of the projector's hidden layer.
        activation: Of the encoder, after both layers.
        drop_edge_1: Probability that an edge is missing in the first view.
        drop_edge_2: The same in the second view.
        drop_feature_1: Probability that a feature column is masked in the first view.
        drop_feature_2: The same in the second view.
        symmetric_drop: Whether both directions of an undirected edge go together.
        temperature: Divides the cosine similarity.
        loss: Any of `graphcl.losses.TWO_VIEWS` in place of the paper's.
        negatives: Any of `graphcl.negatives.NegativesName`; those that stand on clusters find ``sqrt N`` of them every epoch,
            and ``"meta-node"`` goes with ``loss="info-nce"``.

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
        activation: Activation = "relu",
        drop_edge_1: float = 0.2,
        drop_edge_2: float = 0.4,
        drop_feature_1: float = 0.3,
        drop_feature_2: float = 0.4,
        symmetric_drop: bool = False,
        temperature: float = 0.4,
        loss: str = "nt-xent",
        negatives: NegativesName = "exact",
    ) -> None:
        super().__init__()
        for name, width in (("hidden", hidden), ("projection", projection)):
            if width < 1:
                raise InputError(f"{name} must be >= 1; got {width}")
        for name, rate in (
            ("drop_edge_1", drop_edge_1),
            ("drop_edge_2", drop_edge_2),
            ("drop_feature_1", drop_feature_1),
            ("drop_feature_2", drop_feature_2),
        ):
            check_probability(rate, name)
        self.views = (
            View(drop_edge_1, drop_feature_1, symmetric=symmetric_drop),
            View(drop_edge_2, drop_feature_2, symmetric=symmetric_drop),
        )
        self.encoder = GCN(in_features, hidden, hidden=2 * hidden, activation=activation)
        self.projector = nn.Sequential(nn.Linear(hidden, projection), nn.ELU(), nn.Linear(projection, hidden))
        self.contrast = ViewContrast(temperature, loss=loss, negatives=negatives)

    def on_epoch_start(self, epoch: int, data: Data) -> None:
        """Finds the clusters that the estimator of negatives stands on, if it does."""
        if self.contrast.clustered:
            self.contrast.refresh(self.projector(self.embed(data)), seed=epoch)

    def training_step(self, data: Data) -> dict[str, Tensor]:
        """One full-batch step on two fresh views."""
        first, second = (self.projector(view.encode(self.encoder, data)) for view in self.views)
        return {"loss": self.contrast(first, second)}

    def embed(self, data: Data) -> Tensor:
        """The encoder's output for all nodes; the mode is put back afterwards."""
        return embed_whole(self, self.encoder, data)
