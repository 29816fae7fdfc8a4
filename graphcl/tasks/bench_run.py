"""Runs the cells of a benchmark one after the other; what is finished is taken as it is, what was killed goes on."""

from __future__ import annotations

import contextlib
import json
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from graphcl.errors import InputError
from graphcl.tasks.bench_plan import Cell
from graphcl.tasks.run_config import find_entry
from graphcl.tasks.system_run import SystemRun, run_system
from graphcl.tasks.task_data import TaskData, load_data
from graphcl.tasks.verdict import Say
from graphcl.training import NonFiniteLossError, RunFolder

FAILED = "failed.txt"
Report = Callable[[SystemRun, TaskData, RunFolder], None]


@dataclass(frozen=True)
class Outcome:
    """What became of a cell.

    Args:
        cell: Which one.
        metrics: The content of its ``metrics.json``; ``None`` if it failed.
        data: What its ``environment.json`` says of the data: ``name``, ``sha256``, ``counts``.
        failure: Why it failed, in a line.
    """

    cell: Cell
    metrics: Mapping[str, Any] | None = None
    data: Mapping[str, Any] | None = None
    failure: str | None = None


def run_bench(
    cells: Sequence[Cell],
    root: Path | None = None,
    *,
    progress: bool = False,
    report: Report = lambda run, data, folder: None,
    say: Say = lambda line: None,
) -> list[Outcome]:
    """Runs every cell in this process. One that fails is told, noted in its folder's ``failed.txt``, and passed over.

    The peak of memory that a cell reports is its own on Linux; elsewhere it is that of the process so far.

    Args:
        cells: As `plan` makes them, those of one data set together.
        root: The data root.
        progress: Whether to show a progress bar.
        report: Adds files of its own to every finished run.
        say: Told what is being done, line by line.
    """
    outcomes: list[Outcome] = []
    held: tuple[tuple[str, str], TaskData] | None = None  # the last data set, which most cells share with the one before
    for number, cell in enumerate(cells, 1):
        system, dataset = cell.config.system, cell.config.dataset
        say(f"[{number}/{len(cells)}] {system} on {dataset}{': finished already' if cell.finished else ''}")
        try:
            if not cell.finished:
                key = (find_entry(system).task, dataset)
                if held is None or held[0] != key:
                    held = (key, load_data(*key, root))
                _run(cell, held[1], progress, report, say)
            outcomes.append(_finished(cell))
        except Exception as error:  # whatever it is, the other cells have a right to be run
            outcomes.append(Outcome(cell, failure=_told(cell, error)))
            say(f"[{number}/{len(cells)}] {system} on {dataset} failed: {outcomes[-1].failure}")
    return outcomes


def _run(cell: Cell, data: TaskData, progress: bool, report: Report, say: Say) -> None:
    path = cell.folder
    going_on = (path / "config.yaml").exists() and (path / "checkpoints").is_dir()
    folder = RunFolder.reopen(path) if going_on else RunFolder(path)
    _forget_peak()
    run_system(cell.config, data, folder, progress=progress, report=lambda run: report(run, data, folder), say=say)
    (path / FAILED).unlink(missing_ok=True)


def _finished(cell: Cell) -> Outcome:
    path = cell.folder
    try:
        metrics = json.loads((path / "metrics.json").read_text(encoding="utf-8"))
        data = json.loads((path / "environment.json").read_text(encoding="utf-8"))["data"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} holds a run that cannot be read ({error}): remove it") from error
    return Outcome(cell, metrics, data)


def _told(cell: Cell, error: Exception) -> str:
    expected = isinstance(error, InputError | NonFiniteLossError | MemoryError)
    text = " ".join(str(error).split())
    line = text if expected and text else f"{type(error).__name__}: {text}"
    with contextlib.suppress(OSError):
        cell.folder.mkdir(parents=True, exist_ok=True)
        whole = line if expected else "".join(traceback.format_exception(error))
        (cell.folder / FAILED).write_text(whole.rstrip() + "\n", encoding="utf-8")
    return line


def _forget_peak() -> None:
    """Lets Linux count the peak of resident memory from here on."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
