"""Sparse propagation against what PyTorch and PyG offer: forward, and forward with backward.

    python benchmarks/propagation.py [--quick] [--graph uniform zipf directed] [--dim 128] [--deterministic]
    GLIBC_TUNABLES=glibc.malloc.mmap_max=0:glibc.malloc.trim_threshold=4294967296 python benchmarks/propagation.py
    python benchmarks/propagation.py --panels

All variants multiply by the same normalised weights, are checked to give the same results and gradients, and take turns in one
process; a ratio is the median over the rounds of a variant's time divided by ours in the same round.

What was measured (2 cores, Zen 4 class CPU, torch 2.13; shared machine, so times move by a factor of two and ratios by a
quarter; 100k nodes, 1.1M entries, 9 rounds), forward + backward, ours in ms and the others as ratios to it:

                                  ours   CSR int64  CSR int32  EdgeIndex filled  made anew  edge_index path  COO
    uniform, d=64, as it is       53 ms       2.8x       2.5x              1.5x       2.3x            12.7x  8.8x
    zipf, d=64, as it is          88 ms       2.7x       2.4x              1.2x       1.8x             9.0x  4.9x
    directed, d=64, as it is      91 ms       4.0x       4.4x              1.7x       4.0x            10.8x  6.2x
    uniform, deterministic mode   53 ms       2.7x       1.9x              1.4x       1.8x            10.0x  7.2x
    uniform, d=128, as it is     186 ms       1.6x       1.5x              1.1x       1.3x             5.8x  2.0x
    uniform, d=64, tuned          42 ms       2.2x       1.8x              1.2x       1.8x             2.9x  6.4x
    zipf, d=64, tuned             39 ms       2.4x       2.0x              1.1x       1.7x             3.2x  5.6x

- As it is, both targets hold: 5x over PyG's edge_index path and 1.2x over plain CSR autograd. With the allocator tuned the
  first is MISSED: about four fifths of the edge_index path are page faults of its E x D messages (534 ms and more as it is,
  118 ms tuned), and the rest is 3x ours (3.7x to 4.2x while other programs competed for the cores). The second holds still.
- Where the time over plain CSR goes: a transposition in every backward (the larger part); a result that is filled with
  zeros, copied, and only then computed; 64-bit indices that are converted in every product (10 to 20 ms).
- At d=64 the features (26 MB) fit the third-level cache. At d=128 they do not, and MKL has a weak spot there: 41 ms a
  product (tuned) where `torch.sparse.mm(..., "sum")` takes 35, against 62 and 63 at d=256, 115 and 121 at d=512.
- Where the operand leaves the cache and 32 of its columns do not, products go panel by panel. A whole product over one in
  panels (forward, power-law graphs, one thread, 5 rounds; starred where panels are taken):

       5,000 nodes, 4 entries a row:    d=128 1.20x    d=256 0.95x    d=512 1.17x
       8,000 nodes, 30 entries a row:   d=128 1.36x    d=256 1.82x    d=512 1.67x*
      14,000 nodes, 35 entries a row:   d=128 1.35x    d=256 2.26x*   d=512 1.98x*
      20,000 nodes, 10 entries a row:   d=128 1.74x    d=256 2.05x*   d=512 1.57x*
      35,000 nodes, 14 entries a row:   d=128 1.83x*   d=256 1.77x*   d=512 1.45x*
      60,000 nodes, 10 entries a row:   d=128 1.30x*   d=256 1.44x*   d=512 1.17x*
      60,000 nodes, 30 entries a row:   d=128 1.85x*   d=256 1.45x*   d=512 1.55x*
     120,000 nodes, 30 entries a row:   d=128 1.23x    d=256 1.25x    d=512 1.04x

  While two other programs kept both cores busy the starred ones lay between 0.93x and 3.05x.
- EdgeIndex or CSR: CSR of our own. A filled EdgeIndex is 1.1x to 1.7x slower, permutes its weights anew in every backward,
  even of a symmetric operator, falls back to gather and scatter where the weights learn, and has to be kept and filled by
  the caller. Our adjacency takes one as input.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
import warnings
from collections.abc import Callable
from unittest.mock import patch

import torch
from torch import Tensor
from torch_geometric import EdgeIndex
from torch_geometric.nn import GCNConv

from graphcl.kernels import csr
from graphcl.kernels.adjacency import Adjacency
from graphcl.kernels.propagate import propagate

Operator = Callable[[Tensor], Tensor]

OURS = "graphcl propagate"
PLAIN = "torch CSR @ x (int64)"
PYG = "PyG edge_index (GCNConv.propagate)"


def draw_graph(kind: str, num_nodes: int, nnz: int) -> Tensor:
    """About ``nnz`` edges ``(2, E)`` without duplicates: uniform or zipf-like and undirected, or uniform and directed."""
    pairs = nnz if kind == "directed" else nnz // 2
    if kind == "zipf":
        share = torch.arange(1, num_nodes + 1, dtype=torch.float64) ** -0.7
        # Ids are shuffled, so that hubs do not happen to be neighbours in memory.
        ends = torch.randperm(num_nodes)[torch.multinomial(share, 2 * pairs, replacement=True)].view(2, pairs)
    else:
        ends = torch.randint(num_nodes, (2, pairs))
    edges = ends if kind == "directed" else torch.cat([ends, ends.flip(0)], dim=1)
    key = torch.unique(edges[0] * num_nodes + edges[1])
    return torch.stack([key // num_nodes, key % num_nodes])


def variants(edge_index: Tensor, num_nodes: int, dim: int, undirected: bool) -> dict[str, Operator]:
    """Every way to multiply by the same operator; all are given the same normalised weights."""
    adj = Adjacency.from_edge_index(edge_index, num_nodes)
    # Target after target, as (row, col) of the operator; PyG's flow has sources first.
    row, col, value = adj.pattern.row.long(), adj.pattern.col.long(), adj.values
    shape = (num_nodes, num_nodes)
    csr = torch.sparse_csr_tensor(adj.pattern.crow.long(), col, value, shape)
    csr32 = torch.sparse_csr_tensor(adj.pattern.crow, adj.pattern.col, value, shape)
    coo = torch.sparse_coo_tensor(torch.stack([row, col]), value, shape, is_coalesced=True)
    flow = torch.stack([col, row])
    conv = GCNConv(dim, dim, normalize=False, bias=False)
    pairs = torch.stack([row, col])

    def edge_index_object() -> EdgeIndex:
        return EdgeIndex(pairs, sparse_size=shape, sort_order="row", is_undirected=undirected)

    cached = edge_index_object().fill_cache_()

    def scatter(x: Tensor) -> Tensor:
        messages = x.index_select(0, col) * value.unsqueeze(1)
        return x.new_zeros(x.shape).scatter_add(0, row.unsqueeze(1).expand_as(messages), messages)

    return {
        OURS: lambda x: propagate(adj, x),
        PLAIN: lambda x: csr @ x,
        "torch CSR @ x (int32)": lambda x: csr32 @ x,
        "torch.sparse.mm(CSR, x, 'sum')": lambda x: torch.sparse.mm(csr, x, "sum"),
        "PyG EdgeIndex.matmul, cache filled": lambda x: cached.matmul(x, value),
        "PyG EdgeIndex.matmul, made anew": lambda x: edge_index_object().matmul(x, value),
        PYG: lambda x: conv.propagate(flow, x=x, edge_weight=value),
        "index_select * w, scatter_add": scatter,
        "torch COO @ x": lambda x: coo @ x,
    }


def check_equal(operators: dict[str, Operator], x: Tensor, grad: Tensor) -> None:
    """Stops unless all variants give the same result and the same gradient."""
    want: tuple[Tensor, Tensor] | None = None
    for name, operator in operators.items():
        leaf = x.clone().requires_grad_()
        out = operator(leaf)
        out.backward(grad)
        assert leaf.grad is not None
        if want is None:
            want = out.detach(), leaf.grad
        for got, expected, what in ((out.detach(), want[0], "result"), (leaf.grad, want[1], "gradient")):
            error = ((got - expected).norm() / expected.norm()).item()
            if not error < 1e-5:
                raise SystemExit(f"{name}: its {what} is off by {error:.1e} (relative); no times are given for unequal numbers")


def measure(
    operators: dict[str, Operator], x: Tensor, grad: Tensor, repeats: int
) -> dict[str, tuple[list[float], list[float]]]:
    """Milliseconds of each variant, forward and forward with backward; in turns, so that all see the same machine."""
    times: dict[str, tuple[list[float], list[float]]] = {name: ([], []) for name in operators}
    leaf = x.clone().requires_grad_()
    for _ in range(repeats):
        for name, operator in operators.items():
            with torch.no_grad():
                start = time.perf_counter()
                operator(x)
                times[name][0].append(1e3 * (time.perf_counter() - start))
            leaf.grad = None
            start = time.perf_counter()
            operator(leaf).backward(grad)
            times[name][1].append(1e3 * (time.perf_counter() - start))
    return times


def print_table(title: str, times: dict[str, tuple[list[float], list[float]]]) -> None:
    """Medians, and the median over the rounds of each variant's time divided by ours in the same round."""
    print(f"\n{title}\n{'':38}{'forward':>20}{'forward + backward':>24}")
    print(f"{'':38}{'ms':>10}{'ratio':>10}{'ms':>14}{'ratio':>10}")
    ratios: dict[str, float] = {}
    for name, rounds in times.items():
        cells = ""
        for ours, theirs, width in zip(times[OURS], rounds, (10, 14), strict=True):
            ratio = statistics.median(b / a for a, b in zip(ours, theirs, strict=True))
            cells += f"{statistics.median(theirs):>{width}.1f}{ratio:>9.2f}x"
        ratios[name] = ratio
        print(f"{name:38}{cells}")
    for name, target in ((PYG, 5.0), (PLAIN, 1.2)):
        verdict = "reached" if ratios[name] >= target else "MISSED"
        print(f"target, forward + backward: {target}x over {name}: {ratios[name]:.2f}x, {verdict}")


