"""Which nodes a probe learns from, which choose its strength, and which it is judged by."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch_geometric.data import Data

from graphcl.errors import InputError, unknown_name

Ids = npt.NDArray[np.int64]
PROTOCOLS = ("public", "random")
COUNT = 20  # random splits that make up the protocol
MASKS = ("train_mask", "val_mask", "test_mask")


@dataclass(frozen=True, eq=False)
class Split:
    """Three sets of nodes without a node in common, each sorted.

    Args:
        name: Of this split: ``"public"``, ``"public 3"``, ``"seed 7"``.
        protocol: Of all its siblings; results of two protocols never share a table.
        of: How many splits the protocol consists of.
        train: Nodes that are learnt from.
        val: Nodes that hyper-parameters are chosen on.
        test: Nodes that are only scored.

    Shapes:
        train, val, test: ``(N_train,)``, ``(N_val,)``, ``(N_test,)`` int64.

    Raises:
        InputError: An empty part, ids that are no ids, or a node that is listed twice.
    """

    name: str
    protocol: str
    of: int
    train: Ids
    val: Ids
    test: Ids

    def __post_init__(self) -> None:
        for part in ("train", "val", "test"):
            ids = np.asarray(getattr(self, part))
            if ids.ndim != 1 or ids.size == 0 or ids.dtype.kind not in "iu":
                raise InputError(
                    f"split '{self.name}': {part} must be a non-empty vector of node ids; got {ids.dtype} of shape {ids.shape}"
                    ". A mask becomes ids by numpy.flatnonzero."
                )
            object.__setattr__(self, part, np.sort(ids.astype(np.int64)))
        everything = np.sort(np.concatenate([self.train, self.val, self.test]))
        if everything[0] < 0:
            raise InputError(f"split '{self.name}': node ids start at 0; got {everything[0]}")
        again = everything[1:][everything[1:] == everything[:-1]]
        if again.size:
            raise InputError(
                f"split '{self.name}': train, val and test must not share nodes; node {again[0]} is listed twice "
                f"({np.unique(again).size} such nodes): a score on nodes that were learnt from is no test score"
            )


def node_splits(data: Data, protocol: str, count: int = COUNT) -> list[Split]:
    """The splits of a protocol by its name: ``"public"`` or ``"random"``.

    Args:
        data: The graph.
        protocol: The name. An unknown one is an error, never a silent other split.
        count: How many of the random splits; of no effect on the public ones.

    Raises:
        InputError: An unknown name, or data that has no such splits.
    """
    if protocol not in PROTOCOLS:
        raise unknown_name("split protocol", protocol, PROTOCOLS)
    return public_splits(data) if protocol == "public" else random_splits(data, count)


def public_splits(data: Data) -> list[Split]:
    """The splits that were published with the data: one for each column of its masks.

    A mask of one column serves all columns of the others, as WikiCS has 20 training sets and one test set. Nodes without a
    class are left out.

    Args:
        data: With ``y``, ``train_mask``, ``val_mask`` and ``test_mask``.

    Shapes:
        masks: ``(N,)`` or ``(N, S)`` bool; returns: ``S`` splits.

    Raises:
        InputError: No masks, masks that are no masks or differ in columns, an empty part, or parts that overlap.
    """
    labelled = labelled_nodes(data)
    missing = [key for key in MASKS if key not in data or data[key] is None]
    if missing:
        raise InputError(
            f"the data has no public split (no {', '.join(missing)}): use the random splits, and say so beside the numbers"
        )
    masks = [_columns(data[key], key, len(labelled)) & labelled[:, None] for key in MASKS]
    count = max(mask.shape[1] for mask in masks)
    if any(mask.shape[1] not in (1, count) for mask in masks):
        found = ", ".join(f"{key} {mask.shape[1]}" for key, mask in zip(MASKS, masks, strict=True))
        raise InputError(f"the masks must have one column or the same number of columns; got {found}")
    return [
        Split(
            "public" if count == 1 else f"public {column}",
            "public",
            count,
            *(np.flatnonzero(mask[:, min(column, mask.shape[1] - 1)]) for mask in masks),
        )
        for column in range(count)
    ]


def random_splits(data: Data, count: int = COUNT, *, train: float = 0.1, val: float = 0.1) -> list[Split]:
    """Random splits of the nodes that have a class, the same ones every time: split ``i`` is drawn with seed ``i``.

    Uniform, without regard to the classes. Sizes are rounded down for the first two parts; the third takes what is left.

    Args:
        data: With ``y``.
        count: How many, ``>= 1``.
        train: Share of nodes to learn from.
        val: Share of nodes to choose by.

    Shapes:
        returns: ``count`` splits.

    Raises:
        InputError: No labels, shares that leave nothing to test on, or too few nodes for them.
    """
    if count < 1:
        raise InputError(f"count must be 1 or more splits; got {count}")
    if not (train > 0 and val > 0 and train + val < 1):
        raise InputError(f"the shares train and val must be > 0 and leave something for test; got {train} and {val}")
    nodes = np.flatnonzero(labelled_nodes(data))
    first = int(train * len(nodes) + 1e-9)
    second = first + int(val * len(nodes) + 1e-9)
    if first == 0 or second == first:
        raise InputError(f"{len(nodes)} nodes with a class are too few for shares of {train} and {val}: a part would be empty")
    protocol = f"random {100 * train:.3g}/{100 * val:.3g}/{100 * (1 - train - val):.3g}"
    splits = []
    for seed in range(count):
        # The legacy generator: its stream is frozen, so the splits stay the same whatever version is installed.
        order = np.random.RandomState(seed).permutation(nodes)
        splits.append(Split(f"seed {seed}", protocol, COUNT, *np.split(order, [first, second])))
    return splits


def labelled_nodes(data: Data) -> npt.NDArray[np.bool_]:
    """Mask of the nodes that have a class: ``y >= 0`` and not marked in ``unlabelled``.

    Shapes:
        returns: ``(N,)``.

    Raises:
        InputError: No ``y``, or one that is not one class a node.
    """
    y = data.y if "y" in data else None
    if y is None:
        raise InputError("the data has no y: node classification needs one class a node")
    if y.ndim != 1 or len(y) != data.num_nodes or y.is_floating_point() or y.is_complex():
        raise InputError(
            f"y must be one integer class for each of the {data.num_nodes} nodes; got shape {tuple(y.shape)} of {y.dtype}"
            + (": splits and probes know no multi-label data" if y.ndim == 2 else "")
        )
    known = y >= 0
    if "unlabelled" in data:
        known = known & ~data.unlabelled
    return np.asarray(known.cpu().numpy(), dtype=np.bool_)


def _columns(mask: Tensor, key: str, nodes: int) -> npt.NDArray[np.bool_]:
    if mask.dtype != torch.bool or mask.ndim not in (1, 2) or len(mask) != nodes:
        raise InputError(f"{key} must be bool of shape ({nodes},) or ({nodes}, S); got {tuple(mask.shape)} of {mask.dtype}")
    array = np.asarray(mask.cpu().numpy(), dtype=np.bool_)
    return array if array.ndim == 2 else array[:, None]
