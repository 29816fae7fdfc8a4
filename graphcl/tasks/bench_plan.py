"""What a benchmark consists of: systems by data sets, each resolved to a run before anything is trained."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from graphcl.errors import InputError, unknown_name
from graphcl.models import SYSTEMS, SystemEntry
from graphcl.models.recipes import recipe_names
from graphcl.recsys.methods import ANCHORS
from graphcl.tasks.run_config import RunConfig, read_config, resolve, takes
from graphcl.tasks.task_data import data_name, load_data
from graphcl.training import RunFolder


@dataclass(frozen=True)
class Suite:
    """A kind of benchmark.

    Args:
        name: What the command line calls it.
        task: Whose systems it runs.
        metrics: Columns of its tables, names of ``metrics.json``.
        main: The one that orders a table and that claims are tested on.
    """

    name: str
    task: str
    metrics: tuple[str, ...]
    main: str


SUITES = {
    suite.name: suite
    for suite in (
        Suite("recsys", "recommendation", ("recall@10", "ndcg@10", "recall@20", "ndcg@20", "coverage@20"), "ndcg@20"),
        Suite("sequential", "sequential", ("hr@5", "hr@10", "hr@20", "ndcg@5", "ndcg@10", "ndcg@20"), "ndcg@10"),
        Suite("node", "node", ("acc", "f1", "val_acc"), "acc"),
        Suite("clustering", "clustering", ("acc", "nmi", "ari", "f1"), "acc"),
    )
}


@dataclass(frozen=True)
class Cell:
    """One run of a benchmark: a system on a data set, all seeds of it.

    Args:
        config: The resolved run.
        out: Folder of the benchmark.
    """

    config: RunConfig
    out: Path

    @property
    def folder(self) -> Path:
        """Its run folder."""
        return self.out / self.config.dataset.replace("/", "-") / self.config.system

    @property
    def finished(self) -> bool:
        """Whether it was run already."""
        return RunFolder.finished(self.folder)

    def check(self) -> None:
        """Refuses a folder that holds another run than this one.

        Raises:
            InputError: It does, or its configuration cannot be read.
        """
        path = self.folder / "config.yaml"
        if not path.exists():
            return
        there, wanted = read_config(path).as_dict(), self.config.as_dict()
        names = [name for name in wanted if there.get(name) != wanted[name]]
        if names:
            raise InputError(
                f"{self.folder} holds a run with other {', '.join(names)}: name another folder with --out, or remove it"
            )


def find_suite(name: str) -> Suite:
    """The suite of a name.

    Raises:
        InputError: Unknown.
    """
    if name not in SUITES:
        raise unknown_name("suite", name, SUITES)
    return SUITES[name]


def plan(
    suite: Suite,
    out: Path,
    *,
    systems: Sequence[str] | None = None,
    datasets: Sequence[str] | None = None,
    root: Path | None = None,
    seeds: int | None = None,
    epochs: int | None = None,
    device: str | None = None,
    settings: Iterable[str] = (),
    say: Callable[[str], None] = lambda line: None,
) -> list[Cell]:
    """The cells of a benchmark, data set by data set; each data set is loaded once and dropped again.

    A setting goes to the systems that have it, and is refused where none has.

    Args:
        suite: Which benchmark.
        out: Its folder.
        systems: Names; every trained system of the task when ``None``.
        datasets: Names; those that a recipe of one of the systems is for when ``None``.
        root: The data root.
        seeds: Of each cell; the recipe's number, or 3, when ``None``.
        epochs: Instead of the recipes'.
        device: Where to train.
        settings: ``key=value``, as `resolve` takes them.
        say: Told which settings are left out of which systems.

    Raises:
        InputError: An unknown name or setting, a value out of range, or a folder that holds other runs.
    """
    entries = _entries(suite, systems)
    names = _datasets(entries) if datasets is None else list(dict.fromkeys(datasets))
    given = list(settings)
    own = {entry.name: [setting for setting in given if takes(entry, setting)] for entry in entries}
    for setting in given:
        without = [entry.name for entry in entries if setting not in own[entry.name]]
        if len(without) == len(entries):
            own[entries[0].name].append(setting)  # resolving it says what is wrong with it
        elif without:
            say(f"--set {setting} is left out of {', '.join(without)}, which have no such setting")
    cells = []
    for name in names:
        full = data_name(load_data(suite.task, name, root))
        for entry in entries:
            config = resolve(
                entry.name,
                full,
                seeds=seeds,
                settings=own[entry.name],
                baselines="full" if suite.task == "clustering" else None,  # made once for all systems on a data set
                training={"epochs": epochs, "device": device},
            )
            cells.append(Cell(config, out))
    for cell in cells:
        cell.check()
    return cells


def _entries(suite: Suite, systems: Sequence[str] | None) -> list[SystemEntry]:
    known = {name: entry for name, entry in {**SYSTEMS, **ANCHORS}.items() if entry.task == suite.task}
    if systems is None:
        return [entry for name, entry in known.items() if name not in ANCHORS]
    for name in systems:
        if name not in known:
            raise unknown_name(f"{suite.task} system", name, known)
    return [known[name] for name in dict.fromkeys(systems)]


def _datasets(entries: Sequence[SystemEntry]) -> list[str]:
    names = sorted({dataset for system, dataset in recipe_names() if any(system == entry.name for entry in entries)})
    if not names:
        raise InputError("no recipe says which data sets these systems are for: name some with --datasets a,b")
    return names
