"""Exact symmetric InfoNCE, forward and backward, against its floor and against what a plain program does.

    python benchmarks/pair_loss.py [--quick] [--nodes 20000] [--dim 128] [--rounds 7] [--only ours,floor]
    python benchmarks/pair_loss.py --tuned           the same with the C library's allocator tuned, in a process of its own
    python benchmarks/pair_loss.py --only ours --nodes 65536 --rounds 1
    python benchmarks/pair_loss.py --device cuda [--dtype bf16] [--nodes 65536] [--dim 128] [--rounds 20]    on a GPU, see below

The floor is nothing but the four matrix products of the size N x N x D and the two passes of exponentials that a sweep which
stores no N x N array must do, in one workspace that is allocated before the clock starts. Variants take turns in one process; a
ratio is the median over the rounds of a variant's time divided by the floor's in the same round. Memory is the highest resident
size while a variant runs alone in a fresh process, less that before it started (Linux only).

What was measured (2 cores of a shared server, torch 2.13, nothing else running), N=20,000, d=128, fp32, median of 3:

                 seconds  to the floor  extra memory
    ours            2.98         0.97x        60 MiB
    labels          3.17         1.03x        60 MiB   rows of one label do not count
    clusters        3.33         1.16x        60 MiB   weights from three clusterings
    bf16            1.24         0.40x        85 MiB   products of numbers rounded to bfloat16: 2.4 times as fast
    itself          1.51         0.55x        41 MiB   one set on both sides, rows only: half the pairs
    floor           2.88         1.00x        54 MiB
    chunked         4.60         1.50x       237 MiB
    dense          24.33         8.16x      7634 MiB

- N=10,000 with the allocator tuned (--tuned): ours 0.78 s, 1.05x the floor, 31 MiB; dense 1.27 s, so 1.6x ours, 3,439 MiB.
  At N=20,000 dense and its tuned allocator do not fit into 24 GB twice.
- N=65,536: ours 35.4 s, 201 MiB extra (its inputs and gradients are 134 MiB). N=512: ours 4.3 ms, dense 4.4 ms.
- Targets: at least 80 % of the floor (103 %), 70 % with rules (97 % and 86 %), 3x dense (8.2x), 1.6x tuned dense (1.6x), less
  than 200 MB, and less than 1 GB at N=65,536; all hold.
- What it took: tiles of 4 MB, which stay in the cache with everything that is done to them (32 MB cost a quarter more); masks
  and weights as factors, since comparing floating-point ids and multiplying costs a tenth of masks of truth values;
  exponentials to base 2.

On a GPU (nothing measured yet) `ours` is the Triton sweep and `torch` the tiled one; inf-cl and memeff take part where they are
installed (`pip install inf-cl memeff`). Memory is the peak of torch's allocator beyond what was there before the step.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import multiprocessing
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from graphcl.kernels import Columns, Rule, pair_lse
from graphcl.kernels.backend import Backend, uses_triton

SCALE = 2.0
ROWS = 400
CLASSES = 10
TUNABLES = "glibc.malloc.mmap_max=0:glibc.malloc.trim_threshold=4294967296"
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
Step = Callable[[Tensor, Tensor], tuple[Tensor, ...]]


def sweep(rule: Rule, *, bf16: bool = False, backend: Backend = "auto") -> Step:
    """One sweep for both directions."""

    def step(a: Tensor, z: Tensor) -> tuple[Tensor, ...]:
        rows, columns = pair_lse(a, Columns(z), scale=SCALE, rule=rule, both=True, bf16=bf16, backend=backend)
        loss = (rows + columns).mean() / 2 - SCALE * (a * z).sum(1).mean()
        return loss.detach(), *torch.autograd.grad(loss, (a, z))

    return step


def itself(a: Tensor, z: Tensor) -> tuple[Tensor, ...]:
    """A set against itself, each row left out of its own sum: what a node contrasts with in its own view."""
    lse = pair_lse(a, Columns(a), scale=SCALE, rule=Rule(exclude=torch.arange(len(a), device=a.device)))
    loss = lse.mean() - SCALE * (a * z).sum(1).mean()
    return loss.detach(), *torch.autograd.grad(loss, (a, z))


def dense(a: Tensor, z: Tensor) -> tuple[Tensor, ...]:
    """The usual lines."""
    logits = SCALE * (a @ z.T)
    target = torch.arange(len(a), device=a.device)
    loss = (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2
    return loss.detach(), *torch.autograd.grad(loss, (a, z))


def chunked(a: Tensor, z: Tensor) -> tuple[Tensor, ...]:
    """Blocks of rows, each in fresh memory, met again in the backward; plain sums of exponentials, as unit rows allow."""
    with torch.no_grad():
        n = len(a)
        rows, columns = torch.empty(n), torch.zeros(n)
        for start in range(0, n, ROWS):
            tile = torch.exp(SCALE * (a[start : start + ROWS] @ z.T))
            rows[start : start + ROWS] = tile.sum(1)
            columns += tile.sum(0)
        loss = (rows.log() + columns.log()).mean() / 2 - SCALE * (a * z).sum(1).mean()
        da, dz = torch.empty_like(a), torch.zeros_like(z)
        for start in range(0, n, ROWS):
            block = slice(start, start + ROWS)
            tile = torch.exp(SCALE * (a[block] @ z.T))
            weights = tile / rows[block, None] + tile / columns
            da[block] = weights @ z
            dz += weights.T @ a[block]
        factor = SCALE / n
        return loss, factor * (da / 2 - z), factor * (dz / 2 - a)


class Floor:
    """The products and exponentials alone."""

    def __init__(self, n: int, dim: int, rows: int = ROWS, **kind: Any) -> None:
        self.rows = min(rows, n)
        self.tile = torch.zeros(self.rows, n, **kind)
        self.da, self.dz = torch.zeros(n, dim, **kind), torch.zeros(n, dim, **kind)

    def __call__(self, a: Tensor, z: Tensor) -> tuple[Tensor, ...]:
        """Results mean nothing."""
        with torch.no_grad():
            for backward in (False, True):
                for start in range(0, len(a), self.rows):
                    block = a[start : start + self.rows]
                    tile = self.tile[: len(block)]
                    torch.mm(block, z.T, out=tile)
                    tile.exp2_()
                    if backward:
                        torch.mm(tile, z, out=self.da[start : start + self.rows])
                        self.dz.addmm_(tile.T, block)
        return (self.da,)


def points(n: int, dim: int, **kind: Any) -> tuple[Tensor, Tensor]:
    """Two views of unit rows."""
    torch.manual_seed(0)
    a, z = (F.normalize(torch.randn(n, dim), dim=1).to(**kind).requires_grad_() for _ in range(2))
    return a, z


NAMES = ("ours", "labels", "clusters", "bf16", "itself", "floor", "chunked", "dense")


def step(name: str, n: int, dim: int) -> Step:
    """A variant by name."""
    labels = torch.arange(n) % CLASSES
    several = torch.stack([labels, torch.arange(n) % 7, torch.arange(n) % 3], 1)
    variants: dict[str, Callable[[], Step]] = {
        "ours": lambda: sweep(Rule()),
        "labels": lambda: sweep(Rule(different=(labels, labels))),
        "clusters": lambda: sweep(Rule(clusters=(several, several))),
        "bf16": lambda: sweep(Rule(), bf16=True),
        "itself": lambda: itself,
        "floor": lambda: Floor(n, dim),
        "chunked": lambda: chunked,
        "dense": lambda: dense,
    }
    return variants[name]()


def on_gpu_steps(n: int, dim: int, kind: dict[str, Any]) -> dict[str, Step]:
    """The variants of a GPU, with the packages that are installed here."""
    labels = torch.arange(n, device=kind["device"]) % CLASSES
    several = torch.stack([labels, labels * 3 % 7, labels % 3], 1)
    steps: dict[str, Step] = {
        "ours": sweep(Rule(), backend="triton"),
        "labels": sweep(Rule(different=(labels, labels)), backend="triton"),
        "clusters": sweep(Rule(clusters=(several, several)), backend="triton"),
        "itself": itself,
        "torch": sweep(Rule(), backend="torch"),
        "floor": Floor(n, dim, 8192, **kind),
        "dense": dense,
    }
    with contextlib.suppress(ImportError):
        from inf_cl import cal_flash_loss

        part = math.gcd(dim, 256)  # features are met in parts, of a power of two each

        def inf_cl(a: Tensor, z: Tensor) -> tuple[Tensor, ...]:
            ways = (cal_flash_loss(a, z, scale=SCALE, head_dim=part), cal_flash_loss(z, a, scale=SCALE, head_dim=part))
            loss = sum(way.mean() for way in ways) / 2
            return loss.detach(), *torch.autograd.grad(loss, (a, z))

        steps["inf-cl"] = inf_cl
    with contextlib.suppress(ImportError):
        from memeff import MemoryEfficientCLIPLoss

        criterion = MemoryEfficientCLIPLoss(temperature=1 / SCALE, normalized_inputs=True, stable=False)

        def memeff(a: Tensor, z: Tensor) -> tuple[Tensor, ...]:
            loss = criterion(a, z)
            return loss.detach(), *torch.autograd.grad(loss, (a, z))

        steps["memeff"] = memeff
    return steps


def on_gpu(n: int, dim: int, dtype: torch.dtype, rounds: int, only: str | None) -> None:
    """Checks that all that sum the same pairs agree, then times them in turns and notes the memory of each."""
    if not torch.cuda.is_available():
        print("no GPU here: nothing is measured. Leave --device out to measure on the CPU.")
        return
    kind = {"device": torch.device("cuda"), "dtype": dtype}
    a, z = points(1000, dim, **kind)
    uses_triton("triton", a)  # says what is missing
    exact = dense(*points(1000, dim, device=kind["device"]))
    for name, one in on_gpu_steps(1000, dim, kind).items():
        if name in ("ours", "torch", "dense", "inf-cl", "memeff"):
            for found, want in zip(one(a, z), exact, strict=True):
                error = (found.float() - want).norm() / want.norm()
                print(f"{name:8s} differs from dense fp32 by {float(error):.1e} of its norm")
    a, z = points(n, dim, **kind)
    steps = on_gpu_steps(n, dim, kind)
    names = only.split(",") if only else list(steps)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    memory: dict[str, float] = {}
    for turn in range(3 + rounds):  # the first three compile and warm up
        for name in list(seconds):
            torch.cuda.reset_peak_memory_stats()
            before, events = torch.cuda.memory_allocated(), [torch.cuda.Event(enable_timing=True) for _ in range(2)]
            try:
                events[0].record()
                steps[name](a, z)
                events[1].record()
            except torch.cuda.OutOfMemoryError:
                print(f"{name:8s} does not fit")
                del seconds[name]
                continue
            torch.cuda.synchronize()
            memory[name] = (torch.cuda.max_memory_allocated() - before) / 2**20
            if turn >= 3:
                seconds[name].append(events[0].elapsed_time(events[1]) / 1000)
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}, fp32 products {torch.get_float32_matmul_precision()}")
    print(f"N={n}, d={dim}, {dtype}, median of {rounds}")
    for name, times in seconds.items():
        middle = statistics.median(times)
        rate = 8 * n * n * dim / middle / 1e12  # of the four products that no sweep can do without
        ratio = f"{middle / statistics.median(seconds['floor']):5.2f}x floor" if "floor" in seconds else ""
        print(
            f"{name:8s} {1000 * middle:9.3f} ms  {ratio}  {rate:7.1f} TFLOP/s of needed products  {memory[name]:8.0f} MiB extra"
        )


def peak(name: str, n: int, dim: int) -> float:
    """MiB a variant takes beyond what it was given, in a process of its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_peak, (name, n, dim))


