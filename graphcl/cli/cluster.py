"""``graphcl cluster``: clusters of a graph from the user's own tables."""

from __future__ import annotations

from typing import Annotated

import typer

from graphcl.cli.options import (
    Clusters,
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


def cluster(
    edges: EdgeFile = None,
    nodes: NodeFile = None,
    k: Clusters = None,
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
    device: Device = None,
    out: Out = None,
    print_config: PrintConfig = False,
) -> None:
    """Cluster your own graph. Writes clusters.csv (id, cluster, confidence) into the run folder."""
    tables = OwnTables(edges, nodes, source, target, weight, id_, features, label, knn)
    from graphcl.models import find_system

    find_system(method, task="clustering")

    from graphcl.cli.show import show_run
    from graphcl.tasks import resolve
    from graphcl.tasks.clusters_table import write_clusters

    data = tables.read()
    config = resolve(
        method,
        tables.name,
        seeds=1,
        settings=settings or (),
        training={"epochs": epochs, "device": device},
        first_seed=seed,
        n_clusters=k,
    )
    shown = show_run(config, data, out=out, stem=f"cluster-{tables.name}", only_config=print_config, resumable=False)
    if shown is not None:
        run, folder = shown
        path = write_clusters(folder, data.node_ids, run.first.labels_, run.first.confidence_)
        typer.echo(f"clusters: {path}")