def panels(rounds: int) -> None:
    """A product of all columns at once over one of a panel after the other, in turns; whichever of them ours would choose."""
    for nodes, degree in (
        (5_000, 4),
        (8_000, 30),
        (14_000, 35),
        (20_000, 10),
        (35_000, 14),
        (60_000, 10),
        (60_000, 30),
        (120_000, 30),
    ):
        torch.manual_seed(0)
        adjacency = Adjacency.from_edge_index(draw_graph("zipf", nodes, nodes * degree), nodes)
        line = f"{nodes:7,} nodes, {degree} entries a row:"
        for dim in (128, 256, 512):
            x = torch.randn(nodes, dim)
            chosen = csr._pays_in_panels(adjacency.pattern.nnz, x)
            ratios = []
            for _ in range(rounds + 1):
                seconds = []
                for split in (False, True):
                    with patch.object(csr, "_pays_in_panels", lambda nnz, x, split=split: split):
                        start = time.process_time()
                        propagate(adjacency, x)
                        seconds.append(time.process_time() - start)
                ratios.append(seconds[0] / seconds[1])
            line += f"   d={dim} {statistics.median(ratios[1:]):.2f}x{'*' if chosen else ' '}"
        print(line, flush=True)
    print(f"* where ours takes panels: {csr.PANEL} columns, {csr.CACHE / 2**20:.0f} MiB of cache")


