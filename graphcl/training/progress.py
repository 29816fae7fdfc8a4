"""How far a run is: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


class EpochProgress:
    """An observer that shows rate, time to go and the loss. Writes to standard error, so that results can be piped.

    Args:
        epochs: Total.
        label: What is being trained, ``"seed 0"``.
        console: Where to; standard error when ``None``.
        every: Seconds between plain lines.
    """

    def __init__(self, epochs: int, label: str, *, console: Console | None = None, every: float = 5.0) -> None:
        self.epochs, self.label, self.every = epochs, label, every
        self.console = console if console is not None else Console(stderr=True)
        self._bar: Progress | None = None
        if self.console.is_terminal:
            self._bar = Progress(
                TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"),
                TimeRemainingColumn(), TextColumn("{task.fields[loss]}"), console=self.console,
            )  # fmt: skip
            self._task = self._bar.add_task(label, total=epochs, rate="", loss="")
        self._began = self._said = time.monotonic()
        self._unsaid = ""
        self._before = 0

    def __enter__(self) -> EpochProgress:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._bar is not None:
            self._bar.stop()
        elif error is None and self._unsaid:  # stopped early: the last line that was written is old
            self._say(self._unsaid)

    def on_fit_start(self, history: Sequence[Mapping[str, float]]) -> None:
        """Shows the bar; the clock starts, and epochs of an earlier sitting do not count for the rate."""
        self._before = len(history)
        if self._bar is not None:
            self._bar.update(self._task, completed=self._before)
            self._bar.start()
        self._began = self._said = time.monotonic()

    def on_epoch_end(self, epoch: int, terms: dict[str, float]) -> None:
        """Moves the bar, or writes a line if the last one is old enough."""
        done, now = epoch + 1, time.monotonic()
        rate = (done - self._before) / max(now - self._began, 1e-9)
        loss = f"loss {terms['loss']:.4f}"
        if self._bar is not None:
            self._bar.update(self._task, completed=done, rate=f"{rate:.1f} epochs/s", loss=loss)
            return
        left = (self.epochs - done) / rate
        self._unsaid = f"{self.label}: epoch {done}/{self.epochs}, {rate:.1f} epochs/s, {left:.0f} s to go, {loss}"
        if done == self.epochs or now - self._said >= self.every:
            self._said = now
            self._say(self._unsaid)

    def _say(self, line: str) -> None:
        self.console.print(line, highlight=False, soft_wrap=True)
        self._unsaid = ""
