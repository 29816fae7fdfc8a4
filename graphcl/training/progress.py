"""How far a run is: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

OFTEN = 0.25  # seconds between two moves of the bar within an epoch


class EpochProgress:
    """An observer that shows pace, time to go and the loss. Writes to standard error, so that results can be piped.

    The bar moves within an epoch too where that takes several steps, and says at which of them it is.

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
            # Time to go is by the last thousand moves, not by those of half a minute: an epoch may take longer than that.
            self._bar = Progress(
                TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[pace]}"),
                TimeRemainingColumn(), TextColumn("{task.fields[loss]}"), TextColumn("{task.fields[step]}"),
                console=self.console, speed_estimate_period=math.inf,
            )  # fmt: skip
            self._task = self._bar.add_task(label, total=epochs, pace="", loss="", step="")
        self._began = self._said = self._moved = time.monotonic()
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
        """Shows the bar; the clock starts, and epochs of an earlier sitting do not count for the pace."""
        self._before = len(history)
        if self._bar is not None:
            self._bar.update(self._task, completed=self._before)
            self._bar.start()
        self._began = self._said = self._moved = time.monotonic()

    def on_call_end(self, epoch: int, calls: int, expected: int) -> None:
        """Moves the bar if it stood still for long enough; plain lines are for whole epochs."""
        if self._bar is None or expected == 1:
            return
        now = time.monotonic()
        if now - self._moved < OFTEN:
            return
        done, step = float(epoch), f"step {calls}"
        if expected:
            done, step = epoch + min(calls / expected, 1.0), f"step {calls}/{expected}"
        self._moved = now
        self._bar.update(self._task, completed=done, pace=self._pace(done, now), step=step)

    def on_epoch_end(self, epoch: int, terms: dict[str, float]) -> None:
        """Moves the bar, or writes a line if the last one is old enough."""
        done, now = epoch + 1, time.monotonic()
        loss = f"loss {terms['loss']:.4f}"
        if self._bar is not None:
            self._moved = now
            self._bar.update(self._task, completed=done, pace=self._pace(done, now), loss=loss, step="")
            return
        left = (self.epochs - done) * (now - self._began) / (done - self._before)
        self._unsaid = f"{self.label}: epoch {done}/{self.epochs}, {self._pace(done, now)}, {left:.0f} s to go, {loss}"
        if done == self.epochs or now - self._said >= self.every:
            self._said = now
            self._say(self._unsaid)

    def _pace(self, done: float, now: float) -> str:
        """Epochs a second, or seconds an epoch where they are slow; nothing as long as no part of one is known to be done."""
        if done == self._before:
            return ""
        each = max(now - self._began, 1e-9) / (done - self._before)
        if each <= 1:
            return f"{1 / each:.1f} epochs/s"
        return f"{each:.1f} s/epoch" if each < 9.95 else f"{each:.0f} s/epoch"

    def _say(self, line: str) -> None:
        self.console.print(line, highlight=False, soft_wrap=True)
        self._unsaid = ""
