"""How a run of a node system is judged: by a linear probe on frozen embeddings, with untrained ones beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch_geometric.data import Data

from graphcl.errors import InputError
from graphcl.evaluation import ProbeSummary, Split, linear_probe, node_baselines, node_splits, summarise
from graphcl.evaluation.splits import COUNT
from graphcl.kernels import cached_adjacency
from graphcl.tasks.node_embedder import NodeEmbedder, usual_protocol
from graphcl.tasks.prepare import prepare
from graphcl.tasks.run_config import RunConfig
from graphcl.tasks.verdict import Say, Verdict
from graphcl.training import available_memory

WORK = 8_000_000  # of one baseline: splits times training nodes times the rank of their features, half a minute on one core


class NodeJudge:
    """Probes the embedding of every seed on every split of the protocol.

    The deviation in ``metrics`` is that over encoder seeds, of the means over the splits; ``split_std`` is the deviation over
    the splits of one embedding, averaged over the seeds. Beside it stand raw features, features filtered over two hops, and
    the embedding of an untrained network of the same width for every seed. The first two may be thousands of columns wide:
    they are probed on as many of the splits as half a minute allows, at least one, and the protocol says on how many.

    Without ``protocol`` or ``splits`` in the configuration a graph that cannot be scored is embedded all the same, and the
    protocol says why there are no scores.

    Args:
        config: The resolved run.
        data: The graph.

    Raises:
        InputError: A protocol that was asked for, and which the data does not allow.
    """

    def __init__(self, config: RunConfig, data: Data) -> None:
        self.config, self.data = config, data
        self.splits: list[Split] = []
        self.unscored: str | None = None
        try:
            self.splits = _splits(config, data)
        except InputError as error:
            if config.protocol is not None or config.splits is not None:
                raise
            self.unscored = str(error)

    def face(self, seed: int, *, progress: bool) -> NodeEmbedder:
        """An embedder with the settings of the run."""
        config = self.config
        return NodeEmbedder(config.system, params=config.model, training=config.training, seed=seed, progress=progress)

    def judge(self, fitted: Sequence[NodeEmbedder], say: Say) -> Verdict:
        """Accuracy and macro-F1 on test nodes and accuracy on validation nodes, over the seeds."""
        protocol: dict[str, Any] = {
            "name": None,
            "splits": len(self.splits),
            "stamp": None,
            "unscored": self.unscored,
            "features": fitted[0].features_,
            "baseline_splits": {},
        }
        if self.unscored is not None:
            say(f"not scored: {self.unscored}")
            return Verdict(protocol, {}, {})
        say(f"a linear probe on {_counted(len(fitted), 'embedding')}, {_counted(len(self.splits), 'split')}")
        probes = [linear_probe(embedder.embedding_, self.data.y, self.splits) for embedder in fitted]
        protocol |= {"name": probes[0].protocol, "stamp": probes[0].stamp}
        spread = {name: float(np.mean([probe.split_std[name] for probe in probes])) for name in probes[0].split_std}
        baselines: dict[str, Any] = {}
        if self.config.baselines:
            baselines, protocol["baseline_splits"] = self._baselines(fitted, say)
        return Verdict(protocol, summarise([_scores(probe) for probe in probes]), baselines, {"split_std": spread})

    def arrays(self, first: NodeEmbedder) -> Mapping[str, npt.NDArray[Any]]:
        """None besides the embedding."""
        return {}

    def _baselines(self, fitted: Sequence[NodeEmbedder], say: Say) -> tuple[dict[str, Any], dict[str, int]]:
        graph, _ = prepare(self.data)
        available = available_memory(torch.device("cpu"))
        if available is not None and 3 * 4 * graph.num_nodes * graph.x.shape[1] > available:
            say("no baselines: the features filtered by the graph would not fit into memory")
            return {}, {}
        say("raw features, filtered features and an untrained network, for comparison")
        adj = cached_adjacency(graph.edge_index, graph.num_nodes, normalize="sym", self_loops=True)
        width, y = fitted[0].embedding_.shape[1], self.data.y
        scores: dict[str, list[dict[str, float]]] = {}
        counts: dict[str, int] = {}
        for number, embedder in enumerate(fitted):
            for name, z in node_baselines(graph.x, adj, width, seed=embedder.seed).items():
                drawn = name.startswith("random-gcn")  # the others are the same for every seed, but for a projection of one
                if drawn or (number == 0 and name in ("raw", "filtered-2")):
                    splits = self.splits if drawn else self._affordable(z.shape[1])
                    scores.setdefault(name, []).append(_scores(linear_probe(z, y, splits)))
                    if len(splits) < len(self.splits):
                        counts[name] = len(splits)
        return {name: summarise(runs) for name, runs in scores.items()}, counts

    def _affordable(self, width: int) -> list[Split]:
        learned = len(self.splits[0].train)
        return self.splits[: max(1, WORK // (learned * min(learned, width)))]


def _splits(config: RunConfig, data: Data) -> list[Split]:
    name = config.protocol or usual_protocol(data)
    if name == "public" and config.splits is not None:
        raise InputError(
            f"splits = {config.splits} is a number of random splits, and the public protocol has its own: leave it out"
        )
    splits = node_splits(data, name, config.splits or COUNT)
    y = data.y.cpu().numpy()
    for split in splits:  # what the probe would find out after hours of training
        missing = np.setdiff1d(y[np.concatenate([split.val, split.test])], y[split.train])
        if missing.size:
            raise InputError(
                f"split '{split.name}': none of its {len(split.train)} training nodes has class {missing[0]}, so that a probe "
                "cannot learn it: there are too few nodes for this protocol"
            )
    return splits


def _scores(probe: ProbeSummary) -> dict[str, float]:
    return {**probe.metrics, "val_acc": float(np.mean([split.val_accuracy for split in probe.splits]))}


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
