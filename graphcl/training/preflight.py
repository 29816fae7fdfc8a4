"""Whether a run will fit into memory, asked before it starts."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import torch
from torch_geometric.data import Data

from graphcl.errors import InputError
from graphcl.training.system import HasMemoryEstimate

SMALLEST_BATCH = 256  # nodes; contrast among fewer says little
UNLIMITED = 2**60  # cgroups of the first version say "no limit" by a number near 2**63


def check_memory(system: object, data: Data, device: torch.device) -> None:
    """Refuses a run whose system expects to need more memory than there is.

    Systems without an estimate, and machines that do not say what they have, are let through.

    Args:
        system: What is to be trained.
        data: The prepared graph.
        device: Where it will be trained.

    Raises:
        InputError: It will not fit; the message says what it needs, what there is, and which option fits.
    """
    available = available_memory(device)
    if available is None or not isinstance(system, HasMemoryEstimate):
        return
    values = data.x.numel() if data.x.layout == torch.strided else data.x.values().numel()
    sizes = data.num_nodes, data.edge_index.shape[1], values
    need = system.memory_estimate(*sizes)
    if need <= available:
        return
    setting = system.memory_remedy(*sizes, available)
    host = available_memory(torch.device("cpu"))
    if setting is not None:
        remedy = f"--set {setting} fits"
    elif device.type != "cpu" and (host is None or need <= host):
        remedy = "--device cpu fits"
    elif (nodes := _fitting_batch(system, sizes, available)) is not None:
        remedy = f"batches of its nodes fit: --batch-nodes {nodes}"
    else:
        remedy = "no setting fits: take a smaller graph or a larger machine"
    raise InputError(
        f"training needs about {_shown(need)} of memory and {device} has {_shown(available)} free; {remedy} "
        "(or try your luck with --set preflight=false)"
    )


def _fitting_batch(system: HasMemoryEstimate, sizes: tuple[int, int, int], available: int) -> int | None:
    """The largest power of two of nodes whose share of the graph fits, out of those that are worth a step."""
    nodes = 1 << (sizes[0] - 1).bit_length() >> 1
    while nodes >= SMALLEST_BATCH:
        if system.memory_estimate(nodes, *(size * nodes // sizes[0] for size in sizes[1:])) <= available:
            return nodes
        nodes //= 2
    return None


def available_memory(device: torch.device, root: Path = Path("/")) -> int | None:
    """Bytes that can still be had on a device; ``None`` where that cannot be known.

    On the CPU the least of what Linux calls available and what the control groups of this process leave.

    Args:
        device: The device.
        root: Where ``proc`` and ``sys`` are mounted.
    """
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    if device.type != "cpu":
        return None
    return min([*_system(root), *_groups(root)], default=None)


def _system(root: Path) -> Iterator[int]:
    with contextlib.suppress(OSError):
        for line in (root / "proc/meminfo").read_text().splitlines():
            name, _, value = line.partition(":")
            if name == "MemAvailable":
                yield int(value.split()[0]) * 1024


def _groups(root: Path) -> Iterator[int]:
    """What is left under the limit of every control group above this process; the page cache can be given back."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            base, limit, usage, cache = root / "sys/fs/cgroup", "memory.max", "memory.current", "inactive_file"
        elif "memory" in controllers.split(","):
            base, limit, usage = root / "sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes"
            cache = "total_inactive_file"
        else:
            continue
        group = base / path.strip("/")
        for folder in (group, *group.parents):
            if folder.is_relative_to(base):
                yield from _left(folder, limit, usage, cache)


def _left(folder: Path, limit: str, usage: str, cache: str) -> Iterator[int]:
    # No such file, as in the topmost group, and "max" for no limit both mean: nothing to say here.
    with contextlib.suppress(OSError, ValueError):
        most = int((folder / limit).read_text())
        if most < UNLIMITED:
            stat = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
            yield max(0, most - int((folder / usage).read_text()) + int(stat.get(cache, 0)))


def _shown(count: int) -> str:
    return f"{count / 2**30:.1f} GiB" if count >= 2**30 else f"{count / 2**20:.0f} MiB"
