"""GCA: two views that spare central edges and features, and every node told apart from all others."""

from __future__ import annotations

from typing import get_args

from torch import Tensor, nn
from torch_geometric.data import Data

from graphcl.augment import check_probability
from graphcl.augment.centrality import Centrality, node_centrality
from graphcl.augment.centrality_drop import drop_probabilities, edge_weights, feature_weights
from graphcl.errors import InputError, unknown_name
from graphcl.kernels import WeakTensorCache, cached_adjacency
from graphcl.models.encoders.layered_gcn import LayerActivation
from graphcl.models.encoders.named import EncoderName, named_encoder
from graphcl.models.node.view import View, embed_whole, node_features
from graphcl.models.node.view_contrast import ViewContrast
from graphcl.negatives import NegativesName

_weights: WeakTensorCache[tuple[Tensor, Tensor]] = WeakTensorCache()


class GCA(nn.Module):
    """Contrast as in GRACE, of views whose drop probabilities fall with the centrality of what is dropped.

    An edge goes with ``min(rate * w_e, cap)``, where ``w_e`` is 0 for an edge into the most central node and 1 on average; a
    feature column likewise, by the centrality of the nodes that have it. Centralities are found once for each graph. Time
    ``O(N N D)`` a step for the contrast, ``O((nnz(x) + E) D)`` for the rest; memory ``O(N (D + P) + E)``.

    Zhu et al., 2021, https://arxiv.org/abs/2010.14945. Differs from the official code: its "PageRank" is a lazy walk without
    jumps, which is the degree again on a connected graph; here ``"pagerank"`` is PageRank and that one ``"lazy-walk"``. A
    column that nobody has is no logarithm of 0, and equal centralities give equal probabilities, no division by 0. No N x N
    similarities are held.

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
        encoder: EncoderName = "gcn",
        activation: LayerActivation = "relu",
        drop_edge_1: float = 0.2,
        drop_edge_2: float = 0.4,
        drop_feature_1: float = 0.3,
        drop_feature_2: float = 0.4,
        centrality: Centrality = "degree",
        cap: float = 0.7,
        binary: bool = True,
        symmetric_drop: bool = False,
        row_normalise: bool = False,
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
            ("cap", cap),
        ):
            check_probability(rate, name)
        if centrality not in get_args(Centrality):
            raise unknown_name("centrality", str(centrality), get_args(Centrality))
        self.rates = ((drop_edge_1, drop_feature_1), (drop_edge_2, drop_feature_2))
        self.centrality, self.cap, self.binary = centrality, cap, binary
        self.symmetric_drop, self.row_normalise = symmetric_drop, row_normalise
        self.encoder = named_encoder(encoder, in_features, hidden, hidden=2 * hidden, activation=activation, activate_last=True)
        self.projector = nn.Sequential(nn.Linear(hidden, projection), nn.ELU(), nn.Linear(projection, hidden))
        self.contrast = ViewContrast(temperature, loss=loss, negatives=negatives)

    def on_epoch_start(self, epoch: int, data: Data) -> None:
        """Finds the clusters that the estimator of negatives stands on, if it does."""
        if self.contrast.clustered:
            self.contrast.refresh(self.projector(self.embed(data)), seed=epoch)

    def training_step(self, data: Data) -> dict[str, Tensor]:
        """One full-batch step on two fresh views."""
        first, second = (
            self.projector(view.encode(self.encoder, data, row_normalise=self.row_normalise)) for view in self.views(data)
        )
        return {"loss": self.contrast(first, second)}

    def embed(self, data: Data) -> Tensor:
        """The encoder's output for all nodes; the mode is put back afterwards."""
        return embed_whole(self, self.encoder, data, row_normalise=self.row_normalise)

    def views(self, data: Data) -> tuple[View, View]:
        """How the two views of this graph are drawn."""
        edges, features = self._drop_weights(data)
        first, second = (
            View(
                drop_probabilities(edges, edge_rate, cap=self.cap),
                drop_probabilities(features, feature_rate, cap=self.cap),
                symmetric=self.symmetric_drop,
            )
            for edge_rate, feature_rate in self.rates
        )
        return first, second

    def _drop_weights(self, data: Data) -> tuple[Tensor, Tensor]:
        x = node_features(data)
        weight = data.edge_weight if "edge_weight" in data else None

        def build() -> tuple[Tensor, Tensor]:
            adj = cached_adjacency(data.edge_index, len(x), edge_weight=weight, normalize=None, self_loops=False)
            central = node_centrality(adj, self.centrality)
            return edge_weights(central, data.edge_index), feature_weights(central, x, binary=self.binary)

        tensors = (x, data.edge_index) if weight is None else (x, data.edge_index, weight)
        return _weights.get(tensors, (self.centrality, self.binary), build)
