"""``graphcl cluster``: clusters of a graph from the user's own tables."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from graphcl.cli.options import Clusters, Device, Epochs, Out, PrintConfig, Settings


def cluster(
    edges: Annotated[Path | None, typer.Option("--edges", help="Edges: CSV, TSV, Parquet or NPZ.")] = None,
    nodes: Annotated[Path | None, typer.Option("--nodes", help="Nodes with features: CSV, TSV, Parquet or NPZ.")] = None,
    k: Clusters = None,
    method: Annotated[str, typer.Option("--method", help="A clustering system; see: graphcl list systems")] = "pamc",
    source: Annotated[str | None, typer.Option("--source", help="Column of an edge's first node.")] = None,
    target: Annotated[str | None, typer.Option("--target", help="Column of its second node.")] = None,
    weight: Annotated[str | None, typer.Option("--weight", help="Column of its weight.")] = None,
    id_: Annotated[str | None, typer.Option("--id", help="Column of a node's id.")] = None,
    features: Annotated[
        str | None, typer.Option("--features", help="Feature columns, comma-separated; every numeric one if not given.")
    ] = None,
    label: Annotated[
        str | None, typer.Option("--label", help="Column of the true class: only scored against, never learned from.")
    ] = None,
    knn: Annotated[
        int | None, typer.Option("--knn", help="Without --edges: join each node to its nearest neighbours by features.")
    ] = None,
    settings: Settings = None,
    epochs: Epochs = None,
    seed: Annotated[int, typer.Option("--seed", help="Of everything random.")] = 0,
    device: Device = None,
    out: Out = None,
    print_config: PrintConfig = False,
) -> None:
    """Cluster your own graph. Writes clusters.csv (id, cluster, confidence) into the run folder."""
    from graphcl.errors import InputError
    from graphcl.models import find_system

    if edges is None and (nodes is None or knn is None):
        raise InputError("give --edges FILE, or --nodes FILE with --knn K to join each node to its nearest")
    if edges is not None and knn is not None:
        raise InputError("--knn K stands in for --edges FILE: give one of the two")
    for option, value, needed, table in (
        ("--id", id_, "--nodes", nodes),
        ("--features", features, "--nodes", nodes),
        ("--label", label, "--nodes", nodes),
        ("--source", source, "--edges", edges),
        ("--target", target, "--edges", edges),
        ("--weight", weight, "--edges", edges),
    ):
        if value is not None and table is None:
            raise InputError(f"{option} names a column of {needed} FILE, which is missing")
    find_system(method, task="clustering")

    from graphcl.cli.show import show_run
    from graphcl.datasets import from_tables
    from graphcl.tasks import resolve
    from graphcl.tasks.clusters_table import write_clusters

    columns = [name.strip() for name in features.split(",")] if features else None
    data = from_tables(
        edges, nodes, source=source, target=target, id=id_, features=columns, label=label, weight=weight, knn=knn
    )
    named = (nodes or edges or Path("own")).name.split(".")[0]
    config = resolve(
        method,
        named,
        seeds=1,
        settings=settings or (),
        training={"epochs": epochs, "device": device},
        first_seed=seed,
        n_clusters=k,
    )
    shown = show_run(config, data, out=out, stem=f"cluster-{named}", only_config=print_config, resumable=False)
    if shown is not None:
        run, folder = shown
        path = write_clusters(folder, data.node_ids, run.first.labels_, run.first.confidence_)
        typer.echo(f"clusters: {path}")
