"""SDCN: an auto-encoder and a graph network side by side, trained by the clusters of the former."""

from __future__ import annotations

from itertools import pairwise
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch_geometric.data import Data

from graphcl.errors import InputError, unknown_name
from graphcl.kernels import Adjacency, cached_adjacency, feature_product, propagate
from graphcl.losses import self_training, student_t, target_distribution
from graphcl.models.clustering.initial import Initial, place_centres
from graphcl.models.encoders.autoencoder import AutoEncoder

Prediction = Literal["gcn", "autoencoder"]


class SDCN(nn.Module):
    """Every layer of a graph network takes in what the auto-encoder's layer knows, and both learn the clusters' target.

    ``MSE + self_training * KL(P || Q) + graph_training * KL(P || Z)``: ``Q`` are Student-t assignments of the auto-encoder's
    embedding, ``P`` their sharpened version, a constant of the step, and ``Z`` the softmax that five bias-free graph
    convolutions end in, ``g <- relu(A ((1 - mixing) g + mixing h) W)``, with ``A`` row-normalised with self-loops. The first
    epoch pre-trains the auto-encoder and places the centres by k-means. Time ``O(N P + E D)`` a step.

    Bo et al., 2020, https://arxiv.org/abs/2002.01633. Differs from the official code: pre-training has the run's seed, where
    all runs there share one file of weights; no label is looked at.

    Args:
        in_features: Width ``F`` of the features.
        n_clusters: Number of clusters ``K``, at least 2.
        width: Width ``D`` of the embedding.
        hidden: Width ``H`` of both networks, ``F - H - H - 4 H - D``.
        mixing: Share of the auto-encoder in what a graph layer takes in, ``0 .. 1``; 0 is a plain graph network.
        self_training: Weight of the term of ``Q``.
        graph_training: Weight of the term of ``Z``.
        prediction: Whether clusters are read from ``Z``, as published, or from ``Q``, the paper's SDCN-Q.
        pretrain_epochs: Epochs of pre-training.
        n_init: Starts of the k-means that gives the centres.

    Shapes:
        training_step: ``Data(x=(N, F), edge_index=(2, E))`` to a dict whose ``"loss"`` is a scalar.
        embed: the same to ``(N, D)``, what ``prediction`` reads; assign: ``(N, D)`` to ``(N, K)``, rows that sum to 1.

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
        mixing: float = 0.5,
        self_training: float = 0.1,
        graph_training: float = 0.01,
        prediction: Prediction = "gcn",
        pretrain_epochs: int = 30,
        n_init: int = 20,
    ) -> None:
        super().__init__()
        for name, value, least in (
            ("n_clusters", n_clusters, 2),
            ("self_training", self_training, 0),
            ("graph_training", graph_training, 0),
            ("pretrain_epochs", pretrain_epochs, 0),
            ("n_init", n_init, 1),
        ):
            if not value >= least:
                raise InputError(f"{name} must be >= {least}; got {value}")
        if not 0 <= mixing <= 1:
            raise InputError(f"mixing must lie in 0 .. 1, the share of the auto-encoder; got {mixing}")
        if prediction not in get_args(Prediction):
            raise unknown_name("prediction", prediction, get_args(Prediction))
        self.mixing, self.prediction = mixing, prediction
        self.self_training, self.graph_training = self_training, graph_training
        self.pretrain_epochs, self.n_init = pretrain_epochs, n_init
        self.autoencoder = AutoEncoder(in_features, width, hidden=hidden)
        self.weights = nn.ParameterList(torch.empty(a, b) for a, b in pairwise((*self.autoencoder.widths, n_clusters)))
        for weight in self.weights:
            nn.init.xavier_uniform_(weight)
        self.centres = nn.Parameter(torch.zeros(n_clusters, width))
        self.initial: Initial | None = None
        self.clustered: Tensor
        self.register_buffer("clustered", torch.tensor(False))

    def on_epoch_start(self, epoch: int, data: Data) -> None:
        """Pre-trains and places the centres, once."""
        if not self.clustered:
            seconds = self.autoencoder.pretrain(data.x, epochs=self.pretrain_epochs)
            with torch.no_grad():
                z = self.autoencoder(data.x)
            self.initial = place_centres(self.centres, z, n_init=self.n_init, seconds=seconds)
            self.clustered.fill_(True)

    def training_step(self, data: Data) -> dict[str, Tensor]:
        """One full-batch step: the terms by name."""
        states = self.autoencoder.states(data.x)
        q = student_t(states[-1], self.centres)
        target = target_distribution(q)
        terms = {
            "reconstruction": self.autoencoder.reconstruction(data.x, states[-1]),
            "self_training": self_training(q, target),
            "graph_training": self_training(self._classify(self._convolve(data, states)), target),
        }
        loss = (
            terms["reconstruction"]
            + self.self_training * terms["self_training"]
            + self.graph_training * terms["graph_training"]
        )
        return {"loss": loss, **{name: term.detach() for name, term in terms.items()}}

    @torch.no_grad()
    def embed(self, data: Data) -> Tensor:
        """What the prediction is read from: the input of the last graph layer, or the auto-encoder's embedding."""
        states = self.autoencoder.states(data.x)
        return self._convolve(data, states) if self.prediction == "gcn" else states[-1]

    @torch.no_grad()
    def assign(self, z: Tensor) -> Tensor | None:
        """Soft assignment of what ``embed`` gave; ``None`` while there are no clusters yet."""
        if not self.clustered:
            return None
        return self._classify(z) if self.prediction == "gcn" else student_t(z, self.centres)

    def _convolve(self, data: Data, states: list[Tensor]) -> Tensor:
        weight = data.edge_weight if "edge_weight" in data else None
        adj = cached_adjacency(data.edge_index, data.num_nodes, edge_weight=weight, normalize="row", self_loops=True)
        g = torch.relu(propagate(adj, feature_product(data.x, self.weights[0])))
        for own, layer in zip(states, self.weights[1:-1], strict=False):
            g = torch.relu(_layer(adj, torch.lerp(g, own, self.mixing), layer))
        return propagate(adj, torch.lerp(g, states[-1], self.mixing))

    def _classify(self, z: Tensor) -> Tensor:
        shares: Tensor = (z @ self.weights[-1]).softmax(1)
        return shares


def _layer(adj: Adjacency, x: Tensor, weight: Tensor) -> Tensor:
    """``A x W`` in the cheaper order."""
    if weight.shape[0] < weight.shape[1]:
        return propagate(adj, x) @ weight
    return propagate(adj, x @ weight)
