"""The terms of every epoch for TensorBoard, an extra."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from graphcl.errors import InputError

if TYPE_CHECKING:
    from torch.utils.tensorboard.writer import SummaryWriter


class TensorBoardLog:
    """An observer that writes each term as a scalar. Nothing is made before the first epoch is over.

    When a run goes on after it was killed, TensorBoard is told to forget the epochs after its last checkpoint.

    Args:
        path: The folder of this training run; ``tensorboard --logdir`` takes the one above it.

    Raises:
        InputError: TensorBoard is not installed.
    """

    def __init__(self, path: Path) -> None:
        if find_spec("tensorboard") is None:
            raise InputError("training.tensorboard needs an extra: pip install 'graphcl[tensorboard]'")
        self.path = path
        self._before = 0
        self._writer: SummaryWriter | None = None

    def __enter__(self) -> TensorBoardLog:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._writer is not None:
            self._writer.close()

    def on_fit_start(self, history: Sequence[Mapping[str, float]]) -> None:
        """Notes which epochs an earlier sitting left."""
        self._before = len(history)

    def on_epoch_end(self, epoch: int, terms: dict[str, float]) -> None:
        """Writes the terms."""
        if self._writer is None:
            from torch.utils.tensorboard.writer import SummaryWriter

            self._writer = SummaryWriter(str(self.path), purge_step=self._before or None)
        for name, value in terms.items():
            self._writer.add_scalar(name, value, epoch)
