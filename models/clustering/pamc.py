"""PamC: contrast against clusters instead of nodes."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.data import Data

from graphcl.errors import InputError
from graphcl.evaluation.kmeans import kmeans
from graphcl.kernels import Adjacency, cached_adjacency
from graphcl.losses import NeighborContrast, PairLoss, check_temperature, self_training, student_t, unit_rows
from graphcl.models.encoders import PropagatedMLP
from graphcl.negatives import MetaNode, Negatives


class PamC(nn.Module):
    """Neighbours attract, meta-nodes repel, and the clusters sharpen themselves.

    A warm-up contrasts every node with its neighbours against all other nodes, exactly. Then k-means on the embedding
    gives the centres, and from there each step takes every node's cluster from its Student-t assignment, lets the clusters
    stand for the negatives (`MetaNode`, linear in the number of nodes) and pulls the assignment towards its target
    distribution. A cluster that loses its last member stops repelling and may win members back through its centre.

    Kulatilleke, Portmann and Chandra, 2022, https://arxiv.org/abs/2209.14067. Differs from the official code, besides what
    `MetaNode` and `NeighborContrast` say: the encoder is a perceptron on propagated features trained from scratch, where
    the paper starts from SDCN's auto-encoder; the temperature divides (the paper's inverse temperature is one over ours);
    no label is looked at.

    Args:
        in_features: Width ``F`` of the features.
        n_clusters: Number of clusters ``K``, at least 2.
        hidden: Width of the encoder's hidden layer.
        width: Width ``D`` of the embedding.
        hops: Hops over which features are propagated before the first layer.
        order: Positives reach ``1 .. order`` hops, each hop with the same weight.
        warmup: Epochs of exact contrast before the clusters take over.
        temperature: Divides the cosine similarity.
        contrast: Weight of the contrastive term once the clusters have taken over.
        self_training: Weight of the self-training term.
        n_init: Starts of the k-means that gives the centres.

    Shapes:
        training_step: ``Data(x=(N, F), edge_index=(2, E))`` to a dict whose ``"loss"`` is a scalar.
        embed: the same to ``(N, D)``, unit rows; assign: ``(N, D)`` to ``(N, K)``, rows that sum to 1.

    Raises:
        InputError: A hyper-parameter out of range.
    """

    def __init__(
        self,
        in_features: int,
        n_clusters: int,
        *,
        hidden: int = 256,
        width: int = 64,
        hops: int = 2,
        order: int = 1,
        warmup: int = 50,
        temperature: float = 1.0,
        contrast: float = 1.0,
        self_training: float = 5.0,
        n_init: int = 20,
    ) -> None:
        super().__init__()
        for name, value, least in (
            ("n_clusters", n_clusters, 2),
            ("order", order, 1),
            ("warmup", warmup, 0),
            ("contrast", contrast, 0),
            ("self_training", self_training, 0),
            ("n_init", n_init, 1),
        ):
            if not value >= least:
                raise InputError(f"{name} must be >= {least}; got {value}")
        self.temperature = check_temperature(temperature)
        self.n_clusters, self.order, self.warmup, self.n_init = n_clusters, order, warmup, n_init
        self.contrast, self.self_training = contrast, self_training
        self.encoder = PropagatedMLP(in_features, width, hidden=hidden, hops=hops)
        self.centres = nn.Parameter(torch.zeros(n_clusters, width))
        self.clustered: Tensor
        self.register_buffer("clustered", torch.tensor(False))

    def on_epoch_start(self, epoch: int, data: Data) -> None:
        """Places the centres when the warm-up ends."""
        if epoch >= self.warmup and not self.clustered:
            self.place_centres(data)

    def on_fit_end(self, data: Data) -> None:
        """A run that ends inside the warm-up is clustered by k-means alone."""
        if not self.clustered:
            self.place_centres(data)

    def training_step(self, data: Data) -> dict[str, Tensor]:
        """One full-batch step: the terms by name."""
        u = self._unit(data)
        positives = _positives(data)
        if not self.clustered:
            loss = self._contrast(None)(u, u, positives=positives, order=self.order)
            return {"loss": loss, "contrast": loss.detach()}
        q = student_t(u, self.centres)
        negatives = MetaNode(q.detach().argmax(1), self.n_clusters)
        contrast = self._contrast(negatives)(u, u, positives=positives, order=self.order)
        sharpen = self_training(q)
        loss = self.contrast * contrast + self.self_training * sharpen
        return {"loss": loss, "contrast": contrast.detach(), "self_training": sharpen.detach()}

    @torch.no_grad()
    def embed(self, data: Data) -> Tensor:
        """Unit embeddings of all nodes."""
        return self._unit(data)

    @torch.no_grad()
    def assign(self, z: Tensor) -> Tensor | None:
        """Soft assignment of embeddings; ``None`` while there are no clusters yet."""
        return student_t(z, self.centres) if self.clustered else None

    @torch.no_grad()
    def place_centres(self, data: Data) -> None:
        """k-means on the current embedding; its seed is drawn from torch's generator, so the run's seed decides it."""
        seed = int(torch.randint(2**31 - 1, ()))
        found = kmeans(self._unit(data).cpu().numpy(), self.n_clusters, seed=seed, n_init=self.n_init)
        self.centres.copy_(torch.from_numpy(found.centres))
        self.clustered.fill_(True)

    def _unit(self, data: Data) -> Tensor:
        return unit_rows(self.encoder(data.x, data.edge_index, data.edge_weight if "edge_weight" in data else None))

    def _contrast(self, negatives: Negatives | None) -> PairLoss:
        return NeighborContrast(self.temperature, negatives=negatives, similarity="dot")


def _positives(data: Any) -> Adjacency:
    weight = data.edge_weight if "edge_weight" in data else None
    return cached_adjacency(data.edge_index, data.num_nodes, edge_weight=weight, normalize="row", self_loops=False)
