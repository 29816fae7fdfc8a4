"""A clustering system on a data set: every seed, the anchors beside it, and the run folder."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch_geometric.data import Data

from graphcl.evaluation import clustering_scores, kmeans_baselines, summarise
from graphcl.kernels import cached_adjacency
from graphcl.tasks.graph_clusterer import GraphClusterer
from graphcl.tasks.prepare import prepare, scored_nodes
from graphcl.tasks.run_config import RunConfig
from graphcl.tasks.seed_runs import SeedRuns
from graphcl.training import RunFolder, peak_memory_mb, save_weights

PROTOCOL = "clustering"


@dataclass(frozen=True)
class ClusteringRun:
    """What a run left: the content of ``metrics.json``, and the clusterer of the first seed, which drew the pictures."""

    metrics: Mapping[str, Any]
    first: GraphClusterer


def run_clustering(
    config: RunConfig,
    data: Data,
    folder: RunFolder,
    *,
    progress: bool = False,
    resumable: bool = True,
    report: Callable[[ClusteringRun], None] = lambda run: None,
    say: Callable[[str], None] = lambda line: None,
) -> ClusteringRun:
    """Trains every seed, scores all from the selected epoch, and writes the run folder.

    ``environment.json`` and ``config.yaml`` come first, ``metrics.jsonl`` grows with every epoch, ``checkpoints`` hold what is
    needed to go on; ``embeddings.npy``, ``clusters.npy`` and ``model.safetensors`` (of the first seed) follow, and
    ``metrics.json`` comes last: a folder with it is a finished run, and needs its checkpoints no longer. The weights are
    those of the last epoch, whichever epoch was selected.

    Args:
        config: The resolved run.
        data: The graph.
        folder: Where to write; one that was reopened is gone on with.
        progress: Whether to show a progress bar.
        resumable: Whether checkpoints are written.
        report: Adds files of its own before the run counts as finished.
        say: Told what is being done, line by line.

    Raises:
        InputError: Data or settings that cannot be used, or others than those the run was started with.
        NonFiniteLossError: Training diverged.
    """
    device = config.training.torch_device()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    began = time.perf_counter()
    provenance = getattr(data, "provenance", None)
    runs = SeedRuns(folder, config.as_dict(), config.training, config.seeds, provenance, resumable=resumable, say=say)
    fitted: list[GraphClusterer] = []
    for seed in config.seeds:
        clusterer = GraphClusterer(
            config.n_clusters,
            method=config.system,
            params=config.model,
            training=config.training,
            selection=config.selection,
            seed=seed,
            progress=progress,
        )
        with runs.watch(seed) as watch:
            clusterer.fit(data, observers=watch.observers, checkpoint=watch.checkpoint)
        fitted.append(clusterer)
    peak = peak_memory_mb(device)
    first = fitted[0]
    scored = "y" in data and data.y is not None and data.y.ndim == 1
    anchors: dict[str, Any] = {}
    if scored:
        say("k-means on raw and on filtered features, for comparison")
        anchors = _anchors(data, first.n_clusters_, config)
    metrics = {
        "system": config.system,
        "dataset": config.dataset,
        "protocol": _protocol(config, fitted, first),
        "seeds": list(config.seeds),
        "metrics": summarise([clusterer.score(data) for clusterer in fitted]) if scored else {},
        "baselines": anchors,
        "seconds": {
            "training": summarise([{"s": clusterer.seconds_} for clusterer in fitted])["s"],
            "total": time.perf_counter() - began + runs.earlier_seconds,
        },
        "peak_memory_mb": round(peak, 1),
    }
    folder.write_array("embeddings.npy", first.embedding_)
    folder.write_array("clusters.npy", first.labels_)
    with folder.replacing("model.safetensors") as path:
        save_weights(first.system_, path)
    run = ClusteringRun(metrics, first)
    report(run)
    folder.write_json("metrics.json", metrics)
    folder.discard_checkpoints()
    return run


def _anchors(data: Data, n_clusters: int, config: RunConfig) -> dict[str, Any]:
    graph, _ = prepare(data)
    adj = cached_adjacency(graph.edge_index, graph.num_nodes, normalize="sym", self_loops=True)
    mask = scored_nodes(data)
    keep = np.ones(graph.num_nodes, dtype=bool) if mask is None else mask.cpu().numpy()
    y = data.y.cpu().numpy()[keep]
    scores: dict[str, list[dict[str, float]]] = {}
    for seed in config.seeds:
        for name, labels in kmeans_baselines(graph.x, adj, n_clusters, seed=seed).items():
            scores.setdefault(name, []).append(clustering_scores(y, labels[keep]))
    return {name: summarise(runs) for name, runs in scores.items()}


def _protocol(config: RunConfig, fitted: list[GraphClusterer], first: GraphClusterer) -> dict[str, Any]:
    return {
        "name": PROTOCOL,
        "selection": config.selection,
        "stamp": first.stamp_,
        "n_clusters": first.n_clusters_,
        "clusters_found": [len(np.unique(clusterer.labels_)) for clusterer in fitted],
        "features": first.features_,
        "epochs": [clusterer.epoch_ for clusterer in fitted],
        "label_free_epochs": [clusterer.label_free_epoch_ for clusterer in fitted],
    }
