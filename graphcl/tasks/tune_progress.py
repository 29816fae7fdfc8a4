"""How far a tuning is: a bar on a terminal, a line for every trial elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from graphcl.tasks.tune_study import Trial


class TrialProgress:
    """Shows trials and the best value so far. Writes to standard error, so that results can be piped.

    Args:
        trials: Total.
        metric: What the value is.
        console: Where to; standard error when ``None``.
    """

    def __init__(self, trials: int, metric: str, *, console: Console | None = None) -> None:
        self.trials, self.metric = trials, metric
        self.console = console if console is not None else Console(stderr=True)
        self._bar: Progress | None = None
        if self.console.is_terminal:
            self._bar = Progress(
                TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[best]}"),
                TimeRemainingColumn(), console=self.console,
            )  # fmt: skip
            self._task = self._bar.add_task("trials", total=trials, best="")
        self._best: Trial | None = None

    def __enter__(self) -> TrialProgress:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._bar is not None:
            self._bar.stop()

    def on_start(self, done: Sequence[Trial]) -> None:
        """Shows what earlier sittings left."""
        for trial in done:
            self._note(trial)
        if self._bar is not None:
            self._bar.update(self._task, completed=len(done), best=self._told())
            self._bar.start()
        elif done:
            self._say(f"going on after {len(done)} trials; {self._told() or 'all of them failed'}")

    def on_trial(self, trial: Trial) -> None:
        """Moves the bar, or writes a line; a failure is written in either case."""
        self._note(trial)
        params = ", ".join(f"{key.partition('.')[2]} {value}" for key, value in trial.params.items())
        number = f"trial {trial.number} ({trial.number + 1}/{self.trials})"
        if trial.failure is not None:
            self._say(f"{number} failed: {trial.failure}; {params}")
        elif self._bar is None:
            self._say(f"{number}: {self.metric} {trial.value:.4f}, {trial.seconds:.1f} s; {self._told()}; {params}")
        if self._bar is not None:
            self._bar.update(self._task, completed=trial.number + 1, best=self._told())

    def _note(self, trial: Trial) -> None:
        if trial.value is not None and (self._best is None or self._best.value is None or trial.value > self._best.value):
            self._best = trial

    def _told(self) -> str:
        return "" if self._best is None else f"best {self._best.value:.4f} (trial {self._best.number})"

    def _say(self, line: str) -> None:
        self.console.print(line, highlight=False, soft_wrap=True, markup=False)
