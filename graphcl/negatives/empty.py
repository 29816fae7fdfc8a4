"""An anchor without negatives is an error, whatever the estimator."""

from __future__ import annotations

import torch
from torch import Tensor

from graphcl.errors import InputError


def check_negatives(log_z: Tensor) -> Tensor:
    """The log-partitions themselves, or an `InputError` where one is empty: its loss would be 0, or infinite, in silence.

    Asked on the CPU only: elsewhere the answer would stall the device.

    Args:
        log_z: What an estimator said, ``-inf`` for an anchor without negatives.

    Shapes:
        log_z: ``(N,)``; returns: the same.

    Raises:
        InputError: An anchor has no negatives; the first one is named.
    """
    if not log_z.is_cuda:
        empty = torch.isneginf(log_z.detach())
        if bool(empty.any()):
            raise InputError(
                f"anchor {int(empty.nonzero()[0])} has no negatives: everything was left out of its candidates; use larger "
                "batches, more draws, more or larger clusters, or ids that differ more"
            )
    return log_z
