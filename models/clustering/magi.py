"""MAGI: nodes that walks bring together more often than on average agree, and differ from all others."""

from __future__ import annotations

import numpy as np
import torch
from sklearn.cluster import MiniBatchKMeans
from threadpoolctl import threadpool_limits
from torch import Tensor, nn
from torch_geometric.data import Data

from graphcl.augment import check_probability
from graphcl.errors import InputError
from graphcl.evaluation.kmeans import kmeans
from graphcl.evaluation.spectral import SpectralMap, linear_spectral
from graphcl.kernels import Adjacency, WeakTensorCache
from graphcl.losses import NeighborContrast, check_temperature, student_t, unit_rows
from graphcl.models.clustering.random_walks import walk_positives
from graphcl.models.encoders import GCN
from graphcl.negatives import CLUSTERED, NegativesName, named_negatives

_positives: WeakTensorCache[Adjacency] = WeakTensorCache()


class MAGI(nn.Module):
    """Modularity as a contrastive task: pairs above expectation, as walks sample them, are the positives of a softmax.

    ``mean_i -t / |P_i| sum_{j in P_i} [s_ij / t - log sum_{k != i} exp(s_ik / t)]`` with ``P_i`` of `walk_positives`, the same
    for the whole run. A graph network of one or two layers, rows of its output scaled to ``0 .. 1`` and then to length 1, so
    that no cosine is negative. Spectral clustering of all cosines, once training is over, gives the clusters; `linear_spectral`
    does it by products, and embeddings of other graphs are placed by its extension. Time ``O(N N D)`` a step with exact
    negatives, memory ``O(N D)``: positives are sparse, and no N x N array is held in training or in clustering.

    Liu et al., 2024, https://arxiv.org/abs/2406.14288. Differs from the official code: a node without a positive is left out
    of the mean, where a node alone is its own positive there and rows without any shift the others; walks have the run's seed;
    the dense logits and the dense cosine matrix of the spectral step are not there. Its form for large graphs, batches of
    sampled neighbours, is not built: estimators of the negatives serve instead.

    Args:
        in_features: Width ``F`` of the features.
        n_clusters: Number of clusters ``K``, at least 2.
        width: Width ``D`` of the embedding.
        hidden: Width of a first layer; one layer in all when ``None``.
        walks: Walks from each node.
        walk_length: Steps of each.
        temperature: Divides the similarity.
        slope: Of the leaky rectifier below zero.
        dropout: Probability that a feature value is dropped in training.
        negatives: One of `graphcl.negatives.NegativesName`; those that stand on clusters get ``sqrt N`` of them from mini-batch
            k-means before every epoch.
        n_init: Starts of the k-means in the spectral step.

    Shapes:
        training_step: ``Data(x=(N, F), edge_index=(2, E))`` to a dict whose ``"loss"`` is a scalar.
        embed: the same to ``(N, D)``, unit rows; assign: ``(N, D)`` to ``(N, K)``, rows that sum to 1.

    Raises:
        InputError: A hyper-parameter out of range, an unknown estimator or one that needs a single positive.
    """

    clusters_at_end = True  # no earlier epoch has any that could be chosen

    def __init__(
        self,
        in_features: int,
        n_clusters: int,
        *,
        width: int = 512,
        hidden: int | None = None,
        walks: int = 100,
        walk_length: int = 3,
        temperature: float = 0.5,
        slope: float = 0.5,
        dropout: float = 0.1,
        negatives: NegativesName = "exact",
        n_init: int = 20,
    ) -> None:
        super().__init__()
        for name, value, least in (
            ("n_clusters", n_clusters, 2),
            ("width", width, 1),
            ("walks", walks, 1),
            ("walk_length", walk_length, 1),
            ("slope", slope, 0),
            ("n_init", n_init, 1),
        ):
            if not value >= least:
                raise InputError(f"{name} must be >= {least}; got {value}")
        check_probability(dropout, "dropout")
        if getattr(named_negatives(negatives, torch.zeros(2, dtype=torch.int64), 1), "reads_positive", False):
            raise InputError(f"negatives '{negatives}' ask for one positive a node, and here a node has many")
        self.temperature, self.dropout = check_temperature(temperature), dropout
        self.walks, self.walk_length, self.negatives, self.n_init = walks, walk_length, negatives, n_init
        layers = 1 if hidden is None else 2
        self.encoder = GCN(in_features, width, hidden=width if hidden is None else hidden, layers=layers)
        self.encoder.activation = nn.LeakyReLU(slope)
        self._clusters: tuple[Tensor, int] | None = None
        self.walk_seed: Tensor
        self.register_buffer("walk_seed", torch.randint(2**31 - 1, ()))
        # Where the clusters are, in spectral coordinates, and the way there.
        self.register_buffer("total", torch.zeros(width))
        self.register_buffer("basis", torch.zeros(width, n_clusters))
        self.register_buffer("values", torch.zeros(n_clusters))
        self.register_buffer("centres", torch.zeros(n_clusters, n_clusters))
        self.clustered: Tensor
        self.register_buffer("clustered", torch.tensor(False))

    def on_epoch_start(self, epoch: int, data: Data) -> None:
        """Clusters for the estimator, where it stands on some; those of an earlier end of training are of other weights."""
        self.clustered.fill_(False)
        if self.negatives in CLUSTERED:
            points = self.embed(data).float().cpu().numpy()
            count = max(1, round(len(points) ** 0.5))
            with threadpool_limits(1):
                means = MiniBatchKMeans(count, batch_size=4096, n_init=1, random_state=epoch).fit(points)
            self._clusters = torch.from_numpy(means.labels_.astype(np.int64)).to(data.edge_index.device), count

    def on_fit_end(self, data: Data) -> None:
        """Spectral clustering of the embedding."""
        z = self.embed(data)
        count = len(self.get_buffer("values"))
        if len(z) <= count:
            raise InputError(f"spectral clustering needs more nodes than clusters; got {len(z)} nodes and {count} clusters")
        found = linear_spectral(z, count)
        seed = int(torch.randint(2**31 - 1, ()))
        centres = kmeans(found(z).float().cpu().numpy(), count, seed=seed, n_init=self.n_init).centres
        parts = {"total": found.total, "basis": found.basis, "values": found.values, "centres": torch.from_numpy(centres)}
        for name, part in parts.items():
            self.get_buffer(name).copy_(part)
        self.clustered.fill_(True)

    def training_step(self, data: Data) -> dict[str, Tensor]:
        """One full-batch step."""
        z = self._embed(data)
        if self.negatives in CLUSTERED and self._clusters is None:
            raise InputError(f"negatives '{self.negatives}' stand on clusters: call on_epoch_start before the first step")
        estimator = named_negatives(self.negatives, *(self._clusters or ()))
        contrast = NeighborContrast(self.temperature, negatives=estimator, similarity="dot")
        return {"loss": self.temperature * contrast(z, z, positives=self.positives(data).to(dtype=z.dtype))}

    @torch.no_grad()
    def embed(self, data: Data) -> Tensor:
        """Embeddings of all nodes, without dropout; the mode is put back afterwards."""
        training = self.training
        self.eval()
        try:
            return self._embed(data)
        finally:
            self.train(training)

    @torch.no_grad()
    def assign(self, z: Tensor) -> Tensor | None:
        """Soft assignment of embeddings, by their spectral coordinates; ``None`` before the end of training."""
        if not self.clustered:
            return None
        there = SpectralMap(self.get_buffer("total"), self.get_buffer("basis"), self.get_buffer("values"))
        return student_t(there(z), self.get_buffer("centres"))

    def positives(self, data: Data) -> Adjacency:
        """Who agrees with whom: drawn once from the system's own seed, and remembered as long as the edges live."""
        setting = (data.num_nodes, int(self.walk_seed), self.walks, self.walk_length)

        def build() -> Adjacency:
            nodes, seed, walks, length = setting
            return walk_positives(data.edge_index, nodes, walks=walks, length=length, seed=seed)

        return _positives.get((data.edge_index,), setting, build)

    def _embed(self, data: Data) -> Tensor:
        x = _dropped(data.x, self.dropout) if self.training and self.dropout > 0 else data.x
        h = self.encoder(x, data.edge_index, data.edge_weight if "edge_weight" in data else None)
        low = h.amin(1, keepdim=True)
        spread = h.amax(1, keepdim=True) - low
        return unit_rows((h - low) / torch.where(spread > 0, spread, 1.0))


def _dropped(x: Tensor, p: float) -> Tensor:
    """Dropout of feature values; those that sparse features do not store are zero before and after."""
    if x.layout == torch.strided:
        return nn.functional.dropout(x, p)
    values = nn.functional.dropout(x.values(), p)
    return torch.sparse_csr_tensor(x.crow_indices(), x.col_indices(), values, x.shape, check_invariants=False)
