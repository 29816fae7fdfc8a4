"""PamC's contrast in both forms, with everything that may stand for the negatives."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor
from torch_geometric.data import Data

from graphcl.errors import InputError
from graphcl.kernels import Adjacency, Rule, cached_adjacency
from graphcl.kernels.powers import Powers, adjacency_powers
from graphcl.losses import NeighborContrast, PamCLoss, check_temperature, unit_rows
from graphcl.negatives import Exact, Hybrid, MetaNode, Negatives, PamCProxy, Sampled

Proxy = Literal["pamc", "cluster", "node", "hybrid", "exact"]


class ClusterContrast:
    """Nodes agree with their neighbours and differ from the clusters, or from everyone.

    Two forms. Plain, `NeighborContrast`: the mean similarity to neighbours, self left out, against the negatives of each node.
    Filled, as published, `PamCLoss`: powers of the adjacency with self-loops are written out, and their weights stand inside
    the logarithm. What stands for the negatives: ``"pamc"``, sums of clusters by cosine; ``"cluster"``, means of clusters by
    size; ``"node"``, each node against the means; ``"hybrid"``, the same with near clusters met node by node, to a tolerance;
    ``"exact"``, all nodes. Each form's own cost is that of its loss.

    Args:
        num_clusters: ``K``.
        temperature: Divides the cosine.
        proxy: What stands for the negatives.
        soft: Whether clusters are weighted by assignments, not by who is largest; for ``"node"``, and ``"cluster"`` if filled.
        order: Positives reach ``1 .. order`` hops.
        filled: Which form.
        cumulative: Whether all powers count in the filled form, or the last alone.
        max_fill: Most positives of a node in the filled form.
        tolerance: Of ``"hybrid"``, in a log-partition.

    Raises:
        InputError: A setting out of range, or soft clusters where only hard ones can be had.
    """

    def __init__(
        self,
        num_clusters: int,
        *,
        temperature: float,
        proxy: Proxy,
        soft: bool = False,
        order: int = 1,
        filled: bool = False,
        cumulative: bool = True,
        max_fill: int | None = None,
        tolerance: float = 0.01,
    ) -> None:
        if proxy not in get_args(Proxy):
            raise InputError(f"proxy must be one of {', '.join(get_args(Proxy))}, what stands for the negatives; got '{proxy}'")
        if soft and proxy not in (("node", "cluster") if filled else ("node",)):
            raise InputError(
                f"proxy '{proxy}' takes one cluster for each node: leave soft=False, or use proxy='node' (or 'cluster', with "
                "start='autoencoder')"
            )
        self.temperature, self.proxy, self.soft = check_temperature(temperature), proxy, soft
        self.num_clusters, self.order, self.filled = num_clusters, order, filled
        self.cumulative, self.max_fill, self.tolerance = cumulative, max_fill, tolerance

    def __call__(self, z: Tensor, data: Data, q: Tensor | None, *, draws: int | None = None) -> Tensor:
        """The loss; against everyone while there are no clusters.

        Args:
            z: Embeddings, of length 1 in the plain form.
            data: The graph.
            q: Soft assignments, constants here; or, unless ``soft``, the cluster of each node.
            draws: Nodes drawn to stand for everyone while there are no clusters; everyone when ``None`` or not fewer.

        Shapes:
            z: ``(N, D)``; q: ``(N, K)`` or ``(N,)`` int64; returns: scalar.
        """
        clusters = None if q is None else q.detach() if self.soft or q.ndim == 1 else q.detach().argmax(1)
        if self.filled:
            return self._filled(z, self._powers(data).adjacency, clusters)
        few = clusters is None and draws is not None and draws < len(z)
        negatives = Sampled(draws or 1) if few else self._estimator(clusters)
        contrast = NeighborContrast(self.temperature, negatives=negatives, similarity="dot")
        loss: Tensor = contrast(z, z, positives=_adjacency(data, self_loops=False), order=self.order)
        return loss

    def dropped(self, data: Data) -> dict[str, Tensor]:
        """A term for the log: the share of the positives' weight that ``max_fill`` cut off, where it cut any."""
        if not self.filled or (powers := self._powers(data)).exact:
            return {}
        return {"dropped": powers.dropped.mean()}

    def _powers(self, data: Data) -> Powers:
        adjacency = _adjacency(data, self_loops=True)
        return adjacency_powers(adjacency, self.order, cumulative=self.cumulative, max_fill=self.max_fill)

    def _filled(self, z: Tensor, positives: Adjacency, clusters: Tensor | None) -> Tensor:
        if clusters is not None and (self.proxy == "pamc" or self.proxy == "cluster" or self.proxy == "node"):
            loss: Tensor = PamCLoss(self.temperature, proxy=self.proxy)(z, positives, clusters)
            return loss
        return attraction(z, positives, self.temperature) + repulsion(z, self._estimator(clusters), self.temperature)

    def _estimator(self, clusters: Tensor | None) -> Negatives:
        if clusters is None or self.proxy == "exact":
            return Exact()
        if self.proxy == "node":
            return MetaNode(clusters, self.num_clusters)
        if self.proxy == "hybrid":
            return Hybrid(clusters, self.num_clusters, tolerance=self.tolerance)
        return PamCProxy(clusters, self.num_clusters, level="official" if self.proxy == "pamc" else "weighted")


def attraction(z: Tensor, positives: Adjacency, temperature: float) -> Tensor:
    """``-mean_i log sum_j M_ij exp(s_ij / t)`` with every ``s_ii`` set to 0, the positive part of `PamCLoss`.

    Shapes:
        z: ``(N, D)``; positives: ``(N, N)``; returns: scalar.
    """
    one = torch.zeros(len(z), dtype=torch.int64, device=z.device)  # any clusters: what they repel is not asked for
    return PamCLoss(temperature).terms(z, positives, one)["attraction"]


def repulsion(z: Tensor, negatives: Negatives, temperature: float) -> Tensor:
    """``mean_i log sum_j exp(s_ij / t)`` with every ``s_ii`` set to 0, which adds 1 to the sum over the others.

    Shapes:
        z: ``(N, D)``; returns: scalar.
    """
    u = unit_rows(z)
    rule = Rule(exclude=torch.arange(len(u), device=u.device))
    others = negatives.log_z(u, u, scale=1 / temperature, rule=rule)
    return torch.logaddexp(others, torch.zeros_like(others)).mean()


def _adjacency(data: Data, *, self_loops: bool) -> Adjacency:
    weight = data.edge_weight if "edge_weight" in data else None
    return cached_adjacency(data.edge_index, data.num_nodes, edge_weight=weight, normalize="row", self_loops=self_loops)
