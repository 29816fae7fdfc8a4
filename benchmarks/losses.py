"""Every loss that sweeps over all pairs, forward and backward, per pair product against InfoNCE.

    python benchmarks/losses.py [--nodes 16384] [--dim 128] [--rounds 3] [--quick] [--only nt-xent,dhel]

A loss may need more than one sweep; what counts is what a product of one anchor with one candidate costs it, with all that
is done to it on the way. Pairs are counted where tiles are made, in the forward pass. Each loss takes turns with InfoNCE in one
process; the ratio is the median over the rounds. The target is 1.5.

What was measured (2 cores of a shared server, torch 2.13, nothing else running, --rounds 1), N=16,384, d=128: InfoNCE 2.6 s;
per pair product nothing costs more than 1.33 of it (kcl with the inverse multiquadric 1.33, kernel-info-nce with plain
distances 1.20, debiased and decoupled-softmax 1.12, uniformity 1.10; all others 0.87 to 1.08). Sweeps over all pairs: NT-Xent
and its kin 2, of which a set with itself is one half twice; DHEL 1; SupCon 2, inside the logarithm 4; HCL and the moving
averages 4; iSogCLR 8.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from unittest.mock import patch

import torch
import torch.nn.functional as F
from torch import Tensor

from graphcl import losses
from graphcl.kernels import IMQKernel, LogKernel
from graphcl.kernels.pair_tiles import PairTiles
from graphcl.negatives import HCL, Debiased, Meow

CLASSES = 10
Call = Callable[[Tensor, Tensor], Tensor]


def calls(n: int) -> dict[str, Call]:
    """The losses, ready for two views."""
    labels = torch.arange(n) % CLASSES
    several = torch.stack([labels, torch.arange(n) % 7, torch.arange(n) % 3], 1)
    ids = torch.arange(n)
    decoupled_softmax, supcon, within = losses.DecoupledSoftmax(0.5), losses.SupCon(0.5), losses.SupCon(0.5, positives="in")
    nscl, fair, sogclr = losses.NSCL(0.5), losses.CCLK(0.5), losses.SogCLR(n, temperature=0.5)
    full, uniformity, isogclr = losses.FullSoftmax(0.5), losses.Uniformity(), losses.ISogCLR(n)
    return {
        "info-nce": losses.InfoNCE(0.5),
        "nt-xent": losses.NTXent(0.5),
        "nt-xent, one label no negatives": lambda a, z: nscl(a, z, ids=labels),
        "dcl": losses.DCL(0.5),
        "dclw": losses.DCLW(0.5),
        "dhel": losses.DHEL(0.5),
        "mv-info-nce": losses.MVInfoNCE(0.5),
        "mv-dhel": losses.MVDHEL(0.5),
        "a-info-nce": losses.AInfoNCE(0.5),
        "debiased": losses.InfoNCE(0.5, negatives=Debiased()),
        "hcl": losses.InfoNCE(0.5, negatives=HCL()),
        "meow, three clusterings": losses.InfoNCE(0.5, negatives=Meow(several)),
        "sog-clr": lambda a, z: sogclr(a, z, ids=ids),
        "isog-clr": lambda a, z: isogclr(a, z, ids=ids),
        "kernel-info-nce, gamma 2": losses.KernelInfoNCE(0.5),
        "kernel-info-nce, gamma 1": losses.KernelInfoNCE(0.5, gamma=1.0),
        "cwcl": losses.CWCL(0.5),
        "ccl-k": lambda a, z: fair(a, z, labels=labels),
        "sup-con, out": lambda a, z: supcon(a, z, labels=labels),
        "sup-con, in": lambda a, z: within(a, z, labels=labels),
        "decoupled-softmax": lambda a, z: decoupled_softmax(a, z, labels=labels),
        "full-softmax": lambda a, z: full(a, z, ids),
        "kcl, Gaussian": losses.KCL(),
        "kcl, inverse multiquadric": losses.KCL(kernel=IMQKernel()),
        "kcl, logarithm": losses.KCL(kernel=LogKernel()),
        "uniformity": lambda a, z: uniformity(a) + uniformity(z),
        "decoupled-uniformity": losses.DecoupledUniformity(),
    }


def step(call: Call, a: Tensor, z: Tensor) -> None:
    """Forward and backward."""
    torch.autograd.grad(call(a, z), (a, z), allow_unused=True)


def pairs(call: Call, a: Tensor, z: Tensor) -> int:
    """How many pair products the forward pass makes."""
    met, product = [0], PairTiles.product

    def counted(self: PairTiles, rows: slice, columns: slice) -> Tensor:
        met[0] += (rows.stop - rows.start) * (columns.stop - columns.start)
        return product(self, rows, columns)

    with patch.object(PairTiles, "product", counted), torch.no_grad():
        call(a, z)
    return met[0]


def seconds(call: Call, a: Tensor, z: Tensor) -> float:
    """Of one step."""
    start = time.perf_counter()
    step(call, a, z)
    return time.perf_counter() - start


def main() -> None:
    """Times every loss in turns with InfoNCE."""
    parser = argparse.ArgumentParser(description="Losses per pair product.")
    parser.add_argument("--nodes", type=int, default=16_384)
    parser.add_argument("--dim", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="2048 nodes")
    parser.add_argument("--only", default="", help="some of the names, by commas")
    options = parser.parse_args()
    n = 2048 if options.quick else options.nodes
    torch.manual_seed(0)
    a, z = (F.normalize(torch.randn(n, options.dim), dim=1).requires_grad_() for _ in range(2))
    known = calls(n)
    base = known["info-nce"]
    base_pairs = pairs(base, a, z)
    step(base, a, z)
    print(f"N={n}, d={options.dim}, fp32, {torch.get_num_threads()} threads, median of {options.rounds}")
    for name, call in known.items():
        if options.only and name not in options.only.split(","):
            continue
        share = pairs(call, a, z) / base_pairs
        times = [(seconds(base, a, z), seconds(call, a, z)) for _ in range(options.rounds)]
        ratio = statistics.median(mine / least / share for least, mine in times)
        verdict = "" if ratio <= 1.5 else "  MISSED"
        print(
            f"{name:32s} {share:5.2f} sweeps {statistics.median(t for _, t in times):7.3f} s  {ratio:5.2f}{verdict}", flush=True
        )


if __name__ == "__main__":
    main()
