"""Graph Barlow Twins: the cross-correlation of two views is driven to the identity."""

from __future__ import annotations

from torch import Tensor, nn
from torch_geometric.data import Data

from graphcl.augment import check_probability
from graphcl.losses import BarlowTwins
from graphcl.models.encoders.layered_gcn import LayerActivation
from graphcl.models.encoders.named import EncoderName, named_encoder
from graphcl.models.node.view import View, embed_whole


class GBT(nn.Module):
    """Two corrupted views of one encoder, standardised: each column agrees with itself and with no other.

    ``sum_k (1 - C_kk)^2 + (1 / D) sum_{k != l} C_kl^2`` with ``C = Z1^T Z2 / N``. No negatives, no projector, no second
    network. Time ``O((nnz(x) + E) D + N D^2)`` a step, memory ``O(N D + D^2)``.

    Bielak, Kajdanowicz and Chawla, 2021, https://arxiv.org/abs/2106.02466. Differs from the official code: no epsilon in the
    deviation, a constant column counts as zeros; the optimiser is the trainer's, and recipes ask it for their AdamW, warm-up
    and cosine. As there, the running statistics of the batch normalisation take 1 % of every view.

    Args:
        in_features: Width ``F`` of the features.
        width: Width ``D`` of the embedding; the encoder's hidden layers have twice that.
        layers: Number of layers.
        encoder: ``"gcn"``, or another of `graphcl.models.encoders.named`.
        activation: After each layer but the last, which is linear; columns are normalised before it.
        drop_edge: Probability that an edge is missing in a view.
        drop_feature: Probability that a feature column is masked in a view.
        symmetric_drop: Whether both directions of an undirected edge go together.
        row_normalise: Whether the features of each node are divided by their sum.

    Shapes:
        training_step: ``Data(x=(N, F), edge_index=(2, E))`` to a dict whose ``"loss"`` is a scalar; x dense or CSR.
        embed: the same to ``(N, D)``, whole graph, eval mode, no gradients.

    Raises:
        InputError: A hyper-parameter out of range; fewer than two nodes.
    """

    def __init__(
        self,
        in_features: int,
        *,
        width: int = 256,
        layers: int = 2,
        encoder: EncoderName = "gcn",
        activation: LayerActivation = "prelu",
        drop_edge: float = 0.4,
        drop_feature: float = 0.2,
        symmetric_drop: bool = False,
        row_normalise: bool = False,
    ) -> None:
        super().__init__()
        for name, rate in (("drop_edge", drop_edge), ("drop_feature", drop_feature)):
            check_probability(rate, name)
        self.view = View(drop_edge, drop_feature, symmetric=symmetric_drop)
        self.row_normalise = row_normalise
        self.encoder = named_encoder(
            encoder, in_features, width, hidden=2 * width, layers=layers, activation=activation, norm=True
        )
        self.criterion = BarlowTwins(1 / width)

    def training_step(self, data: Data) -> dict[str, Tensor]:
        """One full-batch step on two fresh views: the loss and its terms."""
        first, second = (self.view.encode(self.encoder, data, row_normalise=self.row_normalise) for _ in range(2))
        terms = self.criterion.terms(first, second)
        return {"loss": terms["invariance"] + terms["redundancy"], **{name: term.detach() for name, term in terms.items()}}

    def embed(self, data: Data) -> Tensor:
        """The encoder's output for all nodes; the mode is put back afterwards."""
        return embed_whole(self, self.encoder, data, row_normalise=self.row_normalise)
