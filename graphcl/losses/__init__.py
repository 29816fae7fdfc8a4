"""How agreement is scored: `PairLoss`, the named losses made of it, and the few that are not pairwise."""

from graphcl.losses.catalogue import LOSSES, InfoNCE, NeighborContrast
from graphcl.losses.links import Link, coupled, decoupled
from graphcl.losses.pair_loss import PairLoss, check_temperature, unit_rows
from graphcl.losses.self_training import self_training, student_t, target_distribution

__all__ = [
    "LOSSES",
    "InfoNCE",
    "Link",
    "NeighborContrast",
    "PairLoss",
    "check_temperature",
    "coupled",
    "decoupled",
    "self_training",
    "student_t",
    "target_distribution",
    "unit_rows",
]
