"""Seeds, and the setting under which the same seed gives the same bits."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
import torch.utils.deterministic as settings

from graphcl.errors import InputError


def seed_everything(seed: int) -> None:
    """Seeds Python, NumPy and torch on all devices.

    Raises:
        InputError: The seed is negative or does not fit 32 bits.
    """
    if not 0 <= seed < 2**32:
        raise InputError(f"a seed lies in 0 .. 4294967295; got {seed}")
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002  libraries that still draw from the global generator
    torch.manual_seed(seed)


@contextmanager
def deterministic(enabled: bool = True) -> Iterator[None]:
    """Runs the block with deterministic algorithms, and puts the setting back afterwards."""
    before, warn_only = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    if enabled:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    # Filling fresh memory guards against reading it uninitialised, and costs a pass over each new array: nothing here does.
    fill = settings.fill_uninitialized_memory  # type: ignore[attr-defined]
    torch.use_deterministic_algorithms(enabled)
    settings.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before, warn_only=warn_only)
        settings.fill_uninitialized_memory = fill  # type: ignore[attr-defined]
