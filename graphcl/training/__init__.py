"""The loop and what surrounds it: seeds, determinism, progress, the run folder."""

from graphcl.training.config import TrainingConfig
from graphcl.training.determinism import deterministic, seed_everything
from graphcl.training.embed_then_loss import embed_then_loss
from graphcl.training.environment import device_name, environment, peak_memory_mb
from graphcl.training.progress import EpochProgress
from graphcl.training.run_folder import RunFolder
from graphcl.training.system import ClusteringSystem, HasEpochStart, HasFitEnd, System
from graphcl.training.trainer import NonFiniteLossError, Observer, Trainer, TrainState

__all__ = [
    "ClusteringSystem",
    "EpochProgress",
    "HasEpochStart",
    "HasFitEnd",
    "NonFiniteLossError",
    "Observer",
    "RunFolder",
    "System",
    "TrainState",
    "Trainer",
    "TrainingConfig",
    "deterministic",
    "device_name",
    "embed_then_loss",
    "environment",
    "peak_memory_mb",
    "seed_everything",
]
