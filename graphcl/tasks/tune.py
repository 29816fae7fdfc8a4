"""Tries settings of a system on a data set, one trial after the other, and keeps what was best on validation."""

from __future__ import annotations

import math
import shlex
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
import yaml

from graphcl.errors import InputError
from graphcl.tasks.run_config import WISHES, RunConfig, find_entry, resolve
from graphcl.tasks.task_data import TaskData, data_name
from graphcl.tasks.tune_objective import Objective, make_objective
from graphcl.tasks.tune_space import Dimension, Value, search_space
from graphcl.tasks.tune_study import Trial, TrialStore, propose
from graphcl.training import NonFiniteLossError, TrainingConfig

BEST = "best.yaml"


@dataclass(frozen=True)
class Wishes:
    """What was asked for on the command line, besides system and data set.

    Args:
        settings: ``key=value``, the same in every trial.
        space: ``key=low:high[:log]`` or ``key=a,b,c``, over the default space.
        epochs: Of every trial; the recipe's when ``None``.
        n_clusters: Of a clustering system.
        protocol: Of a node or recommendation system.
        device: Where to train.
        batch_nodes: Nodes of a step on a graph.
        seeds: Trainings of a trial, whose mean is its value.
        seed: Of what is tried.
    """

    settings: tuple[str, ...] = ()
    space: tuple[str, ...] = ()
    epochs: int | None = None
    n_clusters: int | None = None
    protocol: str | None = None
    device: str | None = None
    batch_nodes: int | None = None
    seeds: int = 1
    seed: int = 0


@dataclass(frozen=True)
class Tuning:
    """What decides every trial.

    Args:
        system: Name of the system.
        dataset: Full name of the data set.
        sha256: Of the data.
        wishes: What was asked for.
        base: The run without any trial's settings.
        space: What is varied.
    """

    system: str
    dataset: str
    sha256: str
    wishes: Wishes
    base: RunConfig = field(compare=False)
    space: tuple[Dimension, ...]

    @classmethod
    def of(cls, system: str, data: TaskData, wishes: Wishes) -> Tuning:
        """The tuning that a system, loaded data and some wishes amount to.

        Raises:
            InputError: An unknown key, or a value that no run takes.
        """
        if not 0 <= wishes.seed < 2**32:
            raise InputError(f"a seed lies in 0 .. 4294967295; got {wishes.seed}")
        name = data_name(data)
        base = _resolved(system, name, wishes)
        space = search_space(base, wishes.space, wishes.settings)
        for dimension in space:
            if dimension.key == "training.epochs" and wishes.epochs is not None:
                raise InputError("--space training.epochs: --epochs fixes it; give one of them")
            for end in dimension.ends():  # what no trial could use is refused before the first
                _resolved(system, name, wishes, {dimension.key: end})
        return cls(system, name, data.provenance.sha256, wishes, base, space)

    def config(self, params: Mapping[str, Value]) -> RunConfig:
        """The run of a trial."""
        return _resolved(self.system, self.dataset, self.wishes, params)

    def usual(self) -> dict[str, Value] | None:
        """The run's own values as a trial; ``None`` where one of them lies outside the space."""
        values = {"model": self.base.model, "training": asdict(self.base.training)}
        found = {one.key: one.near(values[one.key.partition(".")[0]][one.key.partition(".")[2]]) for one in self.space}
        params = {key: value for key, value in found.items() if value is not None}
        return params if len(params) == len(found) else None

    def plan(self) -> dict[str, Any]:
        """Plain containers of all of it."""
        return {
            "system": self.system,
            "dataset": self.dataset,
            "data": self.sha256,
            "seed": self.wishes.seed,
            "space": [str(one) for one in self.space],
            "configuration": self.base.as_dict(),
            "wishes": {name: list(v) if isinstance(v, tuple) else v for name, v in asdict(self.wishes).items()},
        }

    def command(self, params: Mapping[str, Value] | None = None) -> str:
        """The ``graphcl run`` with these settings and the recipe's number of seeds."""
        wishes = self.wishes
        given = {"--epochs": wishes.epochs, "--k": wishes.n_clusters, "--protocol": wishes.protocol, "--device": wishes.device}
        given["--batch-nodes"] = wishes.batch_nodes
        words = ["graphcl", "run", self.system, self.dataset]
        for setting in (*wishes.settings, *_settings(params or {})):
            words += ["--set", setting]
        return shlex.join([*words, *(str(w) for name, v in given.items() if v is not None for w in (name, v))])


class Listener(Protocol):
    """Something that watches the trials."""

    def on_start(self, done: Sequence[Trial]) -> None:
        """Called once, with the trials of earlier sittings."""
        ...

    def on_trial(self, trial: Trial) -> None:
        """Told of every trial that is over."""
        ...


def check_store(store: TrialStore, tuning: Tuning) -> None:
    """Refuses to mix two tunings.

    Raises:
        InputError: The store holds another one.
    """
    if not store.exists:
        return
    there, wanted = store.plan(), tuning.plan()
    for name in ("system", "dataset", "data", "space", "seed", "configuration"):
        if there.get(name) != wanted[name]:
            raise InputError(
                f"{store.folder} holds a tuning with another {name}, {_difference(there.get(name), wanted[name])}: go on with "
                f"graphcl tune --resume {store.folder}, or name another folder with --out"
            )


def stored_wishes(store: TrialStore) -> tuple[str, str, Wishes]:
    """System, data set and wishes of the tuning in a store.

    Raises:
        InputError: None there, or one of another version.
    """
    plan = store.plan()
    kept: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in plan["wishes"].items()}
    if set(kept) != {f.name for f in fields(Wishes)}:
        raise InputError(f"{store.path} was written by another version: start anew, in another folder")
    return plan["system"], plan["dataset"], Wishes(**kept)


