"""CCA-SSG: two views agree dimension by dimension, and the dimensions tell different things."""

from __future__ import annotations

from torch import Tensor, nn
from torch_geometric.data import Data

from graphcl import losses
from graphcl.augment import check_probability
from graphcl.models.encoders.layered_gcn import LayerActivation
from graphcl.models.encoders.named import EncoderName, named_encoder
from graphcl.models.node.view import View, embed_whole


class CCASSG(nn.Module):
    """Two corrupted views of one encoder, standardised: they agree, and the columns of each are uncorrelated.

    ``-(1 / N) sum_i <z1_i, z2_i> + decorrelation * sum_v ||Z_v^T Z_v / N - I||^2``. No negatives, no projector, no second
    network. Time ``O((nnz(x) + E) D + N D^2)`` a step, memory ``O(N D + D^2)``.

    Zhang, Wu, Yan, Wipf and Yu, 2021, https://arxiv.org/abs/2106.12484. Differs from the official code: agreement is a sum of
    products, not the diagonal of a D x D matrix; a constant column counts as zeros, where it makes NaN there; nothing is
    computed in double precision by accident.

    Args:
        in_features: Width ``F`` of the features.
        width: Width ``D`` of the embedding.
        hidden: Width of every layer but the last.
        layers: Number of layers.
        encoder: ``"gcn"``, ``"mlp"`` where the graph only misleads, or another of `graphcl.models.encoders.named`.
        activation: Between layers; the last is linear.
        norm: Whether columns are normalised before an activation.
        drop_edge: Probability that an edge is missing in a view.
        drop_feature: Probability that a feature column is masked in a view.
        decorrelation: Weight of the second term, ``>= 0``.
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
        width: int = 512,
        hidden: int = 512,
        layers: int = 2,
        encoder: EncoderName = "gcn",
        activation: LayerActivation = "relu",
        norm: bool = False,
        drop_edge: float = 0.4,
        drop_feature: float = 0.1,
        decorrelation: float = 1e-3,
        symmetric_drop: bool = False,
        row_normalise: bool = False,
    ) -> None:
        super().__init__()
        for name, rate in (("drop_edge", drop_edge), ("drop_feature", drop_feature)):
            check_probability(rate, name)
        self.view = View(drop_edge, drop_feature, symmetric=symmetric_drop)
        self.row_normalise = row_normalise
        self.encoder = named_encoder(
            encoder, in_features, width, hidden=hidden, layers=layers, activation=activation, norm=norm
        )
        self.criterion = losses.CCASSG(decorrelation, unbiased=True)

    def training_step(self, data: Data) -> dict[str, Tensor]:
        """One full-batch step on two fresh views: the loss and its terms."""
        first, second = (self.view.encode(self.encoder, data, row_normalise=self.row_normalise) for _ in range(2))
        terms = self.criterion.terms(first, second)
        return {"loss": terms["invariance"] + terms["decorrelation"], **{name: term.detach() for name, term in terms.items()}}

    def embed(self, data: Data) -> Tensor:
        """The encoder's output for all nodes; the mode is put back afterwards."""
        return embed_whole(self, self.encoder, data, row_normalise=self.row_normalise)
