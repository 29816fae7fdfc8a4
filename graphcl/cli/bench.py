"""``graphcl bench``: systems by data sets by seeds, beside baselines and the published figures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from graphcl.cli.options import Data, Device, Epochs, Seeds, Settings
from graphcl.errors import InputError, unknown_name

SUITES = ("recsys", "sequential", "node", "clustering")


def bench(
    suite: Annotated[str, typer.Argument(help=f"What to compare: {', '.join(SUITES)}.")],
    datasets: Annotated[
        str | None,
        typer.Option("--datasets", metavar="A,B", help="Data sets, comma-separated; those with a recipe if not given."),
    ] = None,
    systems: Annotated[
        str | None, typer.Option("--systems", metavar="X,Y", help="Systems, comma-separated; all of the task if not given.")
    ] = None,
    seeds: Seeds = None,
    epochs: Epochs = None,
    settings: Settings = None,
    device: Device = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="DIR", help="Folder of the runs and tables; runs/bench-SUITE if not given."),
    ] = None,
    data: Data = None,
) -> None:
    """Run many systems on many data sets and put the results into one table: bench.md, bench.csv, bench.html.

    The same command again takes finished runs as they are and goes on with what was killed. A run that fails is passed over;
    the exit code is then 1.
    """
    if suite not in SUITES:
        raise unknown_name("suite", suite, SUITES)
    place = out or Path("runs") / f"bench-{suite}"
    if place.exists() and not place.is_dir():
        raise InputError(f"--out {place} is a file; name a folder")

    from rich.console import Console

    from graphcl.report import bench_blocks, bench_csv, bench_html, bench_markdown, write_report
    from graphcl.tasks.bench_plan import find_suite, plan
    from graphcl.tasks.bench_run import run_bench
    from graphcl.training.run_folder import replacing

    console = Console(stderr=True)

    def say(line: str) -> None:
        console.print(line, highlight=False, style="dim", soft_wrap=True, markup=False)

    found = find_suite(suite)
    cells = plan(
        found, place, systems=_listed("--systems", systems), datasets=_listed("--datasets", datasets), root=data, seeds=seeds,
        epochs=epochs, device=device, settings=settings or (), say=say,
    )  # fmt: skip
    outcomes = run_bench(cells, data, progress=True, report=write_report, say=say)
    blocks = bench_blocks(found, outcomes)
    place.mkdir(parents=True, exist_ok=True)
    text = bench_markdown(found, blocks, outcomes)
    pages = {"bench.md": text, "bench.csv": bench_csv(found, blocks), "bench.html": bench_html(found, blocks, outcomes)}
    for name, content in pages.items():
        with replacing(place / name) as temporary:
            temporary.write_text(content, encoding="utf-8")
    typer.echo(text, nl=False)
    typer.echo(f"benchmark: {place}")
    failed = sum(outcome.failure is not None for outcome in outcomes)
    if failed:
        typer.echo(f"error: {failed} of {len(outcomes)} runs failed; see above, and start the same command again", err=True)
        raise typer.Exit(1)


def _listed(option: str, text: str | None) -> list[str] | None:
    if text is None:
        return None
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise InputError(f"{option} expects names with commas between them; got '{text}'")
    return names
