"""What a result was computed with: versions, device, commit."""

from __future__ import annotations

import platform
import resource
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

import graphcl

PACKAGES = ("torch", "torch-geometric", "torch-scatter", "triton", "numpy", "scipy", "scikit-learn", "networkx", "polars")


def environment(device: torch.device | None = None) -> dict[str, object]:
    """Versions, device, threads and the commit of the checkout, if there is one."""
    return {
        "graphcl": graphcl.__version__,
        "commit": _commit(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "device": device_name(device or torch.device("cpu")),
        "threads": torch.get_num_threads(),
        "packages": {name: _version(name) for name in PACKAGES},
    }


def device_name(device: torch.device) -> str:
    """The device as a person knows it."""
    return f"{device} ({torch.cuda.get_device_name(device)})" if device.type == "cuda" else str(device)


def peak_memory_mb(device: torch.device) -> float:
    """Peak memory in MB: of the device's allocator on CUDA, else the whole process's resident set."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    unit = 1 if sys.platform == "darwin" else 1024  # macOS counts bytes, Linux kilobytes
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _commit() -> str | None:
    root = Path(graphcl.__file__).parents[1]
    if not (root / ".git").exists():
        return None
    command = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout.strip() or None
    except (OSError, subprocess.SubprocessError):
        return None
