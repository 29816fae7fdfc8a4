"""``graphcl tune``: looks for better settings of a system on a data set, by validation alone."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from graphcl.cli.options import BatchNodes, Clusters, Data, Device, Epochs, Protocol, Settings
from graphcl.errors import InputError

if TYPE_CHECKING:
    from rich.table import Table

    from graphcl.tasks.task_data import TaskData
    from graphcl.tasks.tune import Tuning
    from graphcl.tasks.tune_study import Trial, TrialStore

TRIALS = 20
SHOWN = 10  # trials in the table


def tune(
    system: Annotated[str | None, typer.Argument(help="A system; see: graphcl list systems", show_default=False)] = None,
    dataset: Annotated[
        str | None, typer.Argument(help="A data set, or domain/name; see: graphcl list datasets", show_default=False)
    ] = None,
    trials: Annotated[
        int | None,
        typer.Option(
            "--trials", metavar="N", help="Trials there are to be, with those of earlier sittings.", show_default="20"
        ),
    ] = None,
    settings: Settings = None,
    space: Annotated[
        list[str] | None,
        typer.Option(
            "--space",
            metavar="KEY=SPACE",
            help="What is tried: key=low:high, key=low:high:log or key=a,b,c. Over the default space, which has learning rate, "
            "temperature, rates of dropping and the like; what --set fixes leaves it. May be repeated.",
        ),
    ] = None,
    seed: Annotated[int | None, typer.Option("--seed", help="Of what is tried.", show_default="0")] = None,
    seeds: Annotated[
        int | None, typer.Option("--seeds", help="Trainings of a trial, whose mean is its value.", show_default="1")
    ] = None,
    epochs: Epochs = None,
    protocol: Protocol = None,
    k: Clusters = None,
    batch_nodes: BatchNodes = None,
    device: Device = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Folder; runs/tune-SYSTEM-DATASET if not given.")
    ] = None,
    data: Data = None,
    resume: Annotated[
        Path | None,
        typer.Option("--resume", metavar="DIR", help="Go on with the tuning in this folder; takes --data and --trials alone."),
    ] = None,
) -> None:
    """Tune a system: by validation nodes (node), the validation part (recommendation), modularity (clustering).

    No test label is read. The same command again goes on where it was killed, and a larger --trials adds to it. Leaves
    best.yaml, a recipe with the best settings; trials.csv; tuning.png; and study.db, which optuna's own tools read. Needs
    pip install 'graphcl[tune]'.
    """
    if find_spec("optuna") is None:
        raise InputError("graphcl tune needs an extra: pip install 'graphcl[tune]'")
    if trials is not None and trials < 1:
        raise InputError(f"--trials must be >= 1; got {trials}")
    decided = (system, dataset, settings, space, seed, seeds, epochs, protocol, k, batch_nodes, device, out)
    if resume is not None:
        if any(value is not None and value != [] for value in decided):
            raise InputError(
                "--resume DIR goes on with the tuning as it was started: only --data and --trials may stand beside it"
            )
        if not resume.is_dir():
            raise InputError(f"--resume {resume}: there is no such folder")
    elif system is None or dataset is None:
        raise InputError("name a system and a data set, for example: graphcl tune grace cora")

    from graphcl.models import find_system
    from graphcl.recsys.methods import ANCHORS

    if system is not None and system not in ANCHORS:
        find_system(system)  # before torch is loaded: a typo is answered at once

    from graphcl.tasks.run_config import check_wishes, find_entry
    from graphcl.tasks.task_data import data_name, load_data
    from graphcl.tasks.tune import Tuning, Wishes, folder_of, stored_wishes
    from graphcl.tasks.tune_study import TrialStore

    if resume is not None:
        store = TrialStore(resume)
        if not store.exists:
            raise InputError(f"--resume {resume}: there is no tuning, for want of {store.path.name}; start it again")
        system, dataset, wishes = stored_wishes(store)
    else:
        wishes = Wishes(
            settings=tuple(settings or ()), space=tuple(space or ()), epochs=epochs, n_clusters=k, protocol=protocol,
            device=device, batch_nodes=batch_nodes, seeds=1 if seeds is None else seeds, seed=seed or 0,
        )  # fmt: skip
    assert system is not None
    assert dataset is not None
    entry = find_entry(system)
    check_wishes(entry, {"n_clusters": wishes.n_clusters, "protocol": wishes.protocol})
    loaded = load_data(entry.task, dataset, data)
    tuning = Tuning.of(system, loaded, wishes)
    if resume is None:
        place = out or folder_of(system, data_name(loaded))
        _check_place(place)
        store = TrialStore(place)
    _carry_out(tuning, loaded, store, trials)


def _check_place(place: Path) -> None:
    if place.exists() and not place.is_dir():
        raise InputError(f"--out {place} is a file; name a folder")
    if (place / "config.yaml").exists():
        raise InputError(f"{place} holds a run; name another folder with --out")


def _carry_out(tuning: Tuning, data: TaskData, store: TrialStore, trials: int | None) -> None:
    """Runs the trials, writes what they amount to, and shows it; exits 1 where every trial failed."""
    from rich.console import Console

    from graphcl.report.tuning_picture import tuning_picture
    from graphcl.tasks.tune import BEST, best_recipe, best_trial, check_store, run_tuning
    from graphcl.tasks.tune_objective import make_objective
    from graphcl.tasks.tune_progress import TrialProgress
    from graphcl.training.run_folder import replacing

    objective = make_objective(tuning.base, data)  # refuses what cannot be validated on before anything is written
    check_store(store, tuning)
    wanted = trials or (store.budget if store.exists else TRIALS)
    console = Console(stderr=True)
    varied = ", ".join(str(one) for one in tuning.space)
    console.print(f"by {objective.said}; over {varied}", highlight=False, style="dim", soft_wrap=True, markup=False)
    with TrialProgress(wanted, objective.metric, console=console) as progress:
        done = run_tuning(tuning, data, store, wanted, progress, objective)
    best, title = best_trial(done), f"{tuning.system} on {tuning.dataset}"
    with replacing(store.folder / "trials.csv") as path:
        path.write_text(_csv(tuning, done, objective.metric), encoding="utf-8")
    with replacing(store.folder / "tuning.png") as path:
        tuning_picture(done, tuning.space, path, metric=objective.metric, title=title)
    if best is None:
        typer.echo(f"error: all {len(done)} trials failed, the last because of: {done[-1].failure}", err=True)
        raise typer.Exit(1)
    with replacing(store.folder / BEST) as path:
        path.write_text(best_recipe(tuning, best, objective.metric, len(done)), encoding="utf-8")
    Console().print(_table(tuning, done, objective.metric))
    typer.echo(f"best: {store.folder / BEST}, trial {best.number}; to train and test with it:")
    typer.echo(tuning.command(best.params))


def _table(tuning: Tuning, trials: Sequence[Trial], metric: str) -> Table:
    from rich.table import Table

    failed = sum(trial.failure is not None for trial in trials)
    caption = f"{len(trials)} trials, {failed} failed; validation, no result: the largest of many is too large"
    table = Table(title=f"{tuning.system} on {tuning.dataset}", caption=caption)
    for name in ("trial", metric, "seconds"):
        table.add_column(name, justify="right")
    table.add_column("settings")
    ranked = sorted(
        (trial for trial in trials if trial.value is not None), key=lambda trial: (-(trial.value or 0), trial.number)
    )
    for trial in ranked[:SHOWN]:
        params = ", ".join(f"{key.partition('.')[2]} {value}" for key, value in trial.params.items())
        table.add_row(str(trial.number), f"{trial.value:.4f}", f"{trial.seconds:.1f}", params)
    return table


def _csv(tuning: Tuning, trials: Sequence[Trial], metric: str) -> str:
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["trial", metric, *(one.key for one in tuning.space), "seconds", "failure"])
    for trial in trials:
        params = [trial.params[one.key] for one in tuning.space]
        value = "" if trial.value is None else repr(trial.value)
        writer.writerow([trial.number, value, *params, f"{trial.seconds:.3f}", trial.failure or ""])
    return file.getvalue()
