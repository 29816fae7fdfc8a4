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
Clusters = Annotated[int | None, typer.Option("--k", help="Number of clusters; the number of classes if not given.")]
Seeds = Annotated[int | None, typer.Option("--seeds", help="Number of runs, seeds 0, 1, ...")]
Epochs = Annotated[int | None, typer.Option("--epochs", help="Training epochs.")]
Device = Annotated[str | None, typer.Option("--device", help="auto, cpu, cuda, cuda:1, ...")]
Out = Annotated[Path | None, typer.Option("--out", metavar="DIR", help="Run folder; runs/NAME-DATE-TIME if not given.")]
Resume = Annotated[
    Path | None,
    typer.Option("--resume", metavar="DIR", help="Go on with the run in this folder, which was killed; takes --data alone."),
]
Selection = Annotated[
    str | None,
    typer.Option("--selection", help="Which epoch speaks: last, label_free, or oracle (looks at the labels; stamped)."),
]
PrintConfig = Annotated[bool, typer.Option("--print-config", help="Show the resolved configuration and stop.")]
