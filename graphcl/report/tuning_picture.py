"""A tuning as a picture: the value by trial, and by each setting that was varied."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from graphcl.tasks.tune_space import Choice, Dimension
from graphcl.tasks.tune_study import Trial

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLUMNS = 3
NAMED = 12  # values of a choice whose names there is room for


def tuning_picture(trials: Sequence[Trial], space: Sequence[Dimension], path: Path, *, metric: str, title: str) -> None:
    """The value over the trials with the best so far, and a panel for each dimension, as a PNG; crosses mark failed trials.

    Args:
        trials: All of them, in their order.
        space: What was varied.
        path: Where to write.
        metric: What the value is.
        title: Above the picture.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns = min(COLUMNS, len(space) + 1)
    rows = math.ceil((len(space) + 1) / columns)
    figure = Figure(figsize=(4.2 * columns, 3.2 * rows), layout="constrained")
    FigureCanvasAgg(figure)  # no window, no global state
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    _by_trial(panels[0], trials, metric)
    for axes, dimension in zip(panels[1:], space, strict=False):
        _by_setting(axes, trials, dimension, metric)
    for axes in panels[len(space) + 1 :]:
        axes.set_visible(False)
    figure.suptitle(title)
    figure.savefig(path, dpi=130, format="png")


def _by_trial(axes: Axes, trials: Sequence[Trial], metric: str) -> None:
    known = [(trial.number, trial.value) for trial in trials if trial.value is not None]
    numbers, values = [number for number, _ in known], [value for _, value in known]
    if known:
        axes.step(numbers, np.maximum.accumulate(values), where="post", color="black", linewidth=1.2, label="best so far")
    axes.scatter(numbers, values, s=18, color="tab:blue", label="trial")
    _crosses(axes, [trial.number for trial in trials if trial.failure is not None])
    axes.set(xlabel="trial", ylabel=metric)
    axes.legend(fontsize=7, frameon=False)


def _by_setting(axes: Axes, trials: Sequence[Trial], dimension: Dimension, metric: str) -> None:
    places = {value: at for at, value in enumerate(dimension.values)} if isinstance(dimension, Choice) else {}

    def place(trial: Trial) -> float:
        value = trial.params[dimension.key]
        return float(places[value] if isinstance(value, str) else value)

    known = [trial for trial in trials if trial.value is not None]
    numbers, values = [trial.number for trial in known], [trial.value or 0.0 for trial in known]
    axes.scatter([place(trial) for trial in known], values, s=18, c=numbers, cmap="viridis")  # the later, the brighter
    _crosses(axes, [place(trial) for trial in trials if trial.failure is not None])
    axes.set(xlabel=dimension.key, ylabel=metric)
    if isinstance(dimension, Choice):
        if len(places) <= NAMED:
            axes.set_xticks(list(places.values()), list(places), rotation=30, ha="right", fontsize=7)
    elif dimension.log:
        axes.set_xscale("log")


def _crosses(axes: Axes, places: Sequence[float]) -> None:
    if places:
        axes.plot(
            places, [0.03] * len(places), "x", color="tab:red", transform=axes.get_xaxis_transform(), label="failed",
        )  # fmt: skip
