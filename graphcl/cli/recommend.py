"""``graphcl recommend``: who may like what, from the user's own log of interactions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from graphcl.cli.options import Device, Epochs, Out

if TYPE_CHECKING:
    from rich.table import Table

    from graphcl.tasks.quickstart import Comparison

SHOWN = ("ndcg@20", "recall@20", "coverage@20")


def recommend(
    interactions: Annotated[
        Path, typer.Option("--interactions", metavar="FILE", help="Rows of user and item: CSV, TSV, Parquet, Arrow or NPZ.")
    ],
    user: Annotated[str | None, typer.Option("--user", help="Column of users; user, user_id or userid if not given.")] = None,
    item: Annotated[str | None, typer.Option("--item", help="Column of items; item, item_id or itemid if not given.")] = None,
    time: Annotated[
        str | None, typer.Option("--time", help="Column of times; timestamp, time or datetime, if there is one, if not given.")
    ] = None,
    weight: Annotated[
        str | None, typer.Option("--weight", help="Column of weights, 0 or more; weight or rating, if there is one.")
    ] = None,
    min_weight: Annotated[
        float | None, typer.Option("--min-weight", help="Leave out rows of a smaller weight, e.g. 4 for ratings of 4 and 5.")
    ] = None,
    min_user: Annotated[int, typer.Option("--min-user", help="Learn only from users with so many items.")] = 0,
    min_item: Annotated[int, typer.Option("--min-item", help="Learn only from items with so many users.")] = 0,
    method: Annotated[
        str,
        typer.Option(
            "--method",
            help="auto compares a few that go by who has what; a name, e.g. ease or lightgcn, skips the comparison. markov, "
            "sasrec and other sequential ones go by the order of events, list what may come next, and are taken by name only.",
        ),
    ] = "auto",
    split: Annotated[
        str, typer.Option("--split", help="For the comparison: auto (by time where there are times), time or random.")
    ] = "auto",
    k: Annotated[int, typer.Option("--k", help="Items for each user.")] = 10,
    table: Annotated[str, typer.Option("--format", help="Of the lists: csv or parquet.")] = "csv",
    epochs: Epochs = None,
    seed: Annotated[int, typer.Option("--seed", help="Of everything random.")] = 0,
    device: Device = None,
    out: Out = None,
) -> None:
    """Recommend items to everybody in your own log. Writes recommendations.csv (user, item, score, rank, source)."""
    from rich.console import Console

    from graphcl.recsys.data import read_events
    from graphcl.tasks.quickstart import Core, check_request, quickstart
    from graphcl.tasks.run_config import check_training
    from graphcl.training import RunFolder

    check_request(method=method, k=k, how=split, table=table)
    settings: dict[str, Any] = {"epochs": epochs, "device": device}
    training = check_training({key: value for key, value in settings.items() if value is not None})
    name = interactions.name.split(".")[0]
    folder = RunFolder(out) if out is not None else RunFolder.fresh("runs", f"recommend-{name}")
    progress, result = Console(stderr=True), Console()

    def say(line: str) -> None:
        progress.print(line, highlight=False, style="dim", soft_wrap=True)

    events = read_events(interactions, user=user, item=item, weight=weight, time=time, min_weight=min_weight)
    done = quickstart(
        events,
        folder,
        name=name,
        method=method,
        k=k,
        how=split,  # type: ignore[arg-type]
        core=Core(min_user, min_item),
        training=training,
        seed=seed,
        table=table,  # type: ignore[arg-type]
        asked={
            "interactions": str(interactions),
            "user": user,
            "item": item,
            "time": time,
            "weight": weight,
            "min_weight": min_weight,
        },
        progress=True,
        say=say,
    )
    if done.comparison is not None:
        result.print(comparison_table(done.comparison, done.metrics["peak_memory_mb"]))
    lists = folder.path / f"recommendations.{table}"
    result.print(f"recommendations: {lists}", highlight=False, soft_wrap=True)
    result.print(f"run folder: {folder.path}", highlight=False, soft_wrap=True)


def comparison_table(comparison: Comparison, peak_mb: float) -> Table:
    """The methods, simplest first, the chosen one in bold; how they were judged in the caption."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    from graphcl.tasks.quickstart import RULE

    split = comparison.split
    notes = [
        f"chosen: {comparison.chosen}, {RULE}; --method NAME takes another",
        f"valid: {comparison.valid_users:,} users with a history; test: scored once for each, {comparison.test_users:,} users",
        f"protocol {split.protocol}; peak memory {peak_mb:.0f} MB",
        *(f"{row.method}: {stamp}" for row in comparison.contenders for stamp in row.stamps),
    ]
    table = Table(
        title=f"recommenders on {split.provenance.name}", caption="\n".join(notes), caption_justify="left", box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )  # fmt: skip
    table.add_column("method", no_wrap=True)
    for head in (f"valid\n{SHOWN[0]}", *(f"test\n{name}" for name in SHOWN), "\nseconds", "model\nMB"):
        table.add_column(head, justify="right", no_wrap=True)
    for row in comparison.contenders:
        table.add_row(
            row.method,
            f"{row.valid:.4f}±{row.error:.4f}",
            *(f"{row.test[name]:.4f}" for name in SHOWN),
            f"{row.seconds:.1f}",
            f"{row.megabytes:.1f}",
            style="bold" if row.method == comparison.chosen else None,
        )
    return table
