"""How long and how fast a system is trained."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from graphcl.errors import InputError


@dataclass(frozen=True)
class TrainingConfig:
    """Settings of the loop, the same for every system.

    Args:
        epochs: Number of passes, ``>= 1``.
        lr: Adam's learning rate, ``> 0``.
        weight_decay: Adam's L2 penalty, ``>= 0``.
        device: ``"auto"`` (CUDA where there is one), ``"cpu"`` or a torch device.
        deterministic: Whether the same seed must give the same bits.

    Raises:
        InputError: A value out of range, or a device that is not there.
    """

    epochs: int = 150
    lr: float = 1e-3
    weight_decay: float = 0.0
    device: str = "auto"
    deterministic: bool = True

    def __post_init__(self) -> None:
        if self.epochs < 1:
            raise InputError(f"epochs must be >= 1; got {self.epochs}")
        if not (math.isfinite(self.lr) and self.lr > 0):
            raise InputError(f"lr must be > 0; got {self.lr}")
        if not (math.isfinite(self.weight_decay) and self.weight_decay >= 0):
            raise InputError(f"weight_decay must be >= 0; got {self.weight_decay}")

    def torch_device(self) -> torch.device:
        """The device that ``device`` names on this machine."""
        if self.device == "auto":
            return torch.device("cuda" if torch.cuda.is_available() else "cpu")
        try:
            device = torch.device(self.device)
            torch.zeros(1, device=device).item()  # a device may exist and still hold no data, as 'meta' does
        except (RuntimeError, AssertionError) as error:
            reason = str(error).splitlines()[0].split(". ")[0]
            raise InputError(f"device '{self.device}' cannot be used here ({reason}); try --device cpu") from None
        return device
