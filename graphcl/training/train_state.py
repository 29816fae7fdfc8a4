"""Where the loop stands between two epochs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch


@dataclass
class TrainState:
    """What the loop has to remember besides the system, so that it can go on from there.

    Args:
        optimizer: Adam and its moments.
        scaler: Of the loss, in fp16 alone.
        epoch: Number of epochs done.
        seconds: Training time so far.
        stopped: Whether an observer asked for the end.
        ended: Whether the system's last hook was called.
        history: The terms of every epoch.
    """

    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler | None = None
    epoch: int = 0
    seconds: float = 0.0
    stopped: bool = False
    ended: bool = False
    history: list[dict[str, float]] = field(default_factory=list)

    def state_dict(self, *, optimizer: bool = True) -> dict[str, Any]:
        """Everything as tensors and plain values; without optimiser and scaler where no epoch can follow."""
        return {
            "optimizer": self.optimizer.state_dict() if optimizer else None,
            "scaler": self.scaler.state_dict() if optimizer and self.scaler is not None else None,
            "epoch": self.epoch,
            "seconds": self.seconds,
            "stopped": self.stopped,
            "ended": self.ended,
            "history": self.history,
        }

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Takes back what ``state_dict`` gave."""
        if state_dict["optimizer"] is not None:
            self.optimizer.load_state_dict(state_dict["optimizer"])
        if state_dict["scaler"] is not None and self.scaler is not None:
            self.scaler.load_state_dict(state_dict["scaler"])
        self.epoch, self.seconds = state_dict["epoch"], state_dict["seconds"]
        self.stopped, self.ended = state_dict["stopped"], state_dict["ended"]
        self.history = [dict(row) for row in state_dict["history"]]
