"""Options that several commands share, so that they read the same everywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Data = Annotated[
    Path | None,
    typer.Option(
        "--data", metavar="ROOT", help="Where data sets are looked for; GRAPHCL_DATA or the cache folder if not given."
    ),
]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Override one setting, e.g. model.temperature=0.5; may be repeated."),
]
Clusters = Annotated[
    int | None, typer.Option("--k", help="Clustering systems: number of clusters; the number of classes if not given.")
]
Seeds = Annotated[int | None, typer.Option("--seeds", help="Number of runs, seeds 0, 1, ...")]
Epochs = Annotated[int | None, typer.Option("--epochs", help="Training epochs.")]
BatchNodes = Annotated[
    int | None,
    typer.Option(
        "--batch-nodes", help="Graphs: train on batches sampled around so many nodes; on the whole graph if not given."
    ),
]
Device = Annotated[str | None, typer.Option("--device", help="auto, cpu, cuda, cuda:1, ...")]
Out = Annotated[Path | None, typer.Option("--out", metavar="DIR", help="Run folder; runs/NAME-DATE-TIME if not given.")]
Resume = Annotated[
    Path | None,
    typer.Option(
        "--resume",
        metavar="DIR",
        help="Go on with the run in this folder, which was killed, or, with more --epochs, which is over. Takes --data too.",
    ),
]
Selection = Annotated[
    str | None,
    typer.Option(
        "--selection", help="Clustering systems: which epoch speaks, last, label_free, or oracle (by the labels; stamped)."
    ),
]
PrintConfig = Annotated[bool, typer.Option("--print-config", help="Show the resolved configuration and stop.")]
Protocol = Annotated[
    str | None,
    typer.Option(
        "--protocol",
        help="Node systems: public or random 10/10/80 splits; public if not given and the data has one. Recommendation "
        "systems: the id that the numbers carry, as lit-ratio-ngcf; the split's own if not given. Sequential systems: "
        "lit-loo-s3 if not given, lit-loo-recbole (seen items listed) or strict (by time).",
    ),
]
Splits = Annotated[int | None, typer.Option("--splits", help="Node systems: how many random splits; 20 if not given.")]
Every = Annotated[
    int | None,
    typer.Option("--every", help="Recommenders: epochs between two looks at the validation part.", show_default="5"),
]
Patience = Annotated[
    int | None,
    typer.Option("--patience", help="Recommenders: looks without a gain after which training stops.", show_default="10"),
]
Refit = Annotated[
    bool | None,
    typer.Option(
        "--refit/--no-refit",
        help="Recommenders: whether the epochs that validation chose are trained again on training and validation "
        "part; on if not given and the data brings no validation part.",
        show_default=False,
    ),
]
Baselines = Annotated[
    bool | None,
    typer.Option("--baselines/--no-baselines", help="Whether what needs no training is scored beside it.", show_default="on"),
]

# The user's own tables.
EdgeFile = Annotated[Path | None, typer.Option("--edges", metavar="FILE", help="Edges: CSV, TSV, Parquet or NPZ.")]
NodeFile = Annotated[
    Path | None, typer.Option("--nodes", metavar="FILE", help="Nodes with features: CSV, TSV, Parquet or NPZ.")
]
SourceColumn = Annotated[str | None, typer.Option("--source", help="Column of an edge's first node.")]
TargetColumn = Annotated[str | None, typer.Option("--target", help="Column of its second node.")]
WeightColumn = Annotated[str | None, typer.Option("--weight", help="Column of its weight.")]
IdColumn = Annotated[str | None, typer.Option("--id", help="Column of a node's id.")]
FeatureColumns = Annotated[
    str | None, typer.Option("--features", help="Feature columns, comma-separated; every numeric one if not given.")
]
LabelColumn = Annotated[
    str | None, typer.Option("--label", help="Column of the true class: only scored against, never learned from.")
]
Neighbours = Annotated[
    int | None, typer.Option("--knn", help="Without --edges: join each node to its nearest neighbours by features.")
]