def run_tuning(
    tuning: Tuning, data: TaskData, store: TrialStore, trials: int, listener: Listener, objective: Objective | None = None
) -> list[Trial]:
    """Runs what is missing of a number of trials, and gives all there are.

    The first is the run as it is without tuning, where the space has it, so that nothing is called best that is worse than it
    on validation. A trial that diverges, or does not fit into memory, is kept as failed. Every trial is written when it is
    over, and the store is made with the first: one that was killed is begun again.

    Args:
        tuning: What decides every trial.
        data: The graph, or the split.
        store: Where they are kept: empty, or that of this tuning.
        trials: How many there are to be, with those of earlier sittings.
        listener: Told of them.
        objective: What is to become large; that of the system's task when ``None``.

    Raises:
        InputError: Data or settings that the first trial cannot use.
    """
    if trials < 1:
        raise InputError(f"trials must be >= 1; got {trials}")
    objective = make_objective(tuning.base, data) if objective is None else objective
    check_store(store, tuning)
    done = store.trials() if store.exists else []
    if done:
        store.budget = max(trials, len(done))
    listener.on_start(done)
    while len(done) < trials:
        params = tuning.usual() if not done else None
        trial = _tried(
            tuning, objective, len(done), propose(tuning.space, done, tuning.wishes.seed) if params is None else params
        )
        if not store.exists:
            store.create(tuning.plan(), trials)
        store.add(trial, tuning.space)
        done.append(trial)
        listener.on_trial(trial)
    return done


def best_trial(trials: Sequence[Trial]) -> Trial | None:
    """The one of largest value, the first of several; ``None`` where all failed."""
    return max(
        (trial for trial in trials if trial.value is not None), key=lambda trial: (trial.value, -trial.number), default=None
    )


def best_recipe(tuning: Tuning, trial: Trial, metric: str, count: int) -> str:
    """A recipe with the settings of a trial, as text: what a run is resolved from, and a comment that says where it is from."""
    config = tuning.config(trial.params)
    usual, loop = asdict(TrainingConfig()), asdict(config.training)
    own = {name: getattr(config, name) for name in WISHES[find_entry(config.system).task]}
    training = {name: value for name, value in loop.items() if name in ("epochs", "lr") or value != usual[name]}
    training.pop("device", None)  # another machine may have another
    content = {
        "system": config.system,
        "dataset": config.dataset,
        "model": dict(config.model),
        "training": training,
        "protocol": {
            "seeds": len(resolve(tuning.system, tuning.dataset).seeds),  # of a run, not of a trial
            **{name: value for name, value in own.items() if value is not None},
        },
    }
    over = f"{len(trial.values)} seeds" if len(trial.values) > 1 else "one seed"
    told = (
        f"# Found by graphcl tune: trial {trial.number} of {count}, {metric} {trial.value:.4f} of {over}. No test label was\n"
        "# read, and the figure is no result: it is the largest of many. The same run on the command line:\n"
        f"# {tuning.command(trial.params)}\n"
    )
    return told + yaml.safe_dump(content, sort_keys=False, allow_unicode=True)


def _resolved(system: str, dataset: str, wishes: Wishes, params: Mapping[str, Value] | None = None) -> RunConfig:
    loop = {"epochs": wishes.epochs, "device": wishes.device, "batch_nodes": wishes.batch_nodes}
    settings = [*wishes.settings, *_settings(params or {})]
    return resolve(
        system, dataset, n_clusters=wishes.n_clusters, protocol=wishes.protocol, seeds=wishes.seeds, settings=settings,
        training=loop,
    )  # fmt: skip


def _settings(params: Mapping[str, Value]) -> list[str]:
    return [f"{key}={value}" for key, value in params.items()]


def _tried(tuning: Tuning, objective: Objective, number: int, params: Mapping[str, Value]) -> Trial:
    began, values = time.perf_counter(), []
    failure: str | None = None
    try:
        config = tuning.config(params)
        for seed in config.seeds:
            values.append(objective.value(config, seed))
            if not math.isfinite(values[-1]):
                raise NonFiniteLossError(f"{objective.metric} is {values.pop()} with seed {seed}")
    except (InputError, NonFiniteLossError, MemoryError, torch.OutOfMemoryError) as error:
        if isinstance(error, InputError) and number == 0:  # what the first cannot use, the others cannot either
            raise
        failure = " ".join(str(error).split()) or type(error).__name__
    mean = None if failure is not None else float(np.mean(values))
    return Trial(number, dict(params), mean, tuple(values), time.perf_counter() - began, failure)


def _difference(there: Any, wanted: Any) -> str:
    """What is not the same, short enough for a line."""
    if isinstance(there, Mapping) and isinstance(wanted, Mapping):
        for name in wanted:
            if there.get(name) != wanted[name]:
                return f"{name}: {_difference(there.get(name), wanted[name])}"
    if isinstance(there, list) and isinstance(wanted, list):
        gone, new = ([text for text in a if text not in b] for a, b in ((there, wanted), (wanted, there)))
        return f"{', '.join(map(str, gone)) or 'nothing'} instead of {', '.join(map(str, new)) or 'nothing'}"
    return f"{str(there)[:60]} instead of {str(wanted)[:60]}"


def folder_of(system: str, dataset: str) -> Path:
    """Where a tuning is kept if nothing else is said."""
    return Path("runs") / f"tune-{system}-{dataset.replace('/', '-')}"
