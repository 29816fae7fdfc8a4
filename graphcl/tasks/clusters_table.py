"""Clusters as tables: one row a node with the caller's own ids, and one row a cluster."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from graphcl.evaluation.choose_k import ChoiceOfK
from graphcl.evaluation.cluster_quality import ClusterQuality
from graphcl.training import RunFolder


def write_clusters(
    folder: RunFolder, ids: Sequence[str], labels: npt.NDArray[np.int64], confidence: npt.NDArray[np.float32]
) -> Path:
    """Writes ``clusters.csv``: id, cluster, confidence, one row a node in the order of the input.

    Args:
        folder: Where to.
        ids: The caller's ids.
        labels: Cluster of each node.
        confidence: Weight of that cluster in the node's soft assignment.

    Shapes:
        labels, confidence: ``(N,)``.
    """
    frame = pl.DataFrame({"id": list(ids), "cluster": labels, "confidence": confidence})
    return folder.write("clusters.csv", lambda file: frame.write_csv(file, float_precision=6))


def cluster_rows(
    quality: ClusterQuality, labels: npt.NDArray[np.int64], confidence: npt.NDArray[np.float32]
) -> list[dict[str, Any]]:
    """One row a cluster, the largest first: its size, share, mean confidence, conductance and silhouette.

    ``None`` stands for what is not defined, as the confidence of a cluster without nodes.

    Args:
        quality: Of these clusters.
        labels: Cluster of each node.
        confidence: Weight of that cluster in the node's soft assignment.

    Shapes:
        labels, confidence: ``(N,)``.
    """
    sums = np.bincount(labels, confidence.astype(np.float64), minlength=len(quality.sizes))
    rows = []
    for cluster, size in enumerate(quality.sizes.tolist()):
        figures = {
            "confidence": sums[cluster] / size if size else np.nan,
            "conductance": quality.conductance[cluster],
            "silhouette": quality.silhouette[cluster],
        }
        known = {name: float(value) if np.isfinite(value) else None for name, value in figures.items()}
        rows.append({"cluster": cluster, "size": size, "share": size / len(labels), **known})
    return sorted(rows, key=lambda row: (-row["size"], row["cluster"]))


def write_cluster_rows(folder: RunFolder, rows: Sequence[dict[str, Any]]) -> Path:
    """Writes ``clusters_summary.csv``, the rows of `cluster_rows`.

    Args:
        folder: Where to.
        rows: What to.
    """
    frame = pl.DataFrame(rows, infer_schema_length=None)
    return folder.write("clusters_summary.csv", lambda file: frame.write_csv(file, float_precision=6))


def write_choice(folder: RunFolder, choice: ChoiceOfK) -> Path:
    """Writes ``k.csv``: every number of clusters that was tried, with what the criteria say of it.

    Args:
        folder: Where to.
        choice: What was tried.
    """
    columns = {name: [value if np.isfinite(value) else None for value in values] for name, values in choice.values.items()}
    chosen = [k == choice.n_clusters for k in choice.ks]
    frame = pl.DataFrame({"k": choice.ks, **columns, "chosen": chosen}, strict=False)
    return folder.write("k.csv", lambda file: frame.write_csv(file, float_precision=6))
