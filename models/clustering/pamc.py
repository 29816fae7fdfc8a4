"""PamC: contrast against clusters instead of nodes."""

from __future__ import annotations

import weakref
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from torch_geometric.data import Data

from graphcl.errors import InputError, unknown_name
from graphcl.kernels import cached_adjacency
from graphcl.losses import self_training, student_t, unit_rows
from graphcl.models.clustering.cluster_contrast import ClusterContrast, Proxy
from graphcl.models.clustering.initial import Initial, place_centres
from graphcl.models.encoders import PropagatedMLP, propagated_features
from graphcl.models.encoders.autoencoder import AutoEncoder

Start = Literal["propagated", "autoencoder"]
EVERYONE = 20_000  # nodes up to which the warm-up contrasts all with all
DRAWS = 1_024
MANY = 65_536  # rows above which they are assigned part by part: on the way a row takes ten times what is left of it
PART = 8_192  # rows of it: a few MB, which stay in the cache and which the allocator hands out again


class PamC(nn.Module):
    """Neighbours attract, meta-nodes repel, and the clusters sharpen themselves.

    Two starts. ``"propagated"``: a perceptron on propagated features, of unit embeddings, trained from scratch. A warm-up
    contrasts every node with its neighbours against all other nodes, exactly up to 20,000 of them and against a sample beyond;
    then k-means on the embedding gives the centres. ``"autoencoder"``, as published: the encoder of an auto-encoder of the bare
    features, which the first epoch pre-trains; k-means follows at once. From there each step takes every node's cluster from
    its Student-t assignment, lets the clusters stand for the negatives (linear in the number of nodes) and pulls the assignment
    towards its target distribution. A cluster that loses its last member stops repelling and may win members back through its
    centre.
    `ClusterContrast` has the contrast of both, plain for the former and filled for the latter.

    A batch of a graph is contrasted with its own nodes, neighbours being those in the batch. Its dense features are those that
    the whole graph propagated, once, so that a step costs what the batch costs and a node is embedded as in the whole graph.
    An epoch is many steps then, and few epochs do: on a million nodes four of sixteen steps before the clusters and four after.

    Kulatilleke, Portmann and Chandra, 2022, https://arxiv.org/abs/2209.14067. Differs from the official code, besides what
    `MetaNode`, `NeighborContrast` and `PamCLoss` say: the propagated start; pre-training has the run's seed, where all runs
    there share SDCN's one file of weights; the temperature divides (the paper's inverse temperature is one over ours); no
    label is looked at.

    Args:
        in_features: Width ``F`` of the features.
        n_clusters: Number of clusters ``K``, at least 2.
        start: ``"propagated"`` or ``"autoencoder"``.
        proxy: What stands for the negatives, ``"node"``, ``"cluster"``, ``"pamc"``, ``"hybrid"`` or ``"exact"``; ``"node"``
            when ``None``, as published, ``"pamc"``, with the auto-encoder.
        soft: Whether clusters are weighted by the assignments, which ``"node"`` takes, ``"cluster"`` with the auto-encoder.
        hidden: Width ``H`` of the first hidden layer; 256 when ``None``. The auto-encoder is ``F - H - H - 4 H - D``, 500.
        width: Width ``D`` of the embedding; 64 when ``None``, 10 with the auto-encoder.
        hops: Hops over which features are propagated before the first layer; the auto-encoder takes them as they are.
        order: Positives reach ``1 .. order`` hops, each hop with the same weight.
        warmup: Epochs of contrast with all nodes before the clusters take over; the auto-encoder has its pre-training instead.
        warmup_draws: Nodes drawn anew each epoch of the warm-up to stand for all; all themselves if not fewer. When ``None``,
            all of up to 20,000 nodes and 1,024 of more, so that the whole training is linear in the number of nodes.
        temperature: Divides the cosine similarity.
        contrast: Weight of the contrastive term once the clusters have taken over.
        self_training: Weight of the self-training term.
        n_init: Starts of the k-means that gives the centres.
        pretrain_epochs: Epochs of pre-training of the auto-encoder.
        max_fill: Most positives of a node with the auto-encoder; those of largest weight stay.
        tolerance: Error of a log-partition that ``"hybrid"`` may leave.

    Shapes:
        training_step: ``Data(x=(N, F), edge_index=(2, E))`` to a dict whose ``"loss"`` is a scalar.
        embed: the same to ``(N, D)``, unit rows if propagated; assign: ``(N, D)`` to ``(N, K)``, rows that sum to 1.

    Raises:
        InputError: A hyper-parameter out of range.
    """

    def __init__(
        self,
        in_features: int,
        n_clusters: int,
        *,
        start: Start = "propagated",
        proxy: Proxy | None = None,
        soft: bool = False,
        hidden: int | None = None,
        width: int | None = None,
        hops: int = 2,
        order: int = 1,
        warmup: int = 50,
        warmup_draws: int | None = None,
        temperature: float = 1.0,
        contrast: float = 1.0,
        self_training: float = 5.0,
        n_init: int = 20,
        pretrain_epochs: int = 30,
        max_fill: int = 1024,
        tolerance: float = 0.01,
    ) -> None:
        super().__init__()
        for name, value, least in (
            ("n_clusters", n_clusters, 2),
            ("order", order, 1),
            ("warmup", warmup, 0),
            ("warmup_draws", DRAWS if warmup_draws is None else warmup_draws, 1),
            ("contrast", contrast, 0),
            ("self_training", self_training, 0),
            ("n_init", n_init, 1),
            ("pretrain_epochs", pretrain_epochs, 0),
            ("max_fill", max_fill, 1),
            ("tolerance", tolerance, 0),
        ):
            if not value >= least:
                raise InputError(f"{name} must be >= {least}; got {value}")
        if start not in get_args(Start):
            raise unknown_name("start", start, get_args(Start))
        pretrained = start == "autoencoder"
        self.n_clusters, self.n_init, self.pretrain_epochs = n_clusters, n_init, pretrain_epochs
        self.warmup, self.warmup_draws = 0 if pretrained else warmup, warmup_draws
        self.contrast, self.self_training = contrast, self_training
        self.in_features = in_features
        self.hidden = hidden = (500 if pretrained else 256) if hidden is None else hidden
        width = (10 if pretrained else 64) if width is None else width
        self.encoder: AutoEncoder | PropagatedMLP = (
            AutoEncoder(in_features, width, hidden=hidden, decoder=False)
            if pretrained
            else PropagatedMLP(in_features, width, hidden=hidden, hops=hops)
        )
        self.objective = ClusterContrast(
            n_clusters,
            temperature=temperature,
            proxy=proxy or ("pamc" if pretrained else "node"),
            soft=soft,
            order=order,
            filled=pretrained,
            max_fill=max_fill,
            tolerance=tolerance,
        )
        self.centres = nn.Parameter(torch.zeros(n_clusters, width))
        self.initial: Initial | None = None
        self.clustered: Tensor
        self.register_buffer("clustered", torch.tensor(False))
        self._whole: weakref.ref[Data] | None = None

    @property
    def late_parts(self) -> dict[str, int]:
        """See `graphcl.training.HasLateParts`."""
        return {"warmup": self.warmup}

    def on_epoch_start(self, epoch: int, data: Data) -> None:
        """Places the centres when the warm-up ends, or the auto-encoder is pre-trained."""
        self._whole = weakref.ref(data)
        if epoch >= self.warmup and not self.clustered:
            self.place_centres(data)

    def on_fit_end(self, data: Data) -> None:
        """A run that ends inside the warm-up is clustered by k-means alone."""
        self._whole = None
        if not self.clustered:
            self.place_centres(data)

    def training_step(self, data: Data) -> dict[str, Tensor]:
        """One step, on the graph or a batch of it: the terms by name."""
        z = self._embed(data)
        if not self.clustered:
            draws = DRAWS if self.warmup_draws is None and len(z) > EVERYONE else self.warmup_draws
            loss = self.objective(z, data, None, draws=draws)
            return {"loss": loss, "contrast": loss.detach()}
        if len(z) > MANY and not self.objective.soft:
            clusters, sharpen = self._sharpened(z)
            contrast = self.objective(z, data, clusters)
        else:
            q = student_t(z, self.centres)
            contrast = self.objective(z, data, q)
            sharpen = self_training(q)
        loss = self.contrast * contrast + self.self_training * sharpen
        terms = {"loss": loss, "contrast": contrast.detach(), "self_training": sharpen.detach()}
        return {**terms, **self.objective.dropped(data)}

    @torch.no_grad()
    def embed(self, data: Data) -> Tensor:
        """Embeddings of all nodes, of length 1 if propagated."""
        return self._embed(data)

    @torch.no_grad()
    def assign(self, z: Tensor) -> Tensor | None:
        """Soft assignment of embeddings; ``None`` while there are no clusters yet."""
        if not self.clustered:
            return None
        q = z.new_empty(len(z), self.n_clusters)
        for rows, out in zip(torch.split(z, PART), torch.split(q, PART), strict=True):
            out.copy_(student_t(rows, self.centres))
        return q

    def memory_estimate(self, num_nodes: int, num_edges: int, num_values: int) -> int:
        """Bytes that training takes at its peak besides the graph: fitted to runs on a CPU, and good to a factor of 2.

        Args:
            num_nodes: ``N``.
            num_edges: ``E``, both directions.
            num_values: Feature values that are stored: ``N * F`` where they are dense.
        """
        return self._memory(num_nodes, num_edges, num_values, self.hidden)

    def memory_remedy(self, num_nodes: int, num_edges: int, num_values: int, available: int) -> str | None:
        """The widest hidden layer, a power of two from 16 on, with which training fits into ``available`` bytes."""
        for hidden in (2**power for power in range(self.hidden.bit_length(), 3, -1)):
            fits = self._memory(num_nodes, num_edges, num_values, hidden) <= available
            if hidden < self.hidden and fits:
                return f"model.hidden={hidden}"
        return None

    @torch.no_grad()
    def place_centres(self, data: Data) -> None:
        """k-means on the current embedding, pre-trained first where it is to be."""
        seconds = 0.0
        if isinstance(self.encoder, AutoEncoder):
            seconds = self.encoder.pretrain(data.x, epochs=self.pretrain_epochs)
        self.initial = place_centres(self.centres, self._embed(data), n_init=self.n_init, seconds=seconds)
        self.clustered.fill_(True)

    def _embed(self, data: Data) -> Tensor:
        if isinstance(self.encoder, AutoEncoder):
            z: Tensor = self.encoder(data.x)
            return z
        whole = None if self._whole is None or "n_id" not in data else self._whole()
        if whole is None or whole is data or data.x.layout != torch.strided:
            return unit_rows(self.encoder(data.x, data.edge_index, _weights(data)))
        # A batch lacks most neighbours of its nodes: the whole graph has propagated its features, once.
        adjacency = cached_adjacency(whole.edge_index, len(whole.x), edge_weight=_weights(whole), normalize="sym")
        smooth = propagated_features(whole.x, adjacency, self.encoder.hops)
        return unit_rows(self.encoder.perceptron(smooth.index_select(0, data.n_id)))

    def _sharpened(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Clusters and self-training of many nodes, some rows at a time: made again in the backward pass, never all at once.

        Shapes:
            z: ``(N, D)``; returns: ``(N,)`` int64 and a scalar.
        """
        mass, clusters = torch.zeros_like(self.centres[:, 0]), []
        with torch.no_grad():
            for rows in torch.split(z, PART):
                q = student_t(rows, self.centres)
                mass += q.sum(0)
                clusters.append(q.argmax(1))
        mass = mass.clamp(min=torch.finfo(mass.dtype).tiny)

        def part(rows: Tensor, centres: Tensor) -> Tensor:
            q = student_t(rows, centres)
            weight = q.detach().square() / mass
            return self_training(q, weight / weight.sum(1, keepdim=True)) * (len(rows) / len(z))

        parts = [
            checkpoint(part, rows, self.centres, use_reentrant=False, preserve_rng_state=False) for rows in torch.split(z, PART)
        ]
        return torch.cat(clusters), torch.stack(parts).sum()

    def _memory(self, nodes: int, edges: int, values: int, hidden: int) -> int:
        dense = values == nodes * self.in_features
        part = PART / nodes if nodes > MANY else 1  # of the rows, where they are not held at once
        shared = 32 * self.n_clusters * (1 if self.objective.soft else part)
        row = 12 * hidden + 40 * self.centres.shape[1] + int(shared)
        order = self.objective.order
        if isinstance(self.encoder, PropagatedMLP):
            row -= int(12 * hidden * (1 - part)) if dense else 0
            return 2**26 + nodes * row + edges * (56 + 20 * (order - 1)) + values * (10 if dense else 30)
        fill = min(self.objective.max_fill or nodes, nodes, (edges / max(nodes, 1) + 1) ** order)
        weights = 40 * hidden * (self.in_features + 5 * hidden)
        return 2**26 + nodes * (6 * row + int(48 * fill)) + weights + 4 * nodes * self.in_features + 56 * edges


def _weights(data: Data) -> Tensor | None:
    return data.edge_weight if "edge_weight" in data else None
