"""CSGCL: strong communities keep their edges and features, and weigh more in the contrast."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch_geometric.data import Data

from graphcl.augment import check_probability
from graphcl.augment.communities import Detector, community_edge_drop, community_feature_mask, find_communities
from graphcl.errors import InputError
from graphcl.kernels import WeakTensorCache
from graphcl.losses import NTXent
from graphcl.models.encoders.layered_gcn import LayerActivation
from graphcl.models.encoders.named import EncoderName, named_encoder
from graphcl.models.node.view import View, embed_whole, node_features
from graphcl.negatives import ColumnBias, community_strength

_found: WeakTensorCache[tuple[Tensor, Tensor]] = WeakTensorCache()


class CSGCL(nn.Module):
    """`GRACE` with views that spare strong communities, and a contrast in which nodes of strong ones weigh more.

    The communities are found once, each node's strength is that of its community, and edges and feature columns go by
    `community_edge_drop` and `community_feature_mask`. In the contrast ``team_up_t S_j`` is added to the similarity of
    candidate ``j``, with ``team_up_t = min(max(0, t - team_up_start) / 100, team_up)`` in epoch ``t``. Time ``O(N N D)`` a step
    for the contrast, ``O((nnz(x) + E) D)`` for the rest; memory ``O(N (D + P) + E)``.

    Chen et al., 2023, https://arxiv.org/abs/2305.04658. Differs from the official code: the anchor's own strength, which
    stands in numerator and denominator, is left out; no N x N similarities are held; without the packages of Leiden the
    communities are Louvain's; see the two functions for columns and edges without a logarithm.

    Args:
        in_features: Width ``F`` of the features.
        hidden: Width ``D`` of the embedding; the encoder's hidden layer has twice that.
        projection: Width ``P`` of the projector's hidden layer.
        encoder: ``"gcn"``, or another of `graphcl.models.encoders.named`.
        activation: Of the encoder, after both layers.
        drop_edge_1: Mean probability that an edge is missing in the first view.
        drop_edge_2: The same in the second view.
        drop_feature_1: Mean probability that a feature column is masked in the first view.
        drop_feature_2: The same in the second view.
        detector: Of communities: ``"auto"``, ``"leiden"`` or ``"louvain"``.
        community_seed: Of the detector.
        symmetric_drop: Whether both directions of an undirected edge go together.
        row_normalise: Whether the features of each node are divided by their sum.
        temperature: Divides the cosine similarity, and what is added to it.
        team_up: Largest factor of the strengths, ``>= 0``; 0 leaves the contrast as it is.
        team_up_start: Epoch after which the factor rises by 0.01 each; the paper's recipes have 1,000 and more,
            of 2,000 and more.

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
        hidden: int = 256,
        projection: int = 256,
        encoder: EncoderName = "gcn",
        activation: LayerActivation = "prelu",
        drop_edge_1: float = 0.2,
        drop_edge_2: float = 0.7,
        drop_feature_1: float = 0.1,
        drop_feature_2: float = 0.2,
        detector: Detector = "auto",
        community_seed: int = 0,
        symmetric_drop: bool = False,
        row_normalise: bool = False,
        temperature: float = 0.6,
        team_up: float = 1.0,
        team_up_start: int = 50,
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
        for name, value in (("team_up", team_up), ("team_up_start", team_up_start)):
            if not value >= 0:
                raise InputError(f"{name} must be >= 0; got {value}")
        find_communities(torch.zeros(2, 0, dtype=torch.long), 0, method=detector)  # a name that is wrong shows now
        self.rates = ((drop_edge_1, drop_feature_1), (drop_edge_2, drop_feature_2))
        self.detector, self.community_seed = detector, community_seed
        self.symmetric_drop, self.row_normalise = symmetric_drop, row_normalise
        self.team_up, self.team_up_start = team_up, team_up_start
        self.encoder = named_encoder(encoder, in_features, hidden, hidden=2 * hidden, activation=activation, activate_last=True)
        self.projector = nn.Sequential(nn.Linear(hidden, projection), nn.ELU(), nn.Linear(projection, hidden))
        self.contrast = TeamUp(temperature)

    @property
    def late_parts(self) -> dict[str, int]:
        """See `graphcl.training.HasLateParts`."""
        return {"team_up_start": self.team_up_start + 1} if self.team_up else {}

    def on_epoch_start(self, epoch: int, data: Data) -> None:
        """Sets how much the strengths count in this epoch."""
        factor = min(max(0, epoch - self.team_up_start) / 100, self.team_up)
        self.contrast.bias = factor * self._communities(data)[1] if factor else None

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
        x, (assignment, strength) = node_features(data), self._communities(data)
        first, second = (
            View(
                community_edge_drop(strength, assignment, data.edge_index, edge_rate),
                community_feature_mask(strength, x, feature_rate),
                symmetric=self.symmetric_drop,
            )
            for edge_rate, feature_rate in self.rates
        )
        return first, second

    def _communities(self, data: Data) -> tuple[Tensor, Tensor]:
        """The community of each node and its strength, found once for each graph."""
        edge_index, n = data.edge_index, data.num_nodes

        def build() -> tuple[Tensor, Tensor]:
            found = find_communities(edge_index, n, method=self.detector, seed=self.community_seed)
            edges = edge_index[:, edge_index[0] != edge_index[1]]
            if edges.numel() == 0:
                return found, torch.zeros(n, device=edge_index.device)
            return found, community_strength(edges, found)

        return _found.get((edge_index,), (n, self.detector, self.community_seed), build)


class TeamUp(nn.Module):
    """`NTXent` whose candidates have a bias each, divided by the temperature as the similarity is; none at first.

    Without a bias exactly `NTXent`, at its cost; with one about twice that, as no sum serves two directions any more.

    Args:
        temperature: Divides the similarity.

    Attributes:
        bias: Of each node, or ``None``.

    Shapes:
        first, second: ``(N, D)``, row ``i`` pairs with row ``i``; returns: scalar.

    Raises:
        InputError: A temperature that is not positive; a bias of another number of nodes.
    """

    def __init__(self, temperature: float) -> None:
        super().__init__()
        self.temperature = temperature
        self.plain = NTXent(temperature)
        self.bias: Tensor | None = None

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """The loss of two views."""
        if self.bias is None:
            loss: Tensor = self.plain(first, second)
            return loss
        biased = NTXent(self.temperature, negatives=ColumnBias(self.bias.repeat(2), tempered=True))
        out: Tensor = biased(first, second)
        return out
