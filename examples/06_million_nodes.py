"""Embed a graph too large to train on at once: batches of sampled neighbourhoods, meta-nodes for negatives, bounded memory.

Run: python examples/06_million_nodes.py [--nodes 1000000] [--batch-nodes 4096]

The graph is generated: ten edges a node, most of them within one of ten communities, and noisy features. A small one unless
--nodes says otherwise. With --nodes 1000000 --batch-nodes 4096 an epoch is 245 steps: some twenty minutes on one core, by the
pace of the first ones, and 3 GB of memory.
"""

import argparse
import time

import torch

from graphcl.datasets import block_model
from graphcl.evaluation import linear_probe, node_splits
from graphcl.tasks import NodeEmbedder
from graphcl.training import TrainingConfig, peak_memory_mb

parser = argparse.ArgumentParser()
parser.add_argument("--nodes", type=int, default=4000)
parser.add_argument("--batch-nodes", type=int, default=512)
parser.add_argument("--epochs", type=int, default=3)
options = parser.parse_args()

began = time.perf_counter()
data = block_model(options.nodes, 10 * options.nodes, features=32, noise=4.0)
print(f"{data.num_nodes:,} nodes, {data.edge_index.shape[1] // 2:,} edges in {time.perf_counter() - began:.1f} s")

training = TrainingConfig(epochs=options.epochs, batch_nodes=options.batch_nodes, device="cpu")
params = {"hidden": 64, "projection": 64, "loss": "info-nce", "negatives": "meta-node"}
embedder = NodeEmbedder("grace", params=params, training=training).fit(data)
steps = -(-data.num_nodes // options.batch_nodes)
print(f"trained {options.epochs} epochs of {steps} steps in {embedder.seconds_:.1f} s; loss", end=" ")
print(" -> ".join(f"{row['loss']:.3f}" for row in embedder.history_))

splits = node_splits(data, "random", 1)
for name, z in (("features", data.x.numpy()), ("embedding", embedder.embedding_)):
    accuracy = linear_probe(z, data.y, splits).metrics["acc"]
    print(f"a linear probe on the {name} finds {accuracy:.3f} of the communities")
print(f"peak memory {peak_memory_mb(torch.device('cpu')) / 1024:.2f} GiB")
