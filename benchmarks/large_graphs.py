"""A stochastic block model of a million nodes and ten million edges: generation, sampling, training by batches, embedding.

    python benchmarks/large_graphs.py [--nodes 1000000] [--batch-nodes 4096] [--steps 5] [--system grace] [--whole]
    python benchmarks/large_graphs.py --steps 0 --whole --system bgrl

``--steps 0`` trains a whole epoch. ``--whole`` embeds the whole graph in the end, and says by the adjusted Rand index how well
k-means on the unit rows of the embedding finds the blocks: trained, as it was initialised, and on the features themselves.

What was measured (Zen 4 class CPU, one thread, torch 2.13; the machine was shared, with two to five programs on two cores, so
that seconds are an upper bound and CPU seconds say more; GRACE with 64 features, hidden=128, InfoNCE against meta-nodes, 4096
seeds a batch and fanouts 5, 5: 113,000 nodes a batch, whose seeds alone are contrasted):

                                          seconds   of CPU   peak of the process so far
    block model, 1M nodes, 10M edges       4.6-12      2.9    0.95 GiB (0.38 before)
    sampler built                         2.5-7.4      2.4    1.51 GiB
    fanouts 10, 10 of 4096 seeds        1.6M to 3.0M nodes a second; 1.0M to 1.5M with features, through NodeLoader
    four steps of GRACE                        18       12    1.96 GiB
    an epoch of 245 steps, extrapolated  1130-1290
    the whole graph embedded                   18      8.4    2.76 GiB (3.43 with whole layers instead of blocks of rows)

A whole epoch of 245 batches; ``cca-ssg`` with --noise 12 on a machine shared by three programs, the others with --noise 8 and
at most one more program; peaks are those of each part alone:

                                   seconds   of CPU   training   embedding    ARI   as initialised   features
    grace (meta-nodes)                 651      647   2.47 GiB    2.90 GiB  1.000            0.987      0.034
    bgrl                              1053     1036   2.99 GiB    2.89 GiB  0.999            0.994      0.034
    cca-ssg                            764      524   2.37 GiB    2.89 GiB  0.926            0.946      0.006

- The peak of an epoch after an embedding holds what the allocator kept of that: 12 steps of BGRL alone come to 2.62 GiB.
- A third (GRACE) to two fifths (BGRL) of an epoch go to the kernel, which clears pages that the C library gave back after each
  step. Where it keeps them (MALLOC_MMAP_THRESHOLD_=4294967296 MALLOC_TRIM_THRESHOLD_=8589934592 MALLOC_TOP_PAD_=67108864 in
  the environment of glibc), 12 steps of BGRL take 29 s in place of 49, and 3.66 GiB in place of 2.62. Huge pages
  (THP_MEM_ALLOC_ENABLE=1) changed nothing.
- The block model asks for nothing but smoothing: an epoch of decorrelation takes two points from what a random network finds.
- PyG's NeighborLoader could not be compared: it needs pyg-lib or torch-sparse, and neither could be had.
- More threads than free cores are worse than one: with two, while others computed, sampling fell to 0.1M nodes a second.
- Fanouts 10, 10 make batches of 346,000 nodes, and inducing the graph among them takes 0.8 s.
"""

from __future__ import annotations

import argparse
import math
import resource
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import torch
import torch.nn.functional as F
from sklearn.metrics import adjusted_rand_score
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.loader import NeighborLoader, NodeLoader

from graphcl.datasets.stochastic_blocks import block_model
from graphcl.evaluation.kmeans import kmeans
from graphcl.models import find_system
from graphcl.training import CSRNeighbourSampler, NodeBatches, SeedSteps, Trainer, TrainingConfig, deterministic

T = TypeVar("T")
HIGH_WATER = Path("/proc/self/clear_refs")
PARAMS = {
    "grace": {"loss": "info-nce", "negatives": "meta-node"},
    "bgrl": {"width": 128, "hidden": 256, "momentum_epochs": 1000},  # a batch is an epoch for its target
    "cca-ssg": {"width": 128, "hidden": 256},
}


