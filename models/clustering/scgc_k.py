"""SCGC-K: neighbours in the loss instead of in the network, against all other nodes."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch_geometric.data import Data

from graphcl.errors import InputError
from graphcl.losses import self_training, student_t
from graphcl.models.clustering.cluster_contrast import ClusterContrast
from graphcl.models.clustering.initial import Initial, place_centres
from graphcl.models.encoders.autoencoder import AutoEncoder


class SCGCK(nn.Module):
    """A pre-trained auto-encoder, contrast of nodes along powers of the adjacency, and clusters that sharpen themselves.

    ``[MSE +] contrast * (-mean_i log(sum_j M_ij e^(s_ij / t) / sum_k e^(s_ik / t))) + self_training * KL(P || Q)`` with every
    ``s_ii`` set to 0 and ``M = sum_{r <= order} A^r`` of the row-normalised adjacency with self-loops, ``A^order`` alone
    without ``influence``. The graph is needed in training only. The first epoch pre-trains and places the centres by k-means.
    Time ``O(N N D)`` a step for the contrast, exact and tiled, ``O(N P)`` for the encoder; no N x N array is held.

    Kulatilleke, Portmann and Chandra, 2022, https://arxiv.org/abs/2204.12656; another method that is called SCGC is not this
    one. Differs from the official code: the temperature divides (0.25 there is 4 here); 1e-10 is added to the sum over
    positives, where it adds 1e-8 to the ratio; pre-training has the run's seed and is not shared between runs; no label is
    looked at.

    Args:
        in_features: Width ``F`` of the features.
        n_clusters: Number of clusters ``K``, at least 2.
        width: Width ``D`` of the embedding.
        hidden: Width ``H`` of the auto-encoder, ``F - H - H - 4 H - D``.
        decoder: Whether features are reconstructed while training (SCGC), or not (SCGC*, half of the parameters).
        influence: Whether all powers count, or the last alone.
        order: The highest power of the adjacency.
        temperature: Divides the cosine similarity.
        contrast: Weight of the contrastive term.
        self_training: Weight of the self-training term.
        pretrain_epochs: Epochs of pre-training.
        n_init: Starts of the k-means that gives the centres.
        max_fill: Most positives of a node; those of largest weight stay.

    Shapes:
        training_step: ``Data(x=(N, F), edge_index=(2, E))`` to a dict whose ``"loss"`` is a scalar.
        embed: the same to ``(N, D)``; assign: ``(N, D)`` to ``(N, K)``, rows that sum to 1.

    Raises:
        InputError: A hyper-parameter out of range.
    """

    def __init__(
        self,
        in_features: int,
        n_clusters: int,
        *,
        width: int = 10,
        hidden: int = 500,
        decoder: bool = False,
        influence: bool = True,
        order: int = 1,
        temperature: float = 4.0,
        contrast: float = 1.0,
        self_training: float = 0.1,
        pretrain_epochs: int = 30,
        n_init: int = 20,
        max_fill: int = 1024,
    ) -> None:
        super().__init__()
        for name, value, least in (
            ("n_clusters", n_clusters, 2),
            ("order", order, 1),
            ("contrast", contrast, 0),
            ("self_training", self_training, 0),
            ("pretrain_epochs", pretrain_epochs, 0),
            ("n_init", n_init, 1),
            ("max_fill", max_fill, 1),
        ):
            if not value >= least:
                raise InputError(f"{name} must be >= {least}; got {value}")
        self.autoencoder = AutoEncoder(in_features, width, hidden=hidden, decoder=decoder)
        self.objective = ClusterContrast(
            n_clusters,
            temperature=temperature,
            proxy="exact",
            order=order,
            filled=True,
            cumulative=influence,
            max_fill=max_fill,
        )
        self.contrast, self.self_training = contrast, self_training
        self.pretrain_epochs, self.n_init = pretrain_epochs, n_init
        self.centres = nn.Parameter(torch.zeros(n_clusters, width))
        self.initial: Initial | None = None
        self.clustered: Tensor
        self.register_buffer("clustered", torch.tensor(False))

    def on_epoch_start(self, epoch: int, data: Data) -> None:
        """Pre-trains and places the centres, once."""
        if not self.clustered:
            seconds = self.autoencoder.pretrain(data.x, epochs=self.pretrain_epochs)
            self.initial = place_centres(self.centres, self.embed(data), n_init=self.n_init, seconds=seconds)
            self.clustered.fill_(True)

    def training_step(self, data: Data) -> dict[str, Tensor]:
        """One full-batch step: the terms by name."""
        z = self.autoencoder(data.x)
        contrast = self.objective(z, data, None)
        sharpen = self_training(student_t(z, self.centres))
        terms = {"contrast": contrast.detach(), "self_training": sharpen.detach()}
        loss = self.contrast * contrast + self.self_training * sharpen
        if self.autoencoder.decoder is not None:
            error = self.autoencoder.reconstruction(data.x, z)
            terms["reconstruction"] = error.detach()
            loss = loss + error
        return {"loss": loss, **terms, **self.objective.dropped(data)}

    @torch.no_grad()
    def embed(self, data: Data) -> Tensor:
        """Embeddings of all nodes, by their features alone."""
        z: Tensor = self.autoencoder(data.x)
        return z

    @torch.no_grad()
    def assign(self, z: Tensor) -> Tensor | None:
        """Soft assignment of embeddings; ``None`` while there are no clusters yet."""
        return student_t(z, self.centres) if self.clustered else None
