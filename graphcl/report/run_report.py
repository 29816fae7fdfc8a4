"""What a person looks at first in a run folder: two pictures and a table."""

from __future__ import annotations

import numpy as np
from torch_geometric.data import Data

from graphcl.report.pictures import embedding_map, loss_curve
from graphcl.report.table import result_markdown
from graphcl.tasks import SystemRun
from graphcl.training import RunFolder


def write_report(run: SystemRun, data: Data, folder: RunFolder) -> None:
    """Adds ``loss.png``, ``embedding.png`` and, where there are scores, ``results.md``.

    Args:
        run: A finished run.
        data: The graph, for its classes.
        folder: The run's folder.
    """
    first, name = run.first, f"{run.metrics['system']} on {run.metrics['dataset']}"
    with folder.replacing("loss.png") as path:
        loss_curve(first.history_, path, title=f"{name}, seed {first.seed}")
    classes = data.y.cpu().numpy() if "y" in data and data.y is not None and data.y.ndim == 1 else None
    if classes is not None and "unlabelled" in data:
        classes = np.where(data.unlabelled.cpu().numpy(), -1, classes)
    with folder.replacing("embedding.png") as path:
        clusters = getattr(first, "labels_", None)
        embedding_map(first.embedding_, path, title=f"{name}, seed {first.seed}", clusters=clusters, classes=classes)
    if run.metrics["metrics"]:
        text = result_markdown(run.metrics)
        folder.write("results.md", lambda file: file.write(text.encode()))
