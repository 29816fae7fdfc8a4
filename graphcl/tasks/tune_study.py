"""The trials of a tuning on disk, and what to try next: optuna's storage and its sampler, an extra."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from graphcl.errors import InputError
from graphcl.tasks.tune_space import Choice, Dimension, Value
from graphcl.training.run_folder import UNFINISHED, replacing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from optuna.distributions import BaseDistribution
    from optuna.storages import RDBStorage
    from optuna.study import Study
    from optuna.trial import FrozenTrial

DATABASE = "study.db"
NAME = "graphcl"
PLAN, BUDGET = "plan", "trials"
DRAWN = 5  # trials at random before the sampler trusts what it has seen


@dataclass(frozen=True)
class Trial:
    """A trial that is over.

    Args:
        number: Counted from 0.
        params: Values of the space, by key.
        value: Mean over the seeds; ``None`` if it failed.
        values: Of each seed.
        seconds: It took.
        failure: Why it failed, in a line.
    """

    number: int
    params: Mapping[str, Value]
    value: float | None
    values: tuple[float, ...] = ()
    seconds: float = 0.0
    failure: str | None = None


def require_optuna() -> None:
    """Refuses to go on without the extra.

    Raises:
        InputError: optuna is not installed.
    """
    if find_spec("optuna") is None:
        raise InputError("graphcl tune needs an extra: pip install 'graphcl[tune]'")


class TrialStore:
    """An SQLite file in optuna's own format, with finished trials alone: whatever is killed leaves no half of one.

    Args:
        folder: Where ``study.db`` is, or is to be made.

    Raises:
        InputError: The extra is missing; or there is a file that is none of ours, or damaged.
    """

    def __init__(self, folder: Path) -> None:
        require_optuna()
        self.folder, self.path = folder, folder / DATABASE

    @property
    def exists(self) -> bool:
        """Whether there is a tuning."""
        return self.path.exists()

    def create(self, plan: Mapping[str, Any], budget: int) -> None:
        """Makes the file.

        Args:
            plan: What decides every trial.
            budget: How many there are to be.

        Raises:
            InputError: The folder cannot be written to.
        """
        import optuna

        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            for leftover in self.folder.glob(f"{UNFINISHED}*"):
                leftover.unlink()
            with replacing(self.path) as temporary, _storage(temporary, fresh=True) as storage:
                study = optuna.create_study(storage=storage, study_name=NAME, direction="maximize")
                study.set_user_attr(PLAN, dict(plan))
                study.set_user_attr(BUDGET, budget)
        except OSError as error:
            raise InputError(f"cannot write to {self.folder} ({error.strerror}); name another folder with --out") from error

    def plan(self) -> dict[str, Any]:
        """What ``create`` was given."""
        with self._study() as study:
            return dict(study.user_attrs[PLAN])

    @property
    def budget(self) -> int:
        """Trials there are to be."""
        with self._study() as study:
            return int(study.user_attrs[BUDGET])

    @budget.setter
    def budget(self, trials: int) -> None:
        with self._study() as study:
            study.set_user_attr(BUDGET, trials)

    def trials(self) -> list[Trial]:
        """All of them, in the order of their numbers."""
        with self._study() as study:
            return [_read(trial) for trial in study.get_trials(deepcopy=False)]

    def add(self, trial: Trial, space: Sequence[Dimension]) -> None:
        """Keeps a trial, the next one in number."""
        with self._study() as study:
            study.add_trial(_frozen(trial, space))

    @contextmanager
    def _study(self) -> Iterator[Study]:
        import optuna
        from optuna.exceptions import OptunaError
        from sqlalchemy.exc import SQLAlchemyError

        try:
            with _storage(self.path) as storage:
                study = optuna.load_study(storage=storage, study_name=NAME)
                if PLAN not in study.user_attrs:
                    raise KeyError(PLAN)
                yield study
        except (OptunaError, SQLAlchemyError, KeyError, RuntimeError) as error:
            said = " ".join(str(error).split())[:80]
            raise InputError(
                f"{self.path} is damaged, or no tuning of graphcl's ({said}): name another folder with --out, or remove it"
            ) from error


def propose(space: Sequence[Dimension], before: Sequence[Trial], seed: int) -> dict[str, Value]:
    """What to try next: at random at first, then by a tree-structured Parzen estimator.

    The proposal follows from the seed and from the trials before it, and from nothing else: a tuning that was killed goes on
    to the same trials. Bergstra et al., 2011, https://papers.nips.cc/paper/4443, as optuna has it, with a generator of its
    own for each trial, and a density for each setting. Numbers have four digits that count.

    Args:
        space: What is varied.
        before: All trials so far, failed ones among them.
        seed: Of the whole tuning.
    """
    import optuna

    drawn = int(np.random.SeedSequence([seed, len(before)]).generate_state(1)[0])
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler = optuna.samplers.TPESampler(seed=drawn, n_startup_trials=DRAWN, multivariate=False)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    study.add_trials([_frozen(trial, space) for trial in before])
    params = study.ask(_distributions(space)).params
    found = {dimension.key: dimension.near(params[dimension.key]) for dimension in space}
    return {key: value for key, value in found.items() if value is not None}


@contextmanager
def _storage(path: Path, *, fresh: bool = False) -> Iterator[RDBStorage]:
    import optuna
    from sqlalchemy import URL

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    url = URL.create("sqlite", database=str(path)).render_as_string(hide_password=False)
    storage = optuna.storages.RDBStorage(url, skip_table_creation=not fresh)
    try:
        yield storage
    finally:
        storage.remove_session()
        storage.engine.dispose()


def _distributions(space: Sequence[Dimension]) -> dict[str, BaseDistribution]:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    found: dict[str, BaseDistribution] = {}
    for one in space:
        if isinstance(one, Choice):
            found[one.key] = CategoricalDistribution(one.values)
        elif one.whole:
            found[one.key] = IntDistribution(int(one.low), int(one.high), log=one.log)
        else:
            found[one.key] = FloatDistribution(one.low, one.high, log=one.log)
    return found


def _frozen(trial: Trial, space: Sequence[Dimension]) -> FrozenTrial:
    from optuna.trial import TrialState, create_trial

    return create_trial(
        state=TrialState.COMPLETE if trial.failure is None else TrialState.FAIL,
        value=trial.value,
        params=dict(trial.params),
        distributions=_distributions(space),
        user_attrs={"values": list(trial.values), "seconds": trial.seconds, "failure": trial.failure},
    )


def _read(trial: FrozenTrial) -> Trial:
    about = trial.user_attrs
    value = None if about["failure"] is not None else trial.value
    return Trial(trial.number, dict(trial.params), value, tuple(about["values"]), about["seconds"], about["failure"])
