"""Weighted sums of gathered rows, and reductions by segment, against what torch and torch_scatter offer.

    python benchmarks/segment.py [--quick] [--entries 1000000] [--dim 64] [--rounds 7] [--graph uniform power] [--only sum,max]
    python benchmarks/segment.py --device cuda [--dtype bf16]          10M entries, on a GPU

`product` is ``y_i = sum_e w_e x[col_e]`` with the gradient of the rows, `weights` the same with that of the weights too; `sum`,
`mean`, `max` and `softmax` reduce rows by ids in random order, with gradients. A row or segment has ten entries on average:
uniform, or like a power law (the largest holds a hundredth of all and more). Variants take turns in one process and are checked
to agree; a ratio is the median over the rounds of a variant's time divided by ours in the same round. Memory is what a step
takes beyond what it is given: on a GPU the peak of torch's allocator, else the highest resident size of a process that runs it
alone (Linux). torch_scatter takes part where it can be imported.

What was measured, on a CPU alone (2 cores shared with other programs, torch 2.13, fp32, d=64, power law, 500k entries, median
of 3), forward and backward; times move by a factor of two, so ratios below 1.3 mean nothing:

               ours                 next best              gather and scatter
    product    42 ms,  39 MiB       397 ms CSR @ x,  54    483 ms, 256 MiB
    weights   111 ms,  43 MiB                              566 ms, 502 MiB
    sum       193 ms, 142 MiB       197 ms index_add, 146
    max       813 ms, 345 MiB       687 ms index_reduce, 577
    softmax  1103 ms, 515 MiB      1483 ms, 867

- `CSR @ x` transposes its matrix in every backward, and we once; forward alone both are one MKL product.
- A row-parallel product in C++, compiled at run time, was tried against MKL's: 0.3 to 0.7 times its rate up to d=32, 1.0 to 1.9
  times at d=64, 1.1 to 1.6 at d=128. It did not win by 1.3 reliably, and is not here.
- 100k entries: sums and means are those of index_add (0.84x to 1.09x), maxima 0.86x to 1.36x.
- torch_scatter was not there and was not measured. On a GPU nothing was measured yet: `within 1.1x of the best` is a target
  there, and no result.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import multiprocessing
import statistics
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from graphcl.kernels import gather_sum, segment_max, segment_mean, segment_softmax, segment_sum
from graphcl.kernels.pattern import Pattern

Function = Callable[[], Tensor]
CASES = ("product", "weights", "sum", "mean", "max", "softmax")
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
TARGET = 1.1
OURS = "ours"


@dataclass(frozen=True)
class Inputs:
    """What the variants are given, `x` and `weight` with gradients to come."""

    pattern: Pattern
    row: Tensor
    col: Tensor
    ids: Tensor
    x: Tensor
    rows: Tensor
    weight: Tensor
    num: int


def draw(kind: str, entries: int, dim: int, device: str, dtype: torch.dtype) -> Inputs:
    """A square sparse matrix, and as many rows as it has entries with ids of random order."""
    torch.manual_seed(0)
    n = entries // 10
    if kind == "uniform":
        ids = torch.randint(n, (entries,))
    else:
        share = torch.arange(1, n + 1, dtype=torch.float64).pow_(-0.9).cumsum_(0)
        ids = torch.searchsorted(share, torch.rand(entries, dtype=torch.float64) * share[-1]).clamp_(max=n - 1)
        ids = torch.randperm(n)[ids]
    row, col = ids.sort().values.to(device), torch.randint(n, (entries,)).to(device)
    crow = torch.cat([row.new_zeros(1), torch.bincount(row, minlength=n).cumsum(0)])
    x, rows = (torch.randn(m, dim).to(device, dtype).requires_grad_() for m in (n, entries))
    weight = torch.rand(entries, device=device).requires_grad_()
    return Inputs(Pattern(crow, col, n), row, col, ids.to(device), x, rows, weight, n)


def variants(case: str, given: Inputs) -> dict[str, Function]:
    """Every way to the same result, ours first."""
    x, rows, ids, n = given.x, given.rows, given.ids, given.num
    weight = given.weight if case == "weights" else given.weight.detach()
    wide = ids[:, None].expand_as(rows)
    row, col, crow = given.row, given.col, given.pattern.crow.long()
    order = torch.argsort(ids, stable=True)
    scatter: Any = None
    with contextlib.suppress(ImportError):
        scatter = importlib.import_module("torch_scatter")

    def messages() -> Tensor:
        return x.index_select(0, col) * weight.to(x.dtype)[:, None]

    def softmax() -> Tensor:
        top = rows.detach().new_full((n, rows.shape[1]), -torch.inf).scatter_reduce(0, wide, rows.detach(), "amax")
        terms = (rows - top.index_select(0, ids)).exp()
        return terms / rows.new_zeros(n, rows.shape[1]).index_add(0, ids, terms).index_select(0, ids)

    ways: dict[str, Function] = {}
    if case in ("product", "weights"):
        ways[OURS] = lambda: gather_sum(x, given.pattern, weight)
        ways["gather, index_add"] = lambda: x.new_zeros(n, x.shape[1]).index_add(0, row, messages())
        ways["gather, segment_reduce"] = lambda: torch.segment_reduce(messages(), "sum", offsets=crow, axis=0)
        if case == "product" and x.dtype == torch.float32:
            matrix = torch.sparse_csr_tensor(given.pattern.crow, given.pattern.col, weight, (n, n))
            ways["torch CSR @ x"] = lambda: matrix @ x
        if scatter is not None:
            ways["gather, torch_scatter.segment_csr"] = lambda: scatter.segment_csr(messages(), crow)
    elif case in ("sum", "mean"):
        ours = segment_sum if case == "sum" else segment_mean
        counts = torch.bincount(ids, minlength=n).clamp(min=1).to(rows.dtype)[:, None]
        factor = counts.reciprocal() if case == "mean" else torch.ones_like(counts)
        zeros = rows.detach().new_zeros(n, rows.shape[1])
        ways[OURS] = lambda: ours(rows, ids, n)
        ways["index_add"] = lambda: zeros.index_add(0, ids, rows) * factor
        ways["scatter_reduce"] = lambda: zeros.scatter_reduce(0, wide, rows, "sum") * factor
        ways["sorted before, segment_reduce"] = lambda: (
            torch.segment_reduce(rows.index_select(0, order), "sum", offsets=crow, axis=0) * factor
        )
        if scatter is not None:
            ways["torch_scatter.scatter"] = lambda: scatter.scatter(rows, ids, 0, dim_size=n, reduce=case)
    elif case == "max":
        low = rows.detach().new_full((n, rows.shape[1]), -torch.inf)
        ways[OURS] = lambda: segment_max(rows, ids, n)
        ways["scatter_reduce"] = lambda: _zero_if_empty(low.scatter_reduce(0, wide, rows, "amax"))
        ways["index_reduce"] = lambda: _zero_if_empty(low.index_reduce(0, ids, rows, "amax"))
        if scatter is not None:
            ways["torch_scatter.scatter"] = lambda: scatter.scatter(rows, ids, 0, dim_size=n, reduce="max")
    else:
        ways[OURS] = lambda: segment_softmax(rows, ids, n)
        ways["scatter_reduce, exp, index_add"] = softmax
        if scatter is not None:
            ways["torch_scatter.scatter_softmax"] = lambda: scatter.scatter_softmax(rows, ids, 0, dim_size=n)
    return ways


def _zero_if_empty(top: Tensor) -> Tensor:
    return top.masked_fill(top == -torch.inf, 0.0)


def step(case: str, given: Inputs, way: Function) -> list[Tensor]:
    """A result and its gradients."""
    out = way()
    leaves = [given.x if case in ("product", "weights") else given.rows, *([given.weight] if case == "weights" else [])]
    return [out.detach(), *torch.autograd.grad(out, leaves, out.detach())]


def working(case: str, given: Inputs, ways: dict[str, Function]) -> dict[str, Function]:
    """The variants that can do this case; stops where one of them gives other numbers."""
    want = step(case, given, ways[OURS])
    can = {}
    for name, way in ways.items():
        try:
            found = step(case, given, way)
        except (RuntimeError, NotImplementedError) as error:
            print(f"{name}: cannot ({str(error).splitlines()[0][:80]})")
            continue
        for one, other in zip(found, want, strict=True):
            off = float((one.float() - other.float()).norm() / other.float().norm())
            if not off < (1e-4 if one.dtype == torch.float32 else 2e-2):
                raise SystemExit(f"{name}: off by {off:.1e} (relative); no times are given for unequal numbers")
        can[name] = way
    return can


def measure(
    case: str, given: Inputs, ways: dict[str, Function], rounds: int
) -> tuple[dict[str, list[float]], dict[str, float]]:
    """Milliseconds of each variant, in turns, and on a GPU the MiB it takes."""
    gpu = given.x.is_cuda
    times: dict[str, list[float]] = {name: [] for name in ways}
    memory: dict[str, float] = {}
    for turn in range(rounds + 2):  # the first two warm up
        for name, way in ways.items():
            if gpu:
                torch.cuda.synchronize()
                torch.cuda.reset_peak_memory_stats()
                before = torch.cuda.memory_allocated()
            start = time.perf_counter()
            step(case, given, way)
            if gpu:
                torch.cuda.synchronize()
                memory[name] = (torch.cuda.max_memory_allocated() - before) / 2**20
            if turn >= 2:
                times[name].append(1e3 * (time.perf_counter() - start))
    return times, memory


def peak(case: str, name: str, kind: str, entries: int, dim: int) -> float:
    """MiB a variant takes beyond what it is given, in a process of its own; NaN where that is not told."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_peak, (case, name, kind, entries, dim))


