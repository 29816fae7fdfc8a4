"""A system on a data set: every seed, what stands beside it, and the run folder."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch_geometric.data import Data

from graphcl.evaluation import summarise
from graphcl.tasks.clustering_run import ClusteringJudge
from graphcl.tasks.node_run import NodeJudge
from graphcl.tasks.recommendation_run import RecommendationJudge
from graphcl.tasks.run_config import RunConfig, find_entry
from graphcl.tasks.seed_runs import SeedRuns
from graphcl.tasks.sequential_run import SequentialJudge
from graphcl.tasks.task_data import TaskData
from graphcl.tasks.verdict import Face, Judge, Say
from graphcl.training import RunFolder, peak_memory_mb
from graphcl.training.distributed import joined

JUDGES: Mapping[str, Callable[[RunConfig, Any], Judge]] = {
    "clustering": ClusteringJudge,
    "node": NodeJudge,
    "recommendation": RecommendationJudge,
    "sequential": SequentialJudge,
}


@dataclass(frozen=True)
class SystemRun:
    """What a run left: the content of ``metrics.json``, and the estimator of the first seed, which drew the pictures."""

    metrics: Mapping[str, Any]
    first: Any


def run_system(
    config: RunConfig,
    data: TaskData,
    folder: RunFolder,
    *,
    progress: bool = False,
    resumable: bool = True,
    grows: bool = False,
    report: Callable[[SystemRun], None] = lambda run: None,
    say: Say = lambda line: None,
) -> SystemRun:
    """Trains every seed, scores all by the protocol of the system's task, and writes the run folder.

    ``environment.json`` and ``config.yaml`` come first, ``metrics.jsonl`` grows with every epoch, ``checkpoints`` hold what is
    needed to go on; ``embeddings.npy``, ``clusters.npy`` of a clustering system, ``users.npy``, ``items.npy`` and
    ``per_user.parquet`` of a recommendation system, ``model.safetensors`` and ``model.json`` (of the first seed) follow, and
    ``metrics.json`` comes last: a folder with it is a finished run. It keeps its checkpoints only where validation chose the
    last epoch of a recommender, which can go on with more. The weights of nodes and clusters are those of the last epoch,
    whichever epoch was selected.

    Started by ``torchrun``, all ranks train together. The first one judges, writes and speaks; the others return without
    metrics once training is over, and what they print from here on goes nowhere.

    Args:
        config: The resolved run.
        data: The graph, or the split of a recommendation system.
        folder: Where to write; one that was reopened is gone on with.
        progress: Whether to show a progress bar.
        resumable: Whether checkpoints are written.
        grows: Whether a run that can go on with more epochs keeps what it needs for that.
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
    with joined(device) as ranks:
        if ranks is not None:
            ranks.wait()  # until nobody looks any more whether the folder is empty
        if ranks is not None and not ranks.first:
            progress, say = False, lambda line: None
            sys.stdout = open(os.devnull, "w")  # noqa: PTH123, SIM115  for as long as the process lives
        judge = JUDGES[find_entry(config.system).task](config, data)
        provenance = getattr(judge.data, "provenance", None)
        runs = SeedRuns(
            folder, config.as_dict(), config.training, config.seeds, provenance, resumable=resumable,
            grows=config.can_grow, say=say, ranks=ranks,
        )  # fmt: skip
        fitted: list[Face] = []
        for seed in config.seeds:
            face = judge.face(seed, progress=progress)
            with runs.watch(seed) as watch:
                face.fit(judge.data, observers=watch.observers, checkpoint=watch.checkpoint)
            fitted.append(face)
        if ranks is not None:
            ranks.wait()  # until nobody reads a checkpoint any more
    first: Any = fitted[0]
    if not runs.writes:
        return SystemRun({"metrics": {}}, first)
    runs.open()  # what has no epochs has not opened it
    peak = peak_memory_mb(device)
    verdict = judge.judge(fitted, say)
    metrics = {
        "system": config.system,
        "dataset": config.dataset,
        "protocol": dict(verdict.protocol),
        "seeds": list(config.seeds),
        "metrics": dict(verdict.metrics),
        **verdict.more,
        "baselines": dict(verdict.baselines),
        "seconds": {
            "training": summarise([{"s": face.seconds_} for face in fitted])["s"],
            **verdict.seconds,
            "total": time.perf_counter() - began + runs.earlier_seconds,
        },
        "peak_memory_mb": round(peak, 1),
    }
    nodes = {"embeddings.npy": first.embedding_} if isinstance(data, Data) else {}
    for name, array in {**nodes, **judge.arrays(first)}.items():
        folder.write_array(name, array)
    for name, frame in verdict.frames.items():
        folder.write(name, lambda file, frame=frame: frame.write_parquet(file))  # type: ignore[misc]
    first.trained_.write(folder)
    run = SystemRun(metrics, first)
    report(run)
    folder.write_json("metrics.json", metrics)
    keeps = grows and resumable and config.can_grow and bool(verdict.short)
    if verdict.short:
        seeds, how = ", ".join(map(str, verdict.short)), f", by graphcl run --resume {folder.path} --epochs N" if keeps else ""
        say(f"validation chose the last of {config.training.epochs} epochs with seed {seeds}: more --epochs may give more{how}")
    if not keeps:
        folder.discard_checkpoints()
    return run
