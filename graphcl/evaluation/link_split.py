"""Edges to be predicted: held out of the graph, with as many pairs that are no edges, and a check that they stayed out."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch_geometric.data import Data

from graphcl.errors import InputError

Keys = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class LinkSplit:
    """The undirected edges of a graph in three parts, and as many non-edges for each.

    A pair is listed once, the smaller id first; no pair is in two of the six sets.

    Shapes:
        train, val, test: ``(2, E_train)``, ``(2, E_val)``, ``(2, E_test)`` int64; the ``*_negatives``: the same.
    """

    protocol: str
    num_nodes: int
    train: Tensor
    val: Tensor
    test: Tensor
    train_negatives: Tensor
    val_negatives: Tensor
    test_negatives: Tensor

    @property
    def message_edges(self) -> Tensor:
        """``(2, 2 E_train)``: both directions of the training edges, all that an encoder may see."""
        return torch.cat([self.train, self.train.flip(0)], 1)


def split_links(edge_index: Tensor, num_nodes: int, *, seed: int = 0, val: float = 0.05, test: float = 0.10) -> LinkSplit:
    """Splits the undirected edges at random, 85/5/10 unless told otherwise, and draws as many non-edges for each part.

    Each undirected edge goes to one side, in both directions. Self-loops are no links: they are neither split nor drawn.
    Non-edges are drawn uniformly, without repeats, from all pairs that are an edge nowhere: neither in training, nor in
    validation or test. Drawn pairs that are edges are rejected, or, where more than a quarter would be, the non-edges are
    listed. Time ``O(E log E)``, memory ``O(E)``.

    Args:
        edge_index: Directed or undirected, with or without repeats and loops.
        num_nodes: ``N``.
        seed: The same one gives the same split.
        val: Share of the edges for validation.
        test: Share of the edges for the test.

    Shapes:
        edge_index: ``(2, E)``.

    Raises:
        InputError: Ids out of range, shares that leave nothing to train on, too few edges, or fewer non-edges than edges.
    """
    if not (val > 0 and test > 0 and val + test < 1):
        raise InputError(f"the shares val and test must be > 0 and leave something for training; got {val} and {test}")
    keys = _keys(edge_index, num_nodes, "edge_index")
    edges = _distinct(keys[keys % num_nodes != keys // num_nodes])
    last = int(test * len(edges) + 1e-9)
    middle = int(val * len(edges) + 1e-9)
    if last == 0 or middle == 0:
        raise InputError(f"{len(edges)} undirected edges are too few for shares of {val} and {test}: a part would be empty")
    # The legacy generator: its stream is frozen, so a seed means the same split whatever version is installed.
    random = np.random.RandomState(seed)
    non_edges = _non_edges(edges, num_nodes, random)
    bounds = [len(edges) - middle - last, len(edges) - last]
    parts = [*np.split(random.permutation(edges), bounds), *np.split(non_edges, bounds)]
    shares = f"{100 * (1 - val - test):.3g}/{100 * val:.3g}/{100 * test:.3g}"
    return LinkSplit(f"links {shares}, seed {seed}", num_nodes, *(_pairs(part, num_nodes) for part in parts))


def hide_links(data: Data, split: LinkSplit) -> Data:
    """The graph that an encoder may see: a shallow copy without the validation and test edges, in either direction.

    Weights and attributes of edges go with them; self-loops and repeats of training edges stay. Whatever else was computed
    from the whole graph, such as centralities, communities or positional features in ``x``, must be computed anew.

    Args:
        data: The graph that was split.
        split: Its split.

    Raises:
        InputError: Another number of nodes, or ids out of range.
    """
    if data.num_nodes != split.num_nodes:
        raise InputError(f"the split is of a graph of {split.num_nodes} nodes; got one of {data.num_nodes}")
    held_out = _held_out(split)
    kept = ~np.isin(_keys(data.edge_index, split.num_nodes, "edge_index"), held_out)
    keep = torch.from_numpy(np.flatnonzero(kept)).to(data.edge_index.device)
    hidden = copy.copy(data)
    for key in data.edge_attrs():
        if isinstance(data[key], Tensor):
            hidden[key] = data[key].index_select(data.__cat_dim__(key, data[key]), keep)
    check_no_leak(hidden.edge_index, split)
    return hidden


def check_no_leak(edge_index: Tensor, split: LinkSplit) -> None:
    """Refuses a graph for message passing that holds a validation or test edge, in either direction.

    Time ``O(E log E)``.

    Shapes:
        edge_index: ``(2, E)``.

    Raises:
        InputError: The first edge that leaks, and how many do.
    """
    keys = _keys(edge_index, split.num_nodes, "the edges of message passing")
    leaks = np.isin(keys, _held_out(split))
    if leaks.any():
        first = int(np.flatnonzero(leaks)[0])
        source, target = (int(node) for node in edge_index[:, first])
        raise InputError(
            f"{np.unique(keys[leaks]).size} held-out edges are in the graph of message passing, the first is {source} -> "
            f"{target}: train and embed on hide_links(data, split), or on split.message_edges"
        )


def _held_out(split: LinkSplit) -> Keys:
    return np.concatenate([_keys(part, split.num_nodes, "the split") for part in (split.val, split.test)])


def _keys(edge_index: Tensor, num_nodes: int, name: str) -> Keys:
    """One number a pair, the same for both directions."""
    if edge_index.ndim != 2 or len(edge_index) != 2 or edge_index.dtype not in (torch.int64, torch.int32):
        raise InputError(f"{name} must be (2, E) integers; got {tuple(edge_index.shape)} of {edge_index.dtype}")
    index = edge_index.detach().cpu().numpy().astype(np.int64)
    if index.size and (index.min() < 0 or index.max() >= num_nodes):
        raise InputError(f"{name} must name nodes 0 .. {num_nodes - 1}; got {index.min()} .. {index.max()}: ids start at 0")
    return np.asarray(index.min(axis=0) * num_nodes + index.max(axis=0))


def _pairs(keys: Keys, num_nodes: int) -> Tensor:
    return torch.from_numpy(np.stack(np.divmod(np.sort(keys), num_nodes)))


def _non_edges(edges: Keys, num_nodes: int, random: np.random.RandomState) -> Keys:
    """As many pairs as there are edges, none of them an edge, each pair once, in random order; ``edges`` are sorted."""
    need = len(edges)
    pairs = num_nodes * (num_nodes - 1) // 2
    if pairs - need < need:
        raise InputError(
            f"the graph has {need} edges and only {pairs - need} pairs without one: there are too few non-edges to compare with"
        )
    if pairs < 8 * need:  # all pairs are then O(E)
        low, high = np.triu_indices(num_nodes, 1)
        everything = low.astype(np.int64) * num_nodes + high
        return np.asarray(random.permutation(np.setdiff1d(everything, edges, assume_unique=True))[:need])
    found = np.empty(0, dtype=np.int64)
    while len(found) < need:
        ends = random.randint(0, num_nodes, size=(2, need + need // 4 + 8), dtype=np.int64)
        drawn = ends.min(axis=0) * num_nodes + ends.max(axis=0)
        drawn = drawn[(ends[0] != ends[1]) & (edges[np.minimum(np.searchsorted(edges, drawn), need - 1)] != drawn)]
        found = _distinct(np.concatenate([found, drawn]))
    # Sorted by now: a random subset of what was found, not its smallest ids.
    return np.asarray(random.permutation(found)[:need])


def _distinct(keys: Keys) -> Keys:
    # np.unique hashes integers, which is several times slower than sorting when nearly all of them differ.
    ordered = np.sort(keys)
    first = np.ones(ordered.size, dtype=bool)
    np.not_equal(ordered[1:], ordered[:-1], out=first[1:])
    return ordered[first]
