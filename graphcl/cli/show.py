"""Runs a resolved configuration and shows the person what came out."""

from __future__ import annotations

from pathlib import Path

import typer
import yaml
from rich.console import Console

from graphcl.report import result_table, write_report
from graphcl.tasks import RunConfig, SystemRun, run_system
from graphcl.tasks.task_data import TaskData
from graphcl.training import RunFolder


def show_run(
    config: RunConfig,
    data: TaskData,
    *,
    out: Path | None = None,
    stem: str | None = None,
    only_config: bool = False,
    reopened: RunFolder | None = None,
    resumable: bool = True,
) -> tuple[SystemRun, RunFolder] | None:
    """Trains, writes the folder with its pictures, and prints the table and where everything is.

    Args:
        config: The resolved run.
        data: The graph, or the split of a recommendation system.
        out: The run folder; a fresh one under ``runs`` when ``None``.
        stem: Beginning of a fresh folder's name; system and data set when ``None``.
        only_config: Print the configuration as YAML and do nothing else.
        reopened: The folder of a run to go on with, instead of ``out``.
        resumable: Whether the run can be taken up again should it be killed.
    """
    if only_config:
        typer.echo(yaml.safe_dump(config.as_dict(), sort_keys=False), nl=False)
        return None
    stem = stem or f"{config.system}-{config.dataset.replace('/', '-')}"
    folder = reopened or (RunFolder(out) if out is not None else RunFolder.fresh("runs", stem))
    progress, result = Console(stderr=True), Console()
    run = run_system(
        config,
        data,
        folder,
        progress=True,
        resumable=resumable,
        grows=True,
        report=lambda run: write_report(run, data, folder),
        say=lambda line: progress.print(line, highlight=False, style="dim", soft_wrap=True),
    )
    if run.metrics["metrics"]:
        result.print(result_table(run.metrics))
    result.print(f"run folder: {folder.path}", highlight=False, soft_wrap=True)
    return run, folder