def timed(what: str, work: Callable[[], T]) -> T:
    """Does it, and prints seconds, CPU seconds and the peak of resident memory meanwhile (Linux; so far, elsewhere)."""
    HIGH_WATER.write_text("5") if HIGH_WATER.exists() else None  # the mark starts again from here
    began, used = time.perf_counter(), time.process_time()
    result = work()
    seconds, cpu = time.perf_counter() - began, time.process_time() - used
    status = Path("/proc/self/status").read_text().splitlines() if HIGH_WATER.exists() else []
    marks = [float(line.split()[1]) for line in status if line.startswith("VmHWM")]
    peak = (marks or [resource.getrusage(resource.RUSAGE_SELF).ru_maxrss])[0] / 2**20
    print(f"{what:<36} {seconds:8.2f} s, {cpu:8.2f} s of CPU   peak {peak:5.2f} GiB", flush=True)
    return result


def sample(graph: Data, fanouts: Sequence[int], batch_nodes: int, steps: int) -> None:
    """Nodes a second of the sampler alone, through NodeLoader, and of PyG's own loader where it works."""
    sampler = timed("sampler built", lambda: CSRNeighbourSampler(graph.edge_index, graph.num_nodes, fanouts))
    seeds = torch.randperm(graph.num_nodes)[: steps * batch_nodes]
    began = time.perf_counter()
    count = sum(len(sampler.sample(part).node) for part in seeds.split(batch_nodes))
    _rate("sampler alone", count, began)
    loader = NodeLoader(graph, sampler, input_nodes=seeds, batch_size=batch_nodes)
    began = time.perf_counter()
    _rate("sampler and features, NodeLoader", sum(batch.num_nodes for batch in loader), began)
    try:
        theirs = NeighborLoader(graph, num_neighbors=list(fanouts), input_nodes=seeds, batch_size=batch_nodes)
        began = time.perf_counter()
        _rate("PyG's NeighborLoader", sum(batch.num_nodes for batch in theirs), began)
    except ImportError as error:
        print(f"PyG's NeighborLoader: not here ({error})")


def train(graph: Data, system: torch.nn.Module, batch_nodes: int, steps: int, rate: float) -> None:
    """A few steps of an epoch, and what the whole epoch would take."""
    whole = math.ceil(graph.num_nodes / batch_nodes)
    steps = steps or whole
    source = timed("batches made ready", lambda: NodeBatches(graph, batch_nodes, steps=steps))
    trainer = Trainer(TrainingConfig(epochs=1, lr=rate, device="cpu"))
    with deterministic():
        state = timed(f"{steps} steps", lambda: trainer.fit(SeedSteps(system, steps), source))
    print(f"{'an epoch would take':<36} {state.seconds / steps * whole:8.0f} s   ({whole} steps)")


def found(graph: Data, rows: Tensor, what: str) -> None:
    """How well k-means on unit rows finds the blocks."""
    points, blocks = F.normalize(rows, dim=1).numpy(), int(graph.y.max()) + 1
    labels = timed(f"k-means on {what}", lambda: kmeans(points, blocks, seed=0, n_init=3)).labels
    print(f"{'adjusted Rand index':<36} {adjusted_rand_score(graph.y.numpy(), labels):8.4f}", flush=True)


def _rate(what: str, count: int, began: float) -> None:
    seconds = time.perf_counter() - began
    print(f"{what:<36} {seconds:8.2f} s   {count / seconds:,.0f} nodes/s", flush=True)


def main() -> None:
    """Everything in turn, on one graph."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", type=int, default=1_000_000)
    parser.add_argument("--batch-nodes", type=int, default=4096)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--system", default="grace")
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--noise", type=float, default=2.0, help="of the features")
    parser.add_argument("--whole", action="store_true", help="embed the whole graph in the end, and look for its blocks")
    options = parser.parse_args()
    graph = timed("block model generated", lambda: block_model(options.nodes, 10 * options.nodes, noise=options.noise))
    if options.steps:
        sample(graph, (10, 10), options.batch_nodes, options.steps)
    torch.manual_seed(0)
    system = find_system(options.system).load()(graph.x.shape[1], **PARAMS.get(options.system, {}))
    if options.whole:
        found(graph, graph.x, "features")
        found(graph, timed("embedded, as initialised", lambda: system.embed(graph)), "that")
    train(graph, system, options.batch_nodes, options.steps, options.lr)
    if options.whole:
        found(graph, timed("the whole graph embedded", lambda: system.embed(graph)), "that")


if __name__ == "__main__":
    main()
