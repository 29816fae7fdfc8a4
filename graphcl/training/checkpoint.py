"""Where a training run stands, kept on disk, so that it can be killed at any moment and goes on to the same bits."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch

from graphcl.errors import InputError
from graphcl.kernels.ranks import Ranks
from graphcl.training.random_state import random_state, set_random_state
from graphcl.training.run_folder import CHECKPOINTS, RunFolder
from graphcl.training.system import System
from graphcl.training.tensor_file import UnreadableFileError, read_tensor_file, write_tensor_file
from graphcl.training.train_state import TrainState
from graphcl.training.weights import put_state

KEPT = 2  # should the newest be damaged, there is one before it


@runtime_checkable
class Stateful(Protocol):
    """An observer whose memory decides what comes out, a selection for example: it is kept with the weights."""

    def state_dict(self) -> Mapping[str, Any]:
        """Everything it remembers: tensors, arrays and plain values, as deep as need be."""
        ...

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> object:
        """Takes back what ``state_dict`` gave."""
        ...


class Checkpoint:
    """Keeps the state of one training run in the run folder: every so many seconds, and at its end.

    A checkpoint holds the system's ``state_dict``, the optimiser, the history, the memory of `Stateful` observers and every
    global random generator; it is written beside its place, flushed to disk and moved. The last two are kept, and one state
    of the end takes their place, without the optimiser where an observer asked for the end: otherwise more epochs can follow.
    When they are written has no influence on what is computed.

    A system keeps what its steps depend on in parameters and persistent buffers; a `torch.Generator` of its own, or an
    optimiser, goes through ``get_extra_state`` and ``set_extra_state``.

    Args:
        folder: The run's folder; checkpoints are looked for only in one that was reopened.
        name: Of this training run within the folder, ``"seed-0"``.
        seconds: Between two checkpoints; 0 writes one after every epoch.
        identity: What must be the same when the run goes on, name to value: a checkpoint that differs is refused.
        say: Told when a run is continued, and when a damaged checkpoint is passed over.
        ranks: That train together: all read, and the first one writes. One process when ``None``.

    Attributes:
        began_at: Seconds of training that earlier sittings left; 0 for a run from scratch.
    """

    def __init__(
        self,
        folder: RunFolder,
        name: str,
        *,
        seconds: float,
        identity: Mapping[str, str],
        say: Callable[[str], None] = lambda line: None,
        ranks: Ranks | None = None,
    ) -> None:
        self.folder, self.name, self.seconds, self.identity, self.say = folder, name, seconds, dict(identity), say
        self.ranks, self.writes = ranks, ranks is None or ranks.first
        self.began_at = 0.0
        self._written = time.monotonic()

    def restore(self, system: System, state: TrainState, observers: Sequence[object], *, epochs: int) -> None:
        """Puts the newest readable checkpoint into system, state, observers and generators; nothing where there is none.

        Args:
            system: To be trained for ``epochs`` in all.
            state: Of its training.
            observers: In the order they had.
            epochs: See ``system``.

        Raises:
            InputError: A checkpoint of a later format, of another configuration, data or device, or of another system.
        """
        self._written = time.monotonic()
        if not self.folder.reopened:
            return
        for path in [self._end, *reversed(self._steps())]:
            try:
                content, about = read_tensor_file(path)
            except UnreadableFileError as error:
                if path.exists():
                    self.say(f"{error}; going back to the checkpoint before it")
                continue
            self._check(path, about)
            put_state(system, content["system"], path)
            state.load_state_dict(content["train"])
            for observer, memory in zip(_stateful(observers), content["observers"], strict=True):
                observer.load_state_dict(memory)
            set_random_state(content["random"])
            if self.ranks is not None and content["random"]["cuda"]:  # each has a device of its own, the writer had the first
                torch.cuda.set_rng_state(content["random"]["cuda"][0])
            self.began_at = state.seconds
            over = state.ended and (state.stopped or state.epoch >= epochs)
            self.say(f"{self.name}: {'finished already' if over else 'continued'} after {state.epoch} epochs")
            return

    def after_epoch(self, system: System, state: TrainState, observers: Sequence[object]) -> None:
        """Writes a checkpoint if the last one is old enough."""
        if not self.writes or time.monotonic() - self._written < self.seconds:
            return
        self._write(f"{self.name}.{state.epoch:08d}.safetensors", system, state.state_dict(), observers)
        for path in self._steps()[:-KEPT]:
            path.unlink(missing_ok=True)
        self._written = time.monotonic()

    def after_end(self, system: System, state: TrainState, observers: Sequence[object]) -> None:
        """Writes the end of the run and removes what led there."""
        if not self.writes:
            return
        self._write(self._end.name, system, state.state_dict(optimizer=not state.stopped), observers)
        for path in self._steps():
            path.unlink(missing_ok=True)

    def _write(self, name: str, system: System, train: Mapping[str, Any], observers: Sequence[object]) -> None:
        content = {
            "system": system.state_dict(),
            "train": train,
            "observers": [observer.state_dict() for observer in _stateful(observers)],
            "random": random_state(),
        }
        with self.folder.replacing(f"{CHECKPOINTS}/{name}") as path:
            write_tensor_file(path, content, {"kind": "checkpoint", "identity": self.identity})

    def _check(self, path: Path, about: Mapping[str, Any]) -> None:
        before = about.get("identity", {})
        for what, value in self.identity.items():
            if before.get(what) != value:
                raise InputError(
                    f"{path} is of another {what}: it says {_short(before.get(what))}, and this run {_short(value)}; "
                    "continue with what the run was started with, or start anew with --out"
                )

    @property
    def _end(self) -> Path:
        return self.folder.path / CHECKPOINTS / f"{self.name}.end.safetensors"

    def _steps(self) -> list[Path]:
        return sorted((self.folder.path / CHECKPOINTS).glob(f"{self.name}.{'[0-9]' * 8}.safetensors"))


def _stateful(observers: Sequence[object]) -> list[Stateful]:
    return [observer for observer in observers if isinstance(observer, Stateful)]


def _short(value: object) -> str:
    return str(value)[:12]
