"""The loop and what surrounds it: seeds, determinism, checkpoints, progress, the run folder."""

from graphcl.training.checkpoint import Checkpoint, Stateful
from graphcl.training.config import TrainingConfig
from graphcl.training.determinism import deterministic, seed_everything
from graphcl.training.embed_then_loss import embed_then_loss
from graphcl.training.environment import device_name, environment, peak_memory_mb
from graphcl.training.neighbour_sampler import CSRNeighbourSampler
from graphcl.training.node_batches import NodeBatches
from graphcl.training.preflight import available_memory, check_memory
from graphcl.training.progress import EpochProgress
from graphcl.training.run_folder import RunFolder
from graphcl.training.seed_steps import SeedSteps
from graphcl.training.system import ClusteringSystem, HasEpochStart, HasFitEnd, HasLateParts, HasMemoryEstimate, System
from graphcl.training.tensorboard import TensorBoardLog
from graphcl.training.train_state import TrainState
from graphcl.training.trainer import NonFiniteLossError, Observer, Trainer
from graphcl.training.weights import load_weights, save_weights

__all__ = [
    "CSRNeighbourSampler",
    "Checkpoint",
    "ClusteringSystem",
    "EpochProgress",
    "HasEpochStart",
    "HasFitEnd",
    "HasLateParts",
    "HasMemoryEstimate",
    "NodeBatches",
    "NonFiniteLossError",
    "Observer",
    "RunFolder",
    "SeedSteps",
    "Stateful",
    "System",
    "TensorBoardLog",
    "TrainState",
    "Trainer",
    "TrainingConfig",
    "available_memory",
    "check_memory",
    "deterministic",
    "device_name",
    "embed_then_loss",
    "environment",
    "load_weights",
    "peak_memory_mb",
    "save_weights",
    "seed_everything",
]
