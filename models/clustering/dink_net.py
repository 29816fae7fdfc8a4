"""Dink-Net: tell real nodes from shuffled ones, then move cluster centres apart and nodes towards them."""

from __future__ import annotations

import time
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch_geometric.data import Data

from graphcl.augment import MaskFeatures, check_probability
from graphcl.errors import InputError, unknown_name
from graphcl.kernels import Adjacency, cached_adjacency, feature_product, propagate
from graphcl.losses import BCE, student_t, unit_rows
from graphcl.models.clustering.initial import Initial, place_centres
from graphcl.models.encoders import GCN

Objective = Literal["published", "bounded"]


class DinkNet(nn.Module):
    """A graph convolution learns to tell nodes from nodes with exchanged features; then cluster centres dilate and shrink.

    The first epoch pre-trains ``h = act(A X W + b)`` by binary cross-entropy: a node's logit is a linear function of ``h``, and
    the counter-example has the features of another node. k-means on ``norm(h + A^hops h)`` places the centres ``c``. From
    there, with these unit rows for ``h`` and ``L_disc`` the pre-training's loss:

    ``"published"``: ``-sum_{i != j} |c_i - c_j|^2 / (K (K - 1)) + mean_ij |h_i - c_j|^2 + discrimination * L_disc``, ``h`` a
    constant in the first two, as in the official code. These know the data only through the mean of ``h``, have no lower bound,
    and drive the centres apart exponentially, along the lines that k-means gave them; far out, lengths of centres decide about
    clusters. The encoder hardly moves, since its gradients are below Adam's ``eps``.

    ``"bounded"``: ``mean_i |h_i - c_{y_i}|^2 - sum_{i != j} log(|c_i - c_j|^2 / 4) / (K (K - 1)) + discrimination * L_disc``
    with unit centres and ``y_i`` the nearest; ``h`` and ``y`` are constants in the first term. Centres follow the nodes that
    are theirs, the encoder goes on with its task, and no part falls below 0. Were nodes drawn to centres as well, all could
    meet at one: on ACM they did, within 40 epochs. Time ``O(nnz(x) D + hops E D + N K D)`` a step, memory ``O(N (D + K))``.

    Liu et al., 2023, https://arxiv.org/abs/2305.18405. Differs from the official code: starts from scratch, not from a shipped
    checkpoint; the logit, a sum over the outputs of a linear projector, is one vector that stands for the ``D x D`` weights,
    scaled so that Adam moves it as it moves those; feature columns go with a probability, not by a fixed number; real and
    shuffled nodes share one product; no epoch is chosen by labels. Mini-batches are not built.

    Args:
        in_features: Width ``F`` of the features.
        n_clusters: Number of clusters ``K``, at least 2.
        width: Width ``D`` of the embedding.
        hops: Of the filter that is added to the embedding.
        drop_features: Probability that a feature column is missing in a step.
        objective: ``"published"`` or ``"bounded"``.
        discrimination: Weight of ``L_disc`` once there are centres; 1e-10 when ``None``, as published, 1 with ``"bounded"``.
        pretrain_epochs: Epochs of pre-training.
        pretrain_lr: Adam's learning rate in it.
        n_init: Starts of the k-means that gives the centres.

    Shapes:
        training_step: ``Data(x=(N, F), edge_index=(2, E))`` to a dict whose ``"loss"`` is a scalar.
        embed: the same to ``(N, D)``, unit rows; assign: ``(N, D)`` to ``(N, K)``, rows that sum to 1.

    Raises:
        InputError: A hyper-parameter out of range, or a pre-training that diverged.
    """

    def __init__(
        self,
        in_features: int,
        n_clusters: int,
        *,
        width: int = 512,
        hops: int = 5,
        drop_features: float = 0.2,
        objective: Objective = "bounded",
        discrimination: float | None = None,
        pretrain_epochs: int = 200,
        pretrain_lr: float = 1e-3,
        n_init: int = 20,
    ) -> None:
        super().__init__()
        if objective not in get_args(Objective):
            raise unknown_name("objective", objective, get_args(Objective))
        if discrimination is None:
            discrimination = 1e-10 if objective == "published" else 1.0
        for name, value, least in (
            ("n_clusters", n_clusters, 2),
            ("width", width, 1),
            ("hops", hops, 0),
            ("discrimination", discrimination, 0),
            ("pretrain_epochs", pretrain_epochs, 0),
            ("n_init", n_init, 1),
        ):
            if not value >= least:
                raise InputError(f"{name} must be >= {least}; got {value}")
        if not pretrain_lr > 0:
            raise InputError(f"pretrain_lr must be > 0; got {pretrain_lr}")
        check_probability(drop_features, "drop_features")
        self.hops, self.objective, self.discrimination = hops, objective, discrimination
        self.pretrain_epochs, self.pretrain_lr, self.n_init = pretrain_epochs, pretrain_lr, n_init
        self.mask = MaskFeatures(drop_features)
        self.encoder = GCN(in_features, width, layers=1, activation="prelu")
        projector = nn.Linear(width, width)
        self.score_weight = nn.Parameter(projector.weight.detach().mean(0))
        self.score_bias = nn.Parameter(projector.bias.detach().mean())
        self.criterion = BCE(half=True)
        self.centres = nn.Parameter(torch.zeros(n_clusters, width))
        self.initial: Initial | None = None
        self.clustered: Tensor
        self.register_buffer("clustered", torch.tensor(False))

    def on_epoch_start(self, epoch: int, data: Data) -> None:
        """Pre-trains and places the centres, once."""
        if not self.clustered:
            seconds = self.pretrain(data)
            self.initial = place_centres(self.centres, self.embed(data), n_init=self.n_init, seconds=seconds)
            self.clustered.fill_(True)

    def training_step(self, data: Data) -> dict[str, Tensor]:
        """One full-batch step: the terms by name."""
        terms = {"discrimination": self.discriminate(data)}
        z = self.embed(data)
        if self.objective == "published":
            terms["dilation"], terms["shrink"] = -_mean_square_distance(self.centres), _shrink_to_all(z, self.centres)
        else:
            centres = unit_rows(self.centres)
            terms["dilation"], terms["shrink"] = _barrier(centres), _shrink_to_nearest(z, centres)
        loss = terms["dilation"] + terms["shrink"] + self.discrimination * terms["discrimination"]
        return {"loss": loss, **{name: term.detach() for name, term in terms.items()}}

    @torch.no_grad()
    def embed(self, data: Data) -> Tensor:
        """Embeddings of all nodes, filtered and of length 1."""
        return self._embed(data)

    @torch.no_grad()
    def assign(self, z: Tensor) -> Tensor | None:
        """Soft assignment of embeddings, most of it to the nearest centre; ``None`` while there are none."""
        if not self.clustered:
            return None
        return student_t(z, self.centres if self.objective == "published" else unit_rows(self.centres))

    def pretrain(self, data: Data) -> float:
        """Learns to tell real nodes from shuffled ones; returns the seconds that this took."""
        began = time.perf_counter()
        learning = [*self.encoder.parameters(), self.score_weight, self.score_bias]
        optimizer = torch.optim.Adam(learning, lr=self.pretrain_lr)
        with torch.enable_grad():
            for _ in range(self.pretrain_epochs):
                optimizer.zero_grad(set_to_none=True)
                torch.autograd.backward(self.discriminate(data))
                optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if not all(bool(parameter.isfinite().all()) for parameter in learning):
            raise InputError("pre-training diverged: take a smaller pretrain_lr, and check the features for extreme values")
        return time.perf_counter() - began

    def discriminate(self, data: Data) -> Tensor:
        """Cross-entropy of telling nodes from nodes with the features of others, some columns missing in both."""
        product = self._product(data, self.mask.columns(data))
        order = torch.randperm(len(product), device=product.device)
        real, shuffled = self._convolve(data, product), self._convolve(data, product.index_select(0, order))
        loss: Tensor = self.criterion(self._score(real), self._score(shuffled))
        return loss

    def _embed(self, data: Data) -> Tensor:
        h = self._convolve(data, self._product(data, None))
        return unit_rows(h + propagate(_operator(data), h, self.hops))

    def _product(self, data: Data, columns: Tensor | None) -> Tensor:
        weight = self.encoder.weights[0]
        return feature_product(data.x, weight if columns is None else weight * columns.unsqueeze(1))

    def _convolve(self, data: Data, product: Tensor) -> Tensor:
        h: Tensor = self.encoder.activation(propagate(_operator(data), product) + self.encoder.biases[0])
        return h

    def _score(self, h: Tensor) -> Tensor:
        """The sum over a projector's outputs: ``D`` times the mean of its rows and biases."""
        return len(self.score_weight) * (h @ self.score_weight + self.score_bias)


