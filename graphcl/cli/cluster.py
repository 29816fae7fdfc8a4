"""``graphcl cluster``: clusters of a graph from the user's own tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from graphcl.cli.options import (
    BatchNodes,
    Device,
    EdgeFile,
    Epochs,
    FeatureColumns,
    IdColumn,
    LabelColumn,
    Neighbours,
    NodeFile,
    Out,
    PrintConfig,
    Settings,
    SourceColumn,
    TargetColumn,
    WeightColumn,
)
from graphcl.cli.own_tables import OwnTables
from graphcl.errors import InputError, unknown_name

if TYPE_CHECKING:
    from graphcl.evaluation.choose_k import ChoiceOfK
    from graphcl.training import RunFolder

SHOWN = 20  # clusters that are printed; the file has all
CRITERIA = ("combined", "modularity", "silhouette", "stability")


def _number(text: str) -> int | str:
    """A number of clusters, or ``auto``."""
    if text == "auto":
        return text
    try:
        return int(text)
    except ValueError:
        raise typer.BadParameter(f"'{text}' is neither a whole number nor auto") from None


def cluster(
    edges: EdgeFile = None,
    nodes: NodeFile = None,
    k: Annotated[
        Any,
        typer.Option(
            "--k",
            metavar="INTEGER|auto",
            parser=_number,
            help="Number of clusters, or auto to choose it without labels; the number of classes if not given.",
        ),
    ] = None,
    k_range: Annotated[
        str | None, typer.Option("--k-range", metavar="FROM:TO", help="With --k auto: the numbers to try.", show_default="2:20")
    ] = None,
    k_by: Annotated[
        str | None,
        typer.Option("--k-by", help=f"With --k auto: what to choose by, {', '.join(CRITERIA)}.", show_default="combined"),
    ] = None,
    method: Annotated[str, typer.Option("--method", help="A clustering system; see: graphcl list systems")] = "pamc",
    source: SourceColumn = None,
    target: TargetColumn = None,
    weight: WeightColumn = None,
    id_: IdColumn = None,
    features: FeatureColumns = None,
    label: LabelColumn = None,
    knn: Neighbours = None,
    settings: Settings = None,
    epochs: Epochs = None,
    seed: Annotated[int, typer.Option("--seed", help="Of everything random.")] = 0,
    batch_nodes: BatchNodes = None,
    device: Device = None,
    out: Out = None,
    print_config: PrintConfig = False,
) -> None:
    """Cluster your own graph. Writes clusters.csv (id, cluster, confidence) and clusters_summary.csv into the run folder.

    With --k auto the number of clusters is chosen before training, from features filtered by the graph; k.csv and k.png show
    what spoke for it.
    """
    tables = OwnTables(edges, nodes, source, target, weight, id_, features, label, knn)
    tried = _tried(k, k_range, k_by)
    from graphcl.models import find_system

    find_system(method, task="clustering")

    from graphcl.cli.show import show_run
    from graphcl.tasks import resolve
    from graphcl.tasks.choose_k import choose_k
    from graphcl.tasks.clusters_table import cluster_rows, write_cluster_rows, write_clusters

    data = tables.read()
    choice = choose_k(data, tried, by=k_by or "combined", seed=seed) if k == "auto" else None  # type: ignore[arg-type]
    if choice is not None:
        typer.echo(choice.told(), err=True)
    config = resolve(
        method,
        tables.name,
        seeds=1,
        settings=settings or (),
        training={"epochs": epochs, "device": device, "batch_nodes": batch_nodes},
        first_seed=seed,
        n_clusters=k if choice is None else choice.n_clusters,
    )
    shown = show_run(config, data, out=out, stem=f"cluster-{tables.name}", only_config=print_config, resumable=False)
    if shown is not None:
        run, folder = shown
        labels, confidence = run.first.labels_, run.first.confidence_
        path = write_clusters(folder, data.node_ids, labels, confidence)
        rows = cluster_rows(run.first.quality(data), labels, confidence)
        summary = write_cluster_rows(folder, rows)
        if choice is not None:
            _keep(choice, folder, tables.name)
        _show(rows, run.metrics["quality"])
        typer.echo(f"clusters: {path}")
        typer.echo(f"summary: {summary}")


def _tried(k: int | str | None, k_range: str | None, k_by: str | None) -> range | None:
    """The numbers that ``--k-range`` names; ``None`` where it is not given."""
    if k != "auto" and (k_range is not None or k_by is not None):
        raise InputError(f"{'--k-range' if k_range is not None else '--k-by'} is for --k auto: leave it out, or ask for auto")
    if k_by is not None and k_by not in CRITERIA:
        raise unknown_name("criterion", k_by, CRITERIA)
    if k_range is None:
        return None
    first, colon, last = k_range.partition(":")
    if not (colon and first.isdecimal() and last.isdecimal()):
        raise InputError(f"--k-range expects two whole numbers, as 2:20; got '{k_range}'")
    return range(int(first), int(last) + 1)


def _keep(choice: ChoiceOfK, folder: RunFolder, name: str) -> None:
    from graphcl.report import k_curves
    from graphcl.tasks.clusters_table import write_choice

    write_choice(folder, choice)
    with folder.replacing("k.png") as path:
        k_curves(choice.ks, choice.values, path, chosen=choice.n_clusters, title=f"clusters of {name}, by {choice.by}")


def _show(rows: Sequence[Mapping[str, Any]], quality: Mapping[str, Any]) -> None:
    typer.echo(", ".join(f"{name} {value['mean']:.4f}" for name, value in quality.items()))
    names = ("size", "confidence", "conductance", "silhouette")
    typer.echo("cluster  " + "  ".join(f"{name:>11}" for name in names))
    for row in rows[:SHOWN]:
        figures = [f"{row['size']:>11}", *("" if row[name] is None else f"{row[name]:.4f}" for name in names[1:])]
        typer.echo(f"{row['cluster']:>7}  " + "  ".join(f"{text:>11}" for text in figures))
    if len(rows) > SHOWN:
        typer.echo(f"and {len(rows) - SHOWN} smaller ones")
