"""How long and how fast a system is trained."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

import torch

from graphcl.errors import InputError
from graphcl.training.schedule import Schedule

Precision = Literal["fp32", "bf16", "fp16"]
Optimizer = Literal["adam", "adamw"]


@dataclass(frozen=True)
class TrainingConfig:
    """Settings of the loop, the same for every system.

    Args:
        epochs: Number of passes, ``>= 1``.
        lr: Adam's learning rate, ``> 0``; where it is scheduled, the largest.
        weight_decay: Adam's L2 penalty, or AdamW's decay of the weights themselves, ``>= 0``.
        device: ``"auto"`` (CUDA where there is one), ``"cpu"`` or a torch device.
        deterministic: Whether the same seed must give the same bits.
        clip_norm: Longest gradient (of all parameters together, Euclidean) that a step takes as it is, ``> 0``; longer ones
            are shortened to it. None are when ``None``.
        accumulate: Calls of ``training_step`` whose gradients are averaged into one optimiser step, ``>= 1``. Each call draws
            its own views, so that the step sees less of their noise; an epoch is still one step. What a system does on each
            call, moving a queue on for example, it does that many times.
        precision: ``"fp32"``; ``"bf16"`` or ``"fp16"`` run ``training_step`` under autocast (matrix products in half precision,
            weights and losses in fp32). ``"fp16"`` scales the loss and needs CUDA.
        checkpoint_seconds: Time between two checkpoints, ``>= 0``; 0 writes one after every epoch.
        tensorboard: Whether the terms go to TensorBoard as well.
        preflight: Whether a run that would not fit into memory is refused before it starts.
        batch_nodes: Nodes that a step on a graph is about, ``>= 2``: an epoch is then as many steps as there are such groups of
            nodes, each on what is sampled around one. The whole graph at once when ``None``.
        optimizer: ``"adam"``, or ``"adamw"``, whose weight decay does not go through the moments.
        warmup_epochs: Epochs over which the learning rate rises from 0 to ``lr`` along a line, ``>= 0``. On a graph the first
            has the rate 0; on batches it rises within an epoch too, where their source says how many it gives.
        schedule: What the learning rate does afterwards: stay, or fall to 0 along a ``"cosine"`` that ends with the last epoch.

    Raises:
        InputError: A value out of range, or a device that is not there.
    """

    epochs: int = 150
    lr: float = 1e-3
    weight_decay: float = 0.0
    device: str = "auto"
    deterministic: bool = True
    clip_norm: float | None = None
    accumulate: int = 1
    precision: Precision = "fp32"
    checkpoint_seconds: float = 60.0
    tensorboard: bool = False
    preflight: bool = True
    batch_nodes: int | None = None
    optimizer: Optimizer = "adam"
    warmup_epochs: int = 0
    schedule: Schedule = "constant"

    def __post_init__(self) -> None:
        if self.epochs < 1:
            raise InputError(f"epochs must be >= 1; got {self.epochs}")
        if not (math.isfinite(self.lr) and self.lr > 0):
            raise InputError(f"lr must be > 0; got {self.lr}")
        if not (math.isfinite(self.weight_decay) and self.weight_decay >= 0):
            raise InputError(f"weight_decay must be >= 0; got {self.weight_decay}")
        if self.clip_norm is not None and not (math.isfinite(self.clip_norm) and self.clip_norm > 0):
            raise InputError(f"clip_norm must be > 0, or left out; got {self.clip_norm}")
        if self.accumulate < 1:
            raise InputError(f"accumulate must be >= 1; got {self.accumulate}")
        if self.precision not in get_args(Precision):
            raise InputError(f"precision must be one of {', '.join(get_args(Precision))}; got '{self.precision}'")
        if not (math.isfinite(self.checkpoint_seconds) and self.checkpoint_seconds >= 0):
            raise InputError(f"checkpoint_seconds must be >= 0; got {self.checkpoint_seconds}")
        if self.batch_nodes is not None and self.batch_nodes < 2:
            raise InputError(
                f"batch_nodes must be >= 2, the nodes of a step, or left out for the whole graph; got {self.batch_nodes}"
            )
        if self.optimizer not in get_args(Optimizer):
            raise InputError(f"optimizer must be one of {', '.join(get_args(Optimizer))}; got '{self.optimizer}'")
        if self.warmup_epochs < 0:
            raise InputError(f"warmup_epochs must be >= 0; got {self.warmup_epochs}")
        if self.schedule not in get_args(Schedule):
            raise InputError(f"schedule must be one of {', '.join(get_args(Schedule))}; got '{self.schedule}'")

    def torch_device(self) -> torch.device:
        """The device that ``device`` names on this machine, and on which ``precision`` can be had."""
        device = self._named_device()
        if self.precision == "fp16" and device.type != "cuda":
            raise InputError(f"precision fp16 needs a CUDA device, and this run is on {device.type}; use bf16 or fp32")
        return device

    def _named_device(self) -> torch.device:
        if self.device == "auto":
            return torch.device("cuda" if torch.cuda.is_available() else "cpu")
        try:
            device = torch.device(self.device)
            torch.zeros(1, device=device).item()  # a device may exist and still hold no data, as 'meta' does
        except (RuntimeError, AssertionError) as error:
            reason = str(error).splitlines()[0].split(". ")[0]
            raise InputError(f"device '{self.device}' cannot be used here ({reason}); try --device cpu") from None
        return device
