"""BGRL: a network predicts what a slowly moving copy of it sees in another view."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch_geometric.data import Data

from graphcl.augment import check_probability
from graphcl.errors import InputError
from graphcl.losses import Bootstrap, cosine_momentum, update_target
from graphcl.models.encoders.layered_gcn import LayerActivation
from graphcl.models.encoders.named import EncoderName, named_encoder
from graphcl.models.node.view import View, embed_whole


class BGRL(nn.Module):
    """Two corrupted views; from the online embedding of each, a predictor finds the target's embedding of the other.

    ``2 - mean_i cos(q1_i, t2_i) - mean_i cos(q2_i, t1_i)``, where the target's weights follow the online encoder's,
    ``t <- m t + (1 - m) o`` after every step, with ``m`` rising from ``momentum`` to 1 along a cosine. The target is in the
    state and gets no gradient. No negatives. Time ``O((nnz(x) + E) D + N D P)`` a step, memory ``O(N (D + P))``.

    Thakoor et al., 2022, https://arxiv.org/abs/2102.06514; the target begins with weights of its own, as in the official code.
    Differs from it: running statistics of the batch normalisation take 1 % of each view instead of 99 %, so that embeddings of
    the whole graph do not hang on the last view drawn; the optimiser is the trainer's, and recipes ask it for their AdamW,
    warm-up and cosine.

    Args:
        in_features: Width ``F`` of the features.
        width: Width ``D`` of the embedding.
        hidden: Width of every layer of the encoder but the last.
        predictor: Width ``P`` of the predictor's hidden layer.
        layers: Number of layers of the encoder.
        encoder: ``"gcn"``, or another of `graphcl.models.encoders.named`.
        activation: After each layer of the encoder, behind a normalisation of the columns.
        drop_edge_1: Probability that an edge is missing in the first view.
        drop_edge_2: The same in the second view.
        drop_feature_1: Probability that a feature column is masked in the first view.
        drop_feature_2: The same in the second view.
        momentum: What the target keeps of itself in the first steps, ``0 .. 1``.
        momentum_epochs: Epochs after which it keeps everything: as many as are trained.
        symmetric_drop: Whether both directions of an undirected edge go together.
        row_normalise: Whether the features of each node are divided by their sum.

    Shapes:
        training_step: ``Data(x=(N, F), edge_index=(2, E))`` to a dict whose ``"loss"`` is a scalar; x dense or CSR.
        embed: the same to ``(N, D)``, whole graph, eval mode, no gradients.

    Raises:
        InputError: A hyper-parameter out of range.
    """

    def __init__(
        self,
        in_features: int,
        *,
        width: int = 256,
        hidden: int = 512,
        predictor: int = 512,
        layers: int = 2,
        encoder: EncoderName = "gcn",
        activation: LayerActivation = "prelu",
        drop_edge_1: float = 0.2,
        drop_edge_2: float = 0.3,
        drop_feature_1: float = 0.2,
        drop_feature_2: float = 0.1,
        momentum: float = 0.99,
        momentum_epochs: int = 10_000,
        symmetric_drop: bool = False,
        row_normalise: bool = False,
    ) -> None:
        super().__init__()
        for name, rate in (
            ("drop_edge_1", drop_edge_1),
            ("drop_edge_2", drop_edge_2),
            ("drop_feature_1", drop_feature_1),
            ("drop_feature_2", drop_feature_2),
        ):
            check_probability(rate, name)
        for name, value in (("predictor", predictor), ("momentum_epochs", momentum_epochs)):
            if value < 1:
                raise InputError(f"{name} must be >= 1; got {value}")
        if not 0 <= momentum <= 1:
            raise InputError(f"momentum must lie in 0 .. 1, the share that the target keeps; got {momentum}")
        self.views = (
            View(drop_edge_1, drop_feature_1, symmetric=symmetric_drop),
            View(drop_edge_2, drop_feature_2, symmetric=symmetric_drop),
        )
        self.momentum, self.momentum_epochs, self.row_normalise = momentum, momentum_epochs, row_normalise
        self.encoder, self.target = (
            named_encoder(
                encoder,
                in_features,
                width,
                hidden=hidden,
                layers=layers,
                activation=activation,
                norm=True,
                activate_last=True,
            )
            for _ in range(2)
        )
        self.target.requires_grad_(False)
        self.predictor = nn.Sequential(nn.Linear(width, predictor), nn.PReLU(), nn.Linear(predictor, width))
        self.criterion = Bootstrap()

    def on_epoch_start(self, epoch: int, _data: Data) -> None:
        """Moves the target after the step that the epoch before has made; after the last there is nobody who would look."""
        if epoch > 0:
            step = min(epoch, self.momentum_epochs)
            update_target(self.target, self.encoder, cosine_momentum(step, self.momentum_epochs, self.momentum))

    def training_step(self, data: Data) -> dict[str, Tensor]:
        """One full-batch step on two fresh views."""
        (q1, t1), (q2, t2) = (self._both(view, data) for view in self.views)
        return {"loss": self.criterion(q1, t2, q2, t1)}

    def embed(self, data: Data) -> Tensor:
        """The online encoder's output for all nodes; the mode is put back afterwards."""
        return embed_whole(self, self.encoder, data, row_normalise=self.row_normalise)

    def _both(self, view: View, data: Data) -> tuple[Tensor, Tensor]:
        """Prediction and target of one and the same draw of a view."""
        drawn = view.draw(data, row_normalise=self.row_normalise)
        with torch.no_grad():
            target = drawn(self.target)
        return self.predictor(drawn(self.encoder)), target