def _peak(case: str, name: str, kind: str, entries: int, dim: int) -> float:
    warnings.filterwarnings("ignore", message=".*(in beta|prototype|invariant checks).*")
    small = draw(kind, 1000, dim, "cpu", torch.float32)
    step(case, small, variants(case, small)[name])  # threads and libraries are up
    given = draw(kind, entries, dim, "cpu", torch.float32)
    way = variants(case, given)[name]
    if not Path("/proc/self/clear_refs").exists():
        return float("nan")
    Path("/proc/self/clear_refs").write_text("5")  # the high-water mark starts again from here
    before = _high_water()
    step(case, given, way)
    return _high_water() - before


def _high_water() -> float:
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmHWM"))


def main() -> None:
    """Reads the arguments, checks the variants against each other and times them."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="100,000 entries, three rounds")
    parser.add_argument("--entries", type=int, help="1M on a CPU, 10M on a GPU")
    parser.add_argument("--dim", type=int, default=64)
    parser.add_argument("--rounds", type=int, help="5 on a CPU, 20 on a GPU")
    parser.add_argument("--graph", choices=["uniform", "power"], nargs="+", default=["uniform", "power"])
    parser.add_argument("--only", help=f"some of {','.join(CASES)}")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--dtype", choices=DTYPES, default="fp32", help="on a GPU; on a CPU fp32")
    args = parser.parse_args()
    gpu = args.device == "cuda"
    if gpu and not torch.cuda.is_available():
        print("no GPU here: nothing is measured. Leave --device out to measure on the CPU.")
        return
    warnings.filterwarnings("ignore", message=".*(in beta|prototype|invariant checks).*")
    entries = args.entries or (100_000 if args.quick else 10_000_000 if gpu else 1_000_000)
    rounds = args.rounds or (3 if args.quick else 20 if gpu else 5)
    where = torch.cuda.get_device_name() if gpu else f"CPU, {torch.get_num_threads()} threads"
    print(
        f"torch {torch.__version__}, {where}, {args.dtype if gpu else 'fp32'}, {entries} entries, d={args.dim}, {rounds} rounds"
    )
    for kind in args.graph:
        given = draw(kind, entries, args.dim, args.device, DTYPES[args.dtype] if gpu else torch.float32)
        for case in args.only.split(",") if args.only else CASES:
            ways = working(case, given, variants(case, given))
            times, memory = measure(case, given, ways, rounds)
            print(f"\n{case}, {kind}: forward and backward{'':6}{'ms':>10}{'ratio':>8}{'MiB':>8}")
            ratios = {}
            for name, found in times.items():
                ratios[name] = statistics.median(b / a for a, b in zip(times[OURS], found, strict=True))
                extra = memory[name] if gpu else peak(case, name, kind, entries, args.dim)
                print(f"{name:38}{statistics.median(found):>10.2f}{ratios[name]:>7.2f}x{extra:>8.0f}", flush=True)
            behind = 1 / min(ratios.values())
            if gpu:
                print(f"target, within {TARGET}x of the best: {behind:.2f}x, {'reached' if behind <= TARGET else 'MISSED'}")


if __name__ == "__main__":
    main()
