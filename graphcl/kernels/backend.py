"""Which code sweeps over the pairs: torch anywhere, Triton on an NVIDIA GPU."""

from __future__ import annotations

import os
import warnings
from functools import cache
from importlib.util import find_spec
from typing import Literal, get_args

import torch
from torch import Tensor

from graphcl.errors import InputError, unknown_name

Backend = Literal["auto", "torch", "triton"]


def uses_triton(backend: Backend, a: Tensor, hindrance: str | None = None) -> bool:
    """Whether a sweep runs on Triton: with ``"auto"`` wherever it can on a GPU, and says once where it is only not installed.

    Args:
        backend: What the caller asked for.
        a: Anchors: their type and device decide.
        hindrance: Why the Triton kernels cannot do this sweep, for reasons that the caller knows.

    Shapes:
        a: ``(N, D)``.

    Raises:
        InputError: Triton was asked for and cannot run; an unknown backend.
    """
    if backend not in get_args(Backend):
        raise unknown_name("backend", str(backend), get_args(Backend))
    if backend == "torch" or (backend == "auto" and not a.is_cuda):
        return False
    reason = hindrance or _hindrance(a)
    if backend == "triton" and reason is not None:
        raise InputError(f"the Triton sweep cannot run: {reason}. With backend='auto' torch does what Triton cannot.")
    return reason is None


def _hindrance(a: Tensor) -> str | None:
    if a.dtype not in (torch.float32, torch.float16, torch.bfloat16):
        return f"it computes in single precision, and the anchors are {a.dtype}"
    if not a.is_cuda and os.environ.get("TRITON_INTERPRET") != "1":
        return f"it needs an NVIDIA GPU, and the anchors are on {a.device} (for tests: TRITON_INTERPRET=1 before Python starts)"
    if a.is_cuda and (torch.version.cuda is None or torch.cuda.get_device_capability(a.device) < (8, 0)):
        return f"it needs an NVIDIA GPU of compute capability 8.0 or higher, not {torch.cuda.get_device_name(a.device)}"
    if find_spec("triton") is None:
        if a.is_cuda:
            _tell()
        return "triton is not installed; pip install triton (Linux), or graphcl[triton]"
    return None


@cache
def _tell() -> None:
    warnings.warn("triton is not installed: sweeps over pairs on this GPU run on torch, slower", RuntimeWarning, stacklevel=4)
