"""SCGC-L: two linear maps of smoothed features whose cosines are to be the adjacency."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch_geometric.data import Data

from graphcl.errors import InputError
from graphcl.kernels import cached_adjacency
from graphcl.losses import student_t, unit_rows
from graphcl.models.clustering.filtered_product import filtered_product
from graphcl.models.clustering.gram_mse import gram_mse
from graphcl.models.clustering.initial import place_centres
from graphcl.models.clustering.running_sum import running_sum


class SCGCL(nn.Module):
    """Features are smoothed once, two unshared linear maps make two views, and nodes agree across them where there is an edge.

    ``||Z1 Z2^T - (A + I)||_F^2 / N^2`` with ``z1 = norm(X_t W1 + b1)``, ``z2 = norm(X_t W2 + b2) + noise * e`` and
    ``X_t = A_sym^t X``; ``e`` is Gaussian, in training alone. The embedding is ``(z1 + z2) / 2``; k-means on it, once training
    is over, gives the clusters. `gram_mse` computes the loss exactly, in ``O(N D D + E D)``; `filtered_product` the maps. There
    are no negatives to estimate: the loss is a regression on all pairs.

    Liu et al., 2022, https://arxiv.org/abs/2205.07865; another method that is called SCGC is `SCGCK`. Differs from the
    official code: the dense target and the N x N product are not there; gradients are cleared between steps, unless
    ``gradient_sum`` asks for the official loop, which never does so that its optimiser follows their running sum; no epoch is
    chosen by labels.

    Args:
        in_features: Width ``F`` of the features.
        n_clusters: Number of clusters ``K``, at least 2.
        width: Width ``D`` of the embedding.
        hops: Number ``t`` of products with the symmetrically normalised adjacency.
        noise: Standard deviation of what is added to the second view.
        gradient_sum: Whether steps follow the sum of all gradients so far; for one backward pass a step (``accumulate`` 1).
        n_init: Starts of the k-means that gives the clusters.

    Shapes:
        training_step: ``Data(x=(N, F), edge_index=(2, E))`` to a dict whose ``"loss"`` is a scalar.
        embed: the same to ``(N, D)``; assign: ``(N, D)`` to ``(N, K)``, rows that sum to 1.

    Raises:
        InputError: A hyper-parameter out of range.
    """

    clusters_at_end = True  # no earlier epoch has any that could be chosen

    def __init__(
        self,
        in_features: int,
        n_clusters: int,
        *,
        width: int = 500,
        hops: int = 3,
        noise: float = 0.01,
        gradient_sum: bool = False,
        n_init: int = 20,
    ) -> None:
        super().__init__()
        for name, value, least in (
            ("n_clusters", n_clusters, 2),
            ("width", width, 1),
            ("hops", hops, 0),
            ("noise", noise, 0),
            ("n_init", n_init, 1),
        ):
            if not value >= least:
                raise InputError(f"{name} must be >= {least}; got {value}")
        self.hops, self.noise, self.n_init = hops, noise, n_init
        self.maps = nn.Linear(in_features, 2 * width)  # both maps, one beside the other
        self.gradient_sum = gradient_sum
        if gradient_sum:
            for name, parameter in self.maps.named_parameters():
                self.register_buffer(f"{name}_sum", torch.zeros_like(parameter))
        self.centres = nn.Parameter(torch.zeros(n_clusters, width), requires_grad=False)
        self.clustered: Tensor
        self.register_buffer("clustered", torch.tensor(False))

    def on_epoch_start(self, epoch: int, data: Data) -> None:
        """Clusters of an earlier end of training are those of other weights."""
        self.clustered.fill_(False)

    def on_fit_end(self, data: Data) -> None:
        """k-means on the embedding."""
        place_centres(self.centres, self.embed(data), n_init=self.n_init)
        self.clustered.fill_(True)

    def training_step(self, data: Data) -> dict[str, Tensor]:
        """One full-batch step."""
        first, second = self._views(data)
        second = second + self.noise * torch.randn_like(second)
        weight = data.edge_weight if "edge_weight" in data else None
        target = cached_adjacency(data.edge_index, data.num_nodes, edge_weight=weight, normalize=None, self_loops=True)
        return {"loss": gram_mse(first, second, target.to(dtype=first.dtype))}

    @torch.no_grad()
    def embed(self, data: Data) -> Tensor:
        """The mean of both views, without noise."""
        first, second = self._views(data)
        return (first + second) / 2

    @torch.no_grad()
    def assign(self, z: Tensor) -> Tensor | None:
        """Soft assignment of embeddings to the centres; ``None`` before the end of training."""
        return student_t(z, self.centres) if self.clustered else None

    def _views(self, data: Data) -> tuple[Tensor, Tensor]:
        weight: Tensor = self.maps.weight
        bias: Tensor = self.maps.bias
        if self.gradient_sum and torch.is_grad_enabled():
            weight = running_sum(weight, self.get_buffer("weight_sum"))
            bias = running_sum(bias, self.get_buffer("bias_sum"))
        given = data.edge_weight if "edge_weight" in data else None
        adj = cached_adjacency(data.edge_index, data.num_nodes, edge_weight=given, normalize="sym", self_loops=True)
        adj = adj.to(dtype=data.x.dtype)
        first, second = (filtered_product(data.x, adj, self.hops, weight.T) + bias).chunk(2, 1)
        return unit_rows(first), unit_rows(second)
