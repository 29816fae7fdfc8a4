"""``graphcl embed``: embeddings of the nodes of the user's own tables, newly trained or by a trained run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

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
    PrintConfig,
    Settings,
    SourceColumn,
    TargetColumn,
    WeightColumn,
)
from graphcl.cli.own_tables import OwnTables
from graphcl.errors import InputError


def embed(
    edges: EdgeFile = None,
    nodes: NodeFile = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="FILE|DIR",
            help="A .csv, .parquet or .npy file; or a run folder, for embeddings.csv in it. "
            "runs/embed-NAME-DATE-TIME if not given.",
        ),
    ] = None,
    run: Annotated[
        Path | None,
        typer.Option("--run", metavar="DIR", help="Train nothing: embed with the finished run in this folder."),
    ] = None,
    method: Annotated[
        str | None, typer.Option("--method", help="A node system; see: graphcl list systems", show_default="grace")
    ] = None,
    source: SourceColumn = None,
    target: TargetColumn = None,
    weight: WeightColumn = None,
    id_: IdColumn = None,
    features: FeatureColumns = None,
    label: LabelColumn = None,
    knn: Neighbours = None,
    settings: Settings = None,
    epochs: Epochs = None,
    seed: Annotated[int | None, typer.Option("--seed", help="Of everything random.", show_default="0")] = None,
    batch_nodes: BatchNodes = None,
    device: Device = None,
    print_config: PrintConfig = False,
) -> None:
    """Embed the nodes of your own graph. Writes a table of id, e0, e1, ... by training, or with --run by a trained run."""
    tables = OwnTables(edges, nodes, source, target, weight, id_, features, label, knn)
    if run is not None:
        decided = {
            "--method": method, "--set": settings or None, "--epochs": epochs, "--seed": seed, "--batch-nodes": batch_nodes,
        }  # fmt: skip
        asked = [*(name for name, value in decided.items() if value is not None), *(["--print-config"] if print_config else [])]
        if asked:
            raise InputError(f"--run DIR embeds with what was trained: leave out {', '.join(asked)}")
        _reuse(run, tables, out, device)
        return
    from graphcl.models import find_system

    method = method or "grace"
    find_system(method, task="node")

    from graphcl.cli.show import show_run
    from graphcl.tasks import resolve
    from graphcl.tasks.embedding_table import ENDINGS, check_target, write_embeddings

    is_file = out is not None and (out.suffix.lower() in ENDINGS or out.suffix[1:].isalpha()) and not out.is_dir()
    if is_file and out is not None:
        check_target(out)
    data = tables.read()
    config = resolve(
        method,
        tables.name,
        seeds=1,
        settings=settings or (),
        training={"epochs": epochs, "device": device, "batch_nodes": batch_nodes},
        first_seed=seed or 0,
    )
    place = None if is_file else out
    shown = show_run(config, data, out=place, stem=f"embed-{tables.name}", only_config=print_config, resumable=False)
    if shown is not None:
        result, folder = shown
        path = out if is_file and out is not None else folder.path / "embeddings.csv"
        write_embeddings(path, data.node_ids, result.first.embedding_)
        typer.echo(f"embeddings: {path}")


def _reuse(run: Path, tables: OwnTables, out: Path | None, device: str | None) -> None:
    if out is None:
        raise InputError("give --out FILE.csv, .parquet or .npy: where should the embeddings go?")
    from graphcl.tasks import Trained
    from graphcl.tasks.embedding_table import check_target, write_embeddings

    check_target(out)
    trained = Trained.read(run, device or "auto")
    data = tables.read(trained.feature_names)
    typer.echo(data.provenance.summary(), err=True)
    write_embeddings(out, data.node_ids, trained.embed(data))
    typer.echo(f"embeddings: {out}")
