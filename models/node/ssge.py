"""SSGE: two views agree, and the embeddings spread out like a Gaussian."""

from __future__ import annotations

from torch import Tensor, nn
from torch_geometric.data import Data

from graphcl import losses
from graphcl.augment import check_probability
from graphcl.models.encoders.layered_gcn import LayerActivation
from graphcl.models.encoders.named import EncoderName, named_encoder
from graphcl.models.node.view import View, embed_whole


class SSGE(nn.Module):
    """Two corrupted views of one encoder, standardised: they agree, and each comes close to an isotropic Gaussian.

    ``-(1 / N) sum_i <z1_i, z2_i> - uniformity * sum_v sum_k sqrt(lambda_k(Z_v^T Z_v / (N - 1)))``, half the sum of the
    squared 2-Wasserstein distances from ``N(0, I)``, constants aside. No negatives, no projector. It needs more nodes than
    dimensions. Time ``O((nnz(x) + E) D + N D^2 + D^3)`` a step, memory ``O(N D + D^2)``.

    Liu, He, Zheng and Zhao, 2024, https://arxiv.org/abs/2411.01157. Differs from the official code: a constant column counts
    as zeros, where it makes NaN there; its splits are not ours, since some of its data sets silently lose their public ones
    and its random ones validate on 80 % of the labels.

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
        uniformity: Weight of the second term, ``>= 0``.
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
        hidden: int = 256,
        layers: int = 2,
        encoder: EncoderName = "gcn",
        activation: LayerActivation = "elu",
        norm: bool = False,
        drop_edge: float = 0.3,
        drop_feature: float = 0.1,
        uniformity: float = 0.1,
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
        self.criterion = losses.SSGE(uniformity)

    def training_step(self, data: Data) -> dict[str, Tensor]:
        """One full-batch step on two fresh views: the loss and its terms."""
        first, second = (self.view.encode(self.encoder, data, row_normalise=self.row_normalise) for _ in range(2))
        terms = self.criterion.terms(first, second)
        return {"loss": terms["alignment"] + terms["uniformity"], **{name: term.detach() for name, term in terms.items()}}

    def embed(self, data: Data) -> Tensor:
        """The encoder's output for all nodes; the mode is put back afterwards."""
        return embed_whole(self, self.encoder, data, row_normalise=self.row_normalise)