def _peak(name: str, n: int, dim: int) -> float:
    a, z = points(n, dim)
    sweep(Rule())(*points(64, dim))  # threads and libraries are up
    Path("/proc/self/clear_refs").write_text("5")  # the high-water mark starts again from here
    before = _high_water()
    step(name, n, dim)(a, z)
    return _high_water() - before


def _high_water() -> float:
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmHWM"))


def main() -> None:
    """Checks that all agree, then times them in turns."""
    parser = argparse.ArgumentParser(description="Exact InfoNCE, forward and backward.")
    parser.add_argument("--quick", action="store_true", help="4096 nodes and 3 rounds")
    parser.add_argument("--nodes", type=int, help="20,000 on a CPU, 65,536 on a GPU")
    parser.add_argument("--dim", type=int, default=128)
    parser.add_argument("--rounds", type=int, help="7 on a CPU, 20 on a GPU")
    parser.add_argument("--only", help=f"some of {', '.join(NAMES)}; on a GPU other names, see there")
    parser.add_argument("--tuned", action="store_true", help="keep freed memory: what a tuned plain program does")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--dtype", default="bf16", choices=DTYPES, help="on a GPU; on a CPU fp32")
    options = parser.parse_args()
    if options.tuned and "GLIBC_TUNABLES" not in os.environ:
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, "GLIBC_TUNABLES": TUNABLES})
    gpu = options.device == "cuda"
    n = options.nodes or (4096 if options.quick else 65_536 if gpu else 20_000)
    rounds = options.rounds or (3 if options.quick else 20 if gpu else 7)
    if gpu:
        on_gpu(n, options.dim, DTYPES[options.dtype], rounds, options.only)
        return
    names = tuple(options.only.split(",")) if options.only else NAMES
    a, z = points(min(n, 1000), options.dim)
    for name in ("chunked", "dense"):
        for one, other in zip(sweep(Rule())(a, z), step(name, len(a), options.dim)(a, z), strict=True):
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)
    a, z = points(n, options.dim)
    steps = {name: step(name, n, options.dim) for name in names}
    for name in names:
        if name not in ("dense", "chunked") or n <= 4096:  # warm, as far as that is quick
            steps[name](a, z)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(rounds):
        for name in names:
            repeats = max(1, 2048 * 2048 // (n * n))
            start = time.perf_counter()
            for _ in range(repeats):
                steps[name](a, z)
            seconds[name].append((time.perf_counter() - start) / repeats)
    tuned = os.environ.get("GLIBC_TUNABLES", "as it is")
    print(f"N={n}, d={options.dim}, fp32, {torch.get_num_threads()} threads, median of {rounds}, allocator {tuned}")
    base = "floor" if "floor" in names else names[0]
    for name in names:
        ratio = statistics.median(mine / least for mine, least in zip(seconds[name], seconds[base], strict=True))
        memory = peak(name, n, options.dim)
        print(f"{name:8s} {statistics.median(seconds[name]):8.4f} s  {ratio:5.2f}x {base}  {memory:7.0f} MiB extra", flush=True)


if __name__ == "__main__":
    main()