def main() -> None:
    """Reads the arguments, checks the variants against each other and times them."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--nodes", type=int, default=100_000)
    parser.add_argument("--edges", type=int, default=1_000_000, help="stored entries, both directions counted")
    parser.add_argument("--dim", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--graph", choices=["uniform", "zipf", "directed"], nargs="+", default=["uniform", "zipf", "directed"])
    parser.add_argument("--deterministic", action="store_true", help="under torch.use_deterministic_algorithms(True)")
    parser.add_argument("--quick", action="store_true", help="a tenth of the size, three rounds")
    parser.add_argument("--panels", action="store_true", help="products in panels of columns against whole ones, and no more")
    args = parser.parse_args()
    if args.quick:
        args.nodes, args.edges, args.repeats = args.nodes // 10, args.edges // 10, 3
    warnings.filterwarnings("ignore", message=".*(beta state|invariant checks).*")
    if args.panels:
        panels(args.repeats)
        return
    torch.use_deterministic_algorithms(args.deterministic)
    tunables = os.environ.get("GLIBC_TUNABLES")
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, deterministic {args.deterministic}")
    print(f"allocator: {tunables or 'as it is (GLIBC_TUNABLES not set)'}")
    for kind in args.graph:
        torch.manual_seed(0)
        edge_index = draw_graph(kind, args.nodes, args.edges)
        operators = variants(edge_index, args.nodes, args.dim, undirected=kind != "directed")
        x, grad = torch.randn(args.nodes, args.dim), torch.randn(args.nodes, args.dim)
        check_equal(operators, x, grad)
        title = f"{kind}: {args.nodes} nodes, {edge_index.size(1)} edges + loops, d={args.dim}, {args.repeats} rounds"
        print_table(title, measure(operators, x, grad, args.repeats))


if __name__ == "__main__":
    main()
