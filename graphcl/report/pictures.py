"""Pictures of a run: the loss by epoch, the embedding in two dimensions, and what spoke for a number of clusters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

POINTS = 20_000  # more make the file large and the picture no clearer
NAMED = 10  # clusters that a qualitative palette can tell apart


def loss_curve(history: Sequence[Mapping[str, float]], path: Path, *, title: str) -> None:
    """Every term of the loss over the epochs, as a PNG; the share of nodes that change cluster has an axis of its own.

    Args:
        history: One mapping per epoch with ``"epoch"`` and the terms.
        path: Where to write.
        title: Above the picture.
    """
    figure = _figure(7, 4)
    axes = figure.subplots()
    names = list(dict.fromkeys(name for row in history for name in row if name not in ("epoch", "changed")))
    for name in names:
        rows = [(row["epoch"], row[name]) for row in history if name in row]
        style = {"color": "black", "linewidth": 2.0} if name == "loss" else {"linewidth": 1.2}
        axes.plot([x for x, _ in rows], [y for _, y in rows], label=name.replace("_", " "), **style)
    changed = [(row["epoch"], row["changed"]) for row in history if "changed" in row]
    if changed:
        twin = axes.twinx()
        twin.plot(
            [x for x, _ in changed], [y for _, y in changed], color="tab:gray", linestyle=":", label="nodes that change cluster"
        )
        twin.set_ylabel("share of nodes that change cluster")
        twin.set_ylim(bottom=0)
    axes.set(xlabel="epoch", ylabel="loss", title=title)
    figure.legend(loc="outside lower center", ncols=4, frameon=False)
    _save(figure, path)


def embedding_map(
    embedding: npt.NDArray[np.float32],
    path: Path,
    *,
    title: str,
    clusters: npt.NDArray[np.int64] | None = None,
    classes: npt.NDArray[np.int64] | None = None,
    seed: int = 0,
) -> None:
    """The first two principal components of the embedding, coloured by cluster and by class side by side, where known.

    Args:
        embedding: One row a node; at most 20,000 of them are drawn, chosen at random.
        path: Where to write the PNG.
        title: Above the picture.
        clusters: Cluster of each node.
        classes: True class of each node, -1 where there is none.
        seed: Of the choice of nodes.

    Shapes:
        embedding: ``(N, D)``; clusters, classes: ``(N,)``.
    """
    rows = np.arange(len(embedding))
    if len(rows) > POINTS:
        rows = np.sort(np.random.default_rng(seed).choice(rows, POINTS, replace=False))
    points, share = _principal(embedding[rows])
    known = {"clusters": clusters, "classes": classes}
    panels: list[tuple[str, npt.NDArray[np.int64] | None]] = [
        (name, colours[rows]) for name, colours in known.items() if colours is not None
    ] or [("", None)]
    figure = _figure(5.2 * len(panels), 4.6)
    for axes, (name, colours) in zip(np.atleast_1d(figure.subplots(1, len(panels))), panels, strict=True):
        _scatter(axes, points, colours)
        axes.set(title=name, xlabel=f"PC 1 ({share[0]:.0%} of variance)", ylabel=f"PC 2 ({share[1]:.0%})", xticks=[], yticks=[])
    figure.suptitle(title)
    _save(figure, path)


def k_curves(ks: Sequence[int], values: Mapping[str, Sequence[float]], path: Path, *, chosen: int, title: str) -> None:
    """What speaks for each number of clusters, one line a criterion, as a PNG; the choice is marked.

    Args:
        ks: Numbers that were tried.
        values: Criterion to its value for each, ``NaN`` where it is not defined.
        path: Where to write.
        chosen: The choice.
        title: Above the picture.
    """
    from matplotlib.ticker import MaxNLocator

    figure = _figure(7, 4)
    axes = figure.subplots()
    axes.axvline(chosen, color="tab:gray", linestyle=":", label=f"chosen: {chosen}")
    for name, line in values.items():
        style = {"color": "black", "linewidth": 2.0} if name == "combined" else {"linewidth": 1.2}
        axes.plot(ks, line, marker="o", markersize=3, label=name, **style)
    axes.set(xlabel="number of clusters", ylabel="larger is better", title=title)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    figure.legend(loc="outside lower center", ncols=5, frameon=False)
    _save(figure, path)


def _principal(x: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    centred = x.astype(np.float64) - x.mean(0)
    value, vector = np.linalg.eigh(centred.T @ centred)
    vector = vector[:, ::-1][:, :2]
    value = value[::-1].clip(min=0)
    vector = vector * np.sign(vector[np.abs(vector).argmax(0), np.arange(vector.shape[1])])
    points, share = centred @ vector, value[:2] / max(value.sum(), 1e-30)
    if points.shape[1] == 1:
        points, share = np.column_stack([points, np.zeros(len(points))]), np.append(share, 0.0)
    return points, share


def _scatter(axes: Axes, points: npt.NDArray[np.float64], colours: npt.NDArray[np.int64] | None) -> None:
    size = float(np.clip(6000 / len(points), 1.5, 30))
    if colours is None:
        axes.scatter(points[:, 0], points[:, 1], s=size, linewidths=0, color="tab:gray")
        return
    names, index = np.unique(colours, return_inverse=True)
    small = len(names) <= NAMED
    palette = {"cmap": "tab10", "vmin": 0, "vmax": NAMED - 1} if small else {"cmap": "nipy_spectral"}
    drawn = axes.scatter(points[:, 0], points[:, 1], c=index, s=size, linewidths=0, **palette)
    if small:
        handles = drawn.legend_elements(num=list(range(len(names))))[0]
        axes.legend(handles, [str(name) if name >= 0 else "none" for name in names], fontsize=7, frameon=False, markerscale=0.8)


def _figure(width: float, height: float) -> Figure:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)  # no window, no global state
    return figure


def _save(figure: Figure, path: Path) -> None:
    figure.savefig(path, dpi=130, format="png")
