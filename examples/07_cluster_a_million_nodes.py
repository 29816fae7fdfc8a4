"""Cluster a graph too large for one step: PamC in batches, beside k-means on the features, in seconds, memory and ARI.

Run: python examples/07_cluster_a_million_nodes.py [--nodes 1000000] [--blocks 100]

The graph is generated: ten edges a node, four of five within a community, and features in which k-means finds nothing; two hops
over the graph average most of their noise out. A small graph unless --nodes says otherwise. With --nodes 1000000 --blocks 100
it takes some three minutes on one core, and 4 GB. On such a graph k-means on filtered features does as well, and is faster.
"""

import argparse
import time

import torch

from graphcl.datasets import block_model
from graphcl.evaluation import clustering_scores, kmeans
from graphcl.kernels import cached_adjacency
from graphcl.models.encoders import propagated_features
from graphcl.tasks import GraphClusterer
from graphcl.training import TrainingConfig, peak_memory_mb

parser = argparse.ArgumentParser()
parser.add_argument("--nodes", type=int, default=20_000)
parser.add_argument("--blocks", type=int, default=20)
parser.add_argument("--noise", type=float, default=8.0)
options = parser.parse_args()

began = time.perf_counter()
data = block_model(options.nodes, 10 * options.nodes, blocks=options.blocks, features=64, noise=options.noise)
print(f"{data.num_nodes:,} nodes, {data.edge_index.shape[1] // 2:,} edges in {time.perf_counter() - began:.1f} s")


def report(name: str, labels, began: float) -> None:
    """Prints a line: who, how well, how long, and the memory that everything took so far."""
    seconds, ari = time.perf_counter() - began, clustering_scores(data.y, labels)["ari"]
    gib = peak_memory_mb(torch.device("cpu")) / 1024
    print(f"{name:26s} ARI {ari:.3f}  {seconds:6.1f} s  peak memory so far {gib:.2f} GiB", flush=True)


# An epoch is some sixteen batches, whatever the size: four epochs against everyone, then four against the clusters.
training = TrainingConfig(epochs=8, lr=3e-3, batch_nodes=max(2048, options.nodes // 16), device="cpu")
params = {"temperature": 0.2, "hidden": 128, "warmup": 4, "warmup_draws": 1024}
began = time.perf_counter()
clusterer = GraphClusterer(options.blocks, params=params, training=training, progress=True).fit(data)
report("PamC", clusterer.labels_, began)

began = time.perf_counter()
report("k-means, features", kmeans(data.x.numpy(), options.blocks, seed=0).labels, began)
began = time.perf_counter()
adjacency = cached_adjacency(data.edge_index, data.num_nodes)
filtered = propagated_features(data.x, adjacency, 2)
report("k-means, filtered features", kmeans(filtered.numpy(), options.blocks, seed=0).labels, began)
