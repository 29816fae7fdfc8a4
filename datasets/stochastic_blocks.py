"""Generated graphs of any size whose communities are known: a stochastic block model with noisy features."""

from __future__ import annotations

import hashlib

import numpy as np
import torch
from numpy.typing import NDArray
from torch_geometric.data import Data

from graphcl.datasets.provenance import Provenance
from graphcl.errors import InputError

ROWS = 1 << 16  # of features that are drawn at a time


def block_model(
    num_nodes: int,
    num_edges: int,
    *,
    blocks: int = 10,
    inside: float = 0.8,
    features: int = 64,
    noise: float = 2.0,
    seed: int = 0,
) -> Data:
    """A graph with exactly so many edges, most of them within blocks of equal size, and features that lean to their block.

    Node ``i`` is in block ``i mod K``. An edge has a uniform end; the other is uniform in the same block with probability
    ``inside``, else uniform in the others. Edges are drawn one after the other, and those that are there already or loops are
    drawn again. Features are ``c_b + noise * e`` with a standard normal centre ``c_b`` for each block and ``e`` for each node.
    Time ``O(E log E + N F)``; memory that of the result and about as much again while edges are sorted.

    Holland, Laskey and Leinhardt, 1983, https://doi.org/10.1016/0378-8733(83)90021-7, with a number of edges that is given
    instead of probabilities.

    Args:
        num_nodes: ``N``, two for each block at least.
        num_edges: ``E``, undirected; at most a quarter of the pairs inside blocks, and of those between them.
        blocks: ``K``, ``>= 2``.
        inside: Probability that an edge stays in its block, ``0 .. 1``; ``1 / K`` is no structure at all.
        features: ``F``, ``>= 1``.
        noise: Deviation of a feature around its block's centre, ``>= 0``.
        seed: Of everything random.

    Shapes:
        returns: ``Data(x=(N, F) float32, edge_index=(2, 2E), y=(N,))``, both directions of every edge, sorted.

    Raises:
        InputError: A number out of range, or more edges than the blocks have room for.
    """
    _check(num_nodes, num_edges, blocks, inside, features, noise)
    rng = np.random.default_rng(seed)
    keys = np.empty(0, dtype=np.int64)
    while (missing := num_edges - keys.size) > 0:  # what is there stays, so that drawing goes on as one by one
        keys = _distinct(np.concatenate([keys, _draw(rng, missing, num_nodes, blocks, inside)]))
    index = _both_directions(keys, num_nodes)
    del keys
    y = np.arange(num_nodes, dtype=np.int64) % blocks
    centre = rng.standard_normal((blocks, features), dtype=np.float32)
    x = np.empty((num_nodes, features), dtype=np.float32)
    for start in range(0, num_nodes, ROWS):
        rows = x[start : start + ROWS]
        rng.standard_normal(out=rows, dtype=np.float32)
        rows *= np.float32(noise)
        rows += centre[y[start : start + ROWS]]
    data = Data(x=torch.from_numpy(x), edge_index=torch.from_numpy(index), y=torch.from_numpy(y))
    made = f"block_model({num_nodes}, {num_edges}, {blocks=}, {inside=}, {features=}, {noise=}, {seed=})"
    sizes = {"nodes": num_nodes, "edges": num_edges, "features": features, "classes": blocks}
    data.provenance = Provenance("block-model", "generated", made, "none needed", _checksum(made), sizes)
    return data


def _check(num_nodes: int, num_edges: int, blocks: int, inside: float, features: int, noise: float) -> None:
    if blocks < 2 or num_nodes < 2 * blocks:
        raise InputError(f"a block model needs 2 blocks and 2 nodes in each; got {num_nodes} nodes in {blocks} blocks")
    if not 0 <= inside <= 1:
        raise InputError(f"inside must be a probability in 0 .. 1; got {inside}")
    if features < 1 or not (np.isfinite(noise) and noise >= 0):
        raise InputError(f"features must be >= 1 and noise >= 0; got {features} and {noise}")
    size = num_nodes // blocks
    within = blocks * size * (size - 1) // 2
    between = blocks * (blocks - 1) // 2 * size * size
    most = int(min([room / share for room, share in ((within / 4, inside), (between / 4, 1 - inside)) if share > 0]))
    if not 1 <= num_edges <= most:
        raise InputError(
            f"num_edges must lie in 1 .. {most} for {num_nodes} nodes in {blocks} blocks with inside = {inside}; "
            f"got {num_edges}"
        )


def _draw(rng: np.random.Generator, count: int, n: int, k: int, inside: float) -> NDArray[np.int64]:
    """``(<= count,)`` keys ``min * n + max`` of edges, loops left out."""
    first = rng.integers(0, n, count)
    block = first % k
    away = rng.random(count) >= inside
    block = np.where(away, (block + rng.integers(1, k, count)) % k, block)
    members = (n - block + k - 1) // k  # node ids of a block are block, block + k, block + 2 k, ...
    second = block + k * rng.integers(0, members)
    keys = np.minimum(first, second) * n + np.maximum(first, second)
    proper: NDArray[np.int64] = keys[first != second]
    return proper


def _distinct(keys: NDArray[np.int64]) -> NDArray[np.int64]:
    keys.sort()
    first = np.ones(keys.size, dtype=bool)
    np.not_equal(keys[1:], keys[:-1], out=first[1:])
    return keys[first]


def _both_directions(keys: NDArray[np.int64], n: int) -> NDArray[np.int64]:
    low, high = np.divmod(keys, n)
    both = np.concatenate([keys, high * n + low])
    del low, high
    both.sort()
    index = np.empty((2, both.size), dtype=np.int64)
    np.divmod(both, n, out=(index[0], index[1]))
    return index


def _checksum(made: str) -> str:
    return hashlib.sha256(made.encode()).hexdigest()
