"""Clusters as a table with the caller's own ids."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

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
