"""One training run on several ranks: who they are, gradients that are averaged, and ranks that must not drift apart."""

from __future__ import annotations

import os
import time
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
import torch.distributed as dist
from torch import Tensor

from graphcl.errors import InputError
from graphcl.kernels.ranks import Ranks
from graphcl.training.checkpoint import Checkpoint
from graphcl.training.config import TrainingConfig
from graphcl.training.system import System
from graphcl.training.train_state import TrainState
from graphcl.training.trainer import NonFiniteLossError, Observer, Trainer

GRACE = 3.0  # seconds that a rank has to say why it failed
_active: list[Ranks] = []


class RanksApartError(RuntimeError):
    """Ranks that should hold the same numbers do not."""


def active_ranks() -> Ranks | None:
    """The ranks that train together in this process; ``None`` outside `joined`."""
    return _active[-1] if _active else None


@contextmanager
def joined(device: torch.device) -> Iterator[Ranks | None]:
    """What is trained inside the block is trained by all ranks together; nothing changes where there is one process.

    Joins the other processes that ``torchrun`` started, by NCCL on CUDA (a device for each process) and by gloo on the CPU; a
    process group that is there already is used as it is. The rank that fails first says why, with its number before the
    message; the others, which can only have lost it, end silently with exit code 1.

    Args:
        device: Where training will be, as `TrainingConfig.torch_device` says it.

    Raises:
        InputError: More processes than CUDA devices on a machine, or one device named for all.
    """
    if active_ranks() is not None or not (dist.is_initialized() or _started_together()):
        yield active_ranks()
        return
    own = not dist.is_initialized()
    if own:
        _join(device)
    ranks = Ranks.of()
    if ranks.size == 1:
        yield None
        return
    _active.append(ranks)
    try:
        yield ranks
    except Exception as error:
        if not _fails_first():
            time.sleep(GRACE)  # or the end of this process would have the one killed that has something to say
            raise SystemExit(1) from None
        if isinstance(error, InputError | NonFiniteLossError) and not ranks.first:
            raise type(error)(f"rank {ranks.rank}: {error}") from error
        raise
    finally:
        _active.pop()
    if own:
        dist.destroy_process_group()


class RankTrainer(Trainer):
    """`Trainer` whose gradients are averaged over the ranks before each optimiser step.

    Every rank runs the same loop with the same seeds; what a rank has of a step is said by the system it is given, a
    `RankSteps` for example. The numbers of an epoch, the optimiser and the weights are then the same everywhere, and are
    compared after every epoch. A step costs one more copy of the gradients, and their travel.

    Args:
        ranks: All of them.
        config: As in `Trainer`.
        observers: The same on every rank where their answers, or what they do to the system, matter.
        checkpoint: Read by every rank; it knows itself which one writes.
    """

    def __init__(
        self, ranks: Ranks, config: TrainingConfig, observers: Sequence[Observer] = (), checkpoint: Checkpoint | None = None
    ) -> None:
        super().__init__(config, observers, checkpoint)
        self.ranks = ranks

    def start(self, system: System) -> TrainState:
        """The state of a run before its first epoch, on weights that are the same everywhere."""
        self.observers = (_Together(self.ranks, system), *self.observers)
        return super().start(system)

    def _move(self, state: TrainState) -> None:
        average_gradients([p for group in state.optimizer.param_groups for p in group["params"]], self.ranks)
        super()._move(state)


def average_gradients(parameters: Sequence[Tensor], ranks: Ranks) -> None:
    """Replaces each gradient by its mean over the ranks; one that no rank has stays ``None``.

    All of a type travel together. The result has the same bits on every rank.

    Args:
        parameters: The same, in the same order, on every rank.
        ranks: All of them.
    """
    if not parameters:
        return
    there = torch.tensor([p.grad is not None for p in parameters], dtype=torch.int32, device=parameters[0].device)
    dist.all_reduce(there, op=dist.ReduceOp.MAX, group=ranks.group)
    moved = [p for p, has in zip(parameters, there.tolist(), strict=True) if has]
    for dtype in dict.fromkeys(p.dtype for p in moved):
        some = [p for p in moved if p.dtype == dtype]
        for p in some:
            if p.grad is None:
                p.grad = torch.zeros_like(p)
        gradients = [p.grad for p in some if p.grad is not None]
        flat = torch.cat([gradient.reshape(-1) for gradient in gradients])
        dist.all_reduce(flat, group=ranks.group)
        flat /= ranks.size
        for gradient, part in zip(gradients, torch.split(flat, [gradient.numel() for gradient in gradients]), strict=True):
            gradient.copy_(part.view_as(gradient))


class _Together:
    """Compares what must be equal on all ranks: the weights, and where the random numbers stand."""

    def __init__(self, ranks: Ranks, system: System) -> None:
        self.ranks, self.system = ranks, system

    def on_fit_start(self, history: object) -> None:
        self.compare("before the first epoch")

    def on_epoch_end(self, epoch: int, terms: dict[str, float]) -> None:
        self.compare(f"after epoch {epoch}")

    def compare(self, when: str) -> None:
        weights = 0
        for p in self.system.parameters():
            weights = zlib.crc32(p.detach().reshape(-1).cpu().contiguous().view(torch.uint8).numpy().data, weights)
        device = next(self.system.parameters()).device
        random = zlib.crc32(torch.get_rng_state().numpy().data)
        if device.type == "cuda":
            random = zlib.crc32(torch.cuda.get_rng_state(device).numpy().data, random)
        mine = torch.tensor([weights, random], dtype=torch.int64, device=device)
        all_of = [torch.empty_like(mine) for _ in range(self.ranks.size)]
        dist.all_gather(all_of, mine, group=self.ranks.group)
        for what, column in (("weights", 0), ("random numbers", 1)):
            if len({int(one[column]) for one in all_of}) > 1:
                raise RanksApartError(
                    f"{when} the ranks have different {what}: they need the same data, settings, seed and kind of device, and "
                    "a system that draws alike on all of them"
                )


def _started_together() -> bool:
    """Whether ``torchrun``, or what sets the same variables, started more than this process."""
    named = all(name in os.environ for name in ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"))
    return dist.is_available() and named and int(os.environ["WORLD_SIZE"]) > 1


def _join(device: torch.device) -> None:
    if device.type != "cuda":
        dist.init_process_group("gloo")
        return
    if str(device) != device.type:
        raise InputError(f"every rank has a CUDA device of its own, so none can be named: use --device cuda, not {device}")
    local, here = int(os.environ.get("LOCAL_RANK", "0")), int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    if here > torch.cuda.device_count():
        raise InputError(
            f"there are {here} processes on this machine and {torch.cuda.device_count()} CUDA devices: start no more processes "
            "than devices, or train with --device cpu"
        )
    torch.cuda.set_device(local)
    dist.init_process_group("nccl", device_id=torch.device("cuda", local))


def _fails_first() -> bool:
    """Whether no other rank has said so before; ``True`` where nobody can be asked."""
    try:
        store = dist.distributed_c10d._get_default_store()
        return int(store.add("graphcl/failed", 1)) == 1
    except (RuntimeError, ValueError):
        return True
