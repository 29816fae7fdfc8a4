"""How a run of a clustering system is judged: against the classes, with k-means beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from torch_geometric.data import Data

from graphcl.evaluation import clustering_baselines, clustering_scores, kmeans_baselines, summarise
from graphcl.evaluation.clustering import Labels
from graphcl.evaluation.selection import STAMP
from graphcl.kernels import Adjacency, WeakTensorCache, cached_adjacency
from graphcl.tasks.graph_clusterer import GraphClusterer
from graphcl.tasks.prepare import prepare, scored_nodes
from graphcl.tasks.run_config import RunConfig
from graphcl.tasks.verdict import Say, Verdict

PROTOCOL = "clustering"
_found: WeakTensorCache[dict[str, Labels]] = WeakTensorCache()  # a benchmark asks for the same beside every system


class ClusteringJudge:
    """Scores the clusters of the selected epoch; keeps ``clusters.npy``.

    Args:
        config: The resolved run.
        data: The graph.
    """

    def __init__(self, config: RunConfig, data: Data) -> None:
        self.config, self.data = config, data

    def face(self, seed: int, *, progress: bool) -> GraphClusterer:
        """A clusterer with the settings of the run."""
        config = self.config
        return GraphClusterer(
            config.n_clusters,
            method=config.system,
            params=config.model,
            training=config.training,
            selection=config.selection,
            oracle=bool(config.baselines),
            seed=seed,
            progress=progress,
        )

    def judge(self, fitted: Sequence[GraphClusterer], say: Say) -> Verdict:
        """ACC, NMI, ARI and macro-F1 over the seeds; k-means on raw and filtered features; quality that asks for no class.

        Apart from the metrics stands, stamped, what the epochs chosen by the labels would have said, ``oracle``.
        """
        data, scored = self.data, "y" in self.data and self.data.y is not None and self.data.y.ndim == 1
        anchors: dict[str, Any] = {}
        if scored and self.config.baselines:
            more_of_them = ", spectral clustering, walks" if self.config.baselines == "full" else ""
            say(f"k-means on raw and on filtered features{more_of_them}, for comparison")
            anchors = self._anchors(fitted[0].n_clusters_)
        scores = [clusterer.score(data) for clusterer in fitted] if scored else []
        more: dict[str, Any] = {}
        oracles = [clusterer.oracle_ for clusterer in fitted if clusterer.oracle_ is not None]
        if oracles:
            best = summarise([oracle.scores for oracle in oracles])
            more["oracle"] = {**best, "epoch": [oracle.epoch for oracle in oracles], "stamp": STAMP}
        seconds: dict[str, Any] = {}
        began = [clusterer.initial_ for clusterer in fitted if clusterer.initial_ is not None]
        if len(began) == len(fitted):
            seconds["pretraining"] = summarise([{"s": one.seconds} for one in began])["s"]
            first = [one for clusterer in fitted if scored and (one := clusterer.score_initial(data)) is not None]
            if first:
                anchors["kmeans-initial"] = summarise(first)
                gains = [{name: own[name] - one[name] for name in own} for own, one in zip(scores, first, strict=True)]
                more["gain"] = summarise(gains)
        more["quality"] = _common([clusterer.quality(data).scores() for clusterer in fitted])
        return Verdict(self._protocol(fitted), summarise(scores) if scores else {}, anchors, more, seconds)

    def arrays(self, first: GraphClusterer) -> Mapping[str, npt.NDArray[Any]]:
        """The clusters."""
        return {"clusters.npy": first.labels_}

    def _anchors(self, n_clusters: int) -> dict[str, Any]:
        graph, _ = prepare(self.data)
        weight = graph.edge_weight if "edge_weight" in graph else None
        adj = cached_adjacency(graph.edge_index, graph.num_nodes, edge_weight=weight, normalize="sym", self_loops=True)
        adj = adj.to(dtype=graph.x.dtype)
        mask = scored_nodes(self.data)
        keep = np.ones(graph.num_nodes, dtype=bool) if mask is None else mask.cpu().numpy()
        y = self.data.y.cpu().numpy()[keep]
        scores: dict[str, list[dict[str, float]]] = {}
        for seed in self.config.seeds:
            for name, labels in self._baselines(graph, adj, n_clusters, seed).items():
                scores.setdefault(name, []).append(clustering_scores(y, labels[keep]))
        return {name: summarise(runs) for name, runs in scores.items()}

    def _baselines(self, graph: Data, adj: Adjacency, n_clusters: int, seed: int) -> dict[str, Labels]:
        full = self.config.baselines == "full"
        method = clustering_baselines if full else kmeans_baselines
        weight = self.data.edge_weight if "edge_weight" in self.data else None
        given = [part for part in (self.data.edge_index, self.data.x, weight) if part is not None]
        return _found.get(tuple(given), (n_clusters, seed, full), lambda: method(graph.x, adj, n_clusters, seed=seed))

    def _protocol(self, fitted: Sequence[GraphClusterer]) -> dict[str, Any]:
        first = fitted[0]
        return {
            "name": PROTOCOL,
            "selection": self.config.selection,
            "stamp": first.stamp_,
            "n_clusters": first.n_clusters_,
            "clusters_found": [len(np.unique(clusterer.labels_)) for clusterer in fitted],
            "features": first.features_,
            "epochs": [clusterer.epoch_ for clusterer in fitted],
            "label_free_epochs": [clusterer.label_free_epoch_ for clusterer in fitted],
        }


def _common(scores: Sequence[Mapping[str, float]]) -> dict[str, Any]:
    """Over the seeds, those scores that all of them have."""
    names = [name for name in scores[0] if all(name in one for one in scores)]
    return summarise([{name: one[name] for name in names} for one in scores]) if names else {}
