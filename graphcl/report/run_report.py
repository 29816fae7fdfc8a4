"""What a person looks at first in a run folder: two pictures and a table."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from torch_geometric.data import Data

from graphcl.report.pictures import embedding_map, loss_curve
from graphcl.report.table import result_markdown
from graphcl.tasks import SystemRun
from graphcl.tasks.task_data import TaskData
from graphcl.training import RunFolder


def write_report(run: SystemRun, data: TaskData, folder: RunFolder) -> None:
    """Adds ``loss.png``, ``embedding.png`` of nodes and, where there are scores, ``results.md``.

    Args:
        run: A finished run.
        data: The graph, for its classes; or the split of a recommendation system.
        folder: The run's folder.
    """
    first, name = run.first, f"{run.metrics['system']} on {run.metrics['dataset']}"
    title = f"{name}, seed {first.seed}"
    # What validation scored is no loss, and has another scale.
    history = [{term: value for term, value in row.items() if not term.startswith("valid ")} for row in first.history_]
    if history:
        with folder.replacing("loss.png") as path:
            loss_curve(history, path, title=title)
    if isinstance(data, Data):
        clusters, classes = getattr(first, "labels_", None), _classes(data)
        with folder.replacing("embedding.png") as path:
            embedding_map(first.embedding_, path, title=title, clusters=clusters, classes=classes)
    if run.metrics["metrics"]:
        text = result_markdown(run.metrics)
        folder.write("results.md", lambda file: file.write(text.encode()))


def _classes(data: Data) -> npt.NDArray[np.int64] | None:
    if "y" not in data or data.y is None or data.y.ndim != 1:
        return None
    classes: npt.NDArray[np.int64] = data.y.cpu().numpy()
    return np.where(data.unlabelled.cpu().numpy(), -1, classes) if "unlabelled" in data else classes