def _operator(data: Data) -> Adjacency:
    weight = data.edge_weight if "edge_weight" in data else None
    adj = cached_adjacency(data.edge_index, data.num_nodes, edge_weight=weight, normalize="sym", self_loops=True)
    return adj.to(dtype=data.x.dtype)


def _mean_square_distance(centres: Tensor) -> Tensor:
    """Over pairs of different centres, from their lengths and their sum: ``O(K D)``."""
    k = len(centres)
    return 2 * (k * centres.square().sum() - centres.sum(0).square().sum()) / (k * (k - 1))


def _shrink_to_all(z: Tensor, centres: Tensor) -> Tensor:
    """Mean squared distance of all rows to all centres; only the means of both meet: ``O((N + K) D)``."""
    return z.square().sum(1).mean() + centres.square().sum(1).mean() - 2 * (z.mean(0) * centres.mean(0)).sum()


def _barrier(centres: Tensor) -> Tensor:
    """``-mean log(|c_i - c_j|^2 / 4)`` over pairs of unit centres: 0 for two opposite ones, infinite where two meet."""
    k = len(centres)
    pairs = torch.triu_indices(k, k, 1, device=centres.device)
    gaps = centres.index_select(0, pairs[0]) - centres.index_select(0, pairs[1])
    return -(gaps.square().sum(1).clamp(min=1e-12) / 4).log().mean()


def _shrink_to_nearest(z: Tensor, centres: Tensor) -> Tensor:
    """Mean squared distance of unit rows to the nearest of unit centres."""
    nearest = (z @ centres.detach().T).argmax(1)
    return (z - centres.index_select(0, nearest)).square().sum(1).mean()
