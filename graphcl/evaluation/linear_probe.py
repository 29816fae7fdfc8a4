"""How much of the classes a linear model reads off a frozen embedding."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
import torch
from sklearn.metrics import f1_score
from threadpoolctl import threadpool_limits
from torch import Tensor

from graphcl.errors import InputError
from graphcl.evaluation.clustering import Labels
from graphcl.evaluation.logistic import Matrix, logistic_path
from graphcl.evaluation.splits import Ids, Split

STRENGTHS = tuple(2.0**power for power in range(-10, 11))
BLOCK = 4096  # test nodes whose rows are float64 at a time


@dataclass(frozen=True)
class ProbeResult:
    """One split: the test scores of the model whose ``C`` was best on the validation nodes, fitted on the training nodes."""

    split: str
    accuracy: float
    macro_f1: float
    c: float
    val_accuracy: float


@dataclass(frozen=True)
class ProbeSummary:
    """All splits of one embedding.

    ``split_std`` is the spread over the splits of one embedding. It is not the spread of a method: that is taken over
    encoder seeds, of the means (``summarise`` of several ``metrics``).

    Args:
        protocol: Of the splits.
        stamp: What must stand beside the numbers, if anything.
        metrics: ``"acc"`` and ``"f1"`` (macro), means over the splits.
        split_std: The same names, sample deviation over the splits; 0 for a single one.
        splits: What each split gave.
    """

    protocol: str
    stamp: str | None
    metrics: Mapping[str, float]
    split_std: Mapping[str, float]
    splits: tuple[ProbeResult, ...]


def linear_probe(z: Tensor | npt.NDArray[np.floating], y: Tensor | Labels, splits: Sequence[Split]) -> ProbeSummary:
    """Accuracy and macro-F1 of multinomial logistic regression on unit rows of a frozen embedding.

    For each split, ``C`` of ``2^-10 .. 2^10`` is the one with the highest validation accuracy, the smallest of several; the
    model is the one fitted on the training nodes alone. Test labels are read once, by the score. Macro-F1 is the mean over
    the classes among the test nodes. Rows of zeros stay zeros.

    Time for each split ``O(n D min(n, D))`` and some 300 products of ``n x min(n, D)`` with ``min(n, D) x K``, for ``n``
    training nodes. On one thread, so that equal inputs give equal bits.

    Args:
        z: The embedding, or features, dense or ``torch.sparse_csr``; half precision is read as float32.
        y: Classes, ``>= 0`` for every node of a split.
        splits: Of one protocol.

    Shapes:
        z: ``(N, D)``; y: ``(N,)``.

    Raises:
        InputError: Other shapes or types, values that are not finite, no split or splits of two protocols, a split that
            names nodes that do not exist or have no class, or a class that no training node has.
    """
    embedding = _matrix(z)
    labels = _labels(y, embedding.shape[0])
    if not splits:
        raise InputError("splits is empty: random_splits and public_splits make them")
    protocols = sorted({split.protocol for split in splits})
    if len(protocols) > 1:
        raise InputError(f"splits of different protocols are never averaged; got {' and '.join(protocols)}")
    with threadpool_limits(1):
        results = tuple(_probe(embedding, labels, split) for split in splits)
    scores = {"acc": [result.accuracy for result in results], "f1": [result.macro_f1 for result in results]}
    distinct, of = len({split.name for split in splits}), splits[0].of
    return ProbeSummary(
        protocols[0],
        None if distinct == len(splits) == of else f"{distinct} of the {of} splits of the protocol",
        {name: float(np.mean(values)) for name, values in scores.items()},
        {name: float(np.std(values, ddof=1)) if len(values) > 1 else 0.0 for name, values in scores.items()},
        results,
    )


def _probe(embedding: npt.NDArray[np.floating] | sp.csr_matrix, y: Labels, split: Split) -> ProbeResult:
    _check_split(split, y)
    classes = np.unique(y[np.concatenate([split.train, split.val, split.test])])
    train, val = np.searchsorted(classes, y[split.train]), np.searchsorted(classes, y[split.val])
    missing = np.setdiff1d(np.arange(len(classes)), train)
    if missing.size:
        raise InputError(
            f"split '{split.name}': no training node has class {classes[missing[0]]} ({missing.size} of {len(classes)} classes "
            f"are missing among {len(train)} training nodes): a larger training share, or fewer and larger classes, are needed"
        )
    val_rows = _unit_rows(embedding, split.val)
    best, highest = None, -1.0
    for model in logistic_path(_unit_rows(embedding, split.train), train, len(classes), STRENGTHS):
        accuracy = float((model.logits(val_rows).argmax(1) == val).mean())
        if accuracy > highest:
            best, highest = model, accuracy
    assert best is not None  # the grid is not empty
    blocks = [split.test[start : start + BLOCK] for start in range(0, len(split.test), BLOCK)]
    predicted = classes[np.concatenate([best.logits(_unit_rows(embedding, ids)).argmax(1) for ids in blocks])]
    true = y[split.test]
    return ProbeResult(
        split.name,
        float((predicted == true).mean()),
        float(f1_score(true, predicted, labels=np.unique(true), average="macro", zero_division=0)),
        best.c,
        highest,
    )


def _unit_rows(embedding: npt.NDArray[np.floating] | sp.csr_matrix, ids: Ids) -> Matrix:
    rows = embedding[ids].astype(np.float64)
    if isinstance(rows, np.ndarray):
        # By the largest entry first, so that squares of tiny or huge entries stay within range.
        rows /= np.maximum(np.abs(rows).max(axis=1, keepdims=True), np.finfo(float).tiny)
        return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), np.finfo(float).tiny))
    norms = np.sqrt(np.asarray(rows.multiply(rows).sum(axis=1)).ravel())
    return sp.csr_matrix(sp.diags(1 / np.maximum(norms, np.finfo(float).tiny)) @ rows)


def _matrix(z: Tensor | npt.NDArray[np.floating]) -> npt.NDArray[np.floating] | sp.csr_matrix:
    if isinstance(z, np.ndarray):
        z = torch.from_numpy(np.ascontiguousarray(z))
    if z.ndim != 2 or 0 in z.shape or not z.is_floating_point() or z.layout not in (torch.strided, torch.sparse_csr):
        raise InputError(
            f"z must be (N, D) of a floating type, one row a node, dense or sparse_csr; got {tuple(z.shape)} of {z.dtype}, "
            f"{z.layout}"
        )
    z = z.detach().cpu()
    z = z if z.dtype in (torch.float32, torch.float64) else z.float()
    values = z if z.layout == torch.strided else z.values()
    if not bool(torch.isfinite(values).all()):
        where = f": row {int((~torch.isfinite(z)).nonzero()[0, 0])} is the first" if z.layout == torch.strided else ""
        raise InputError(f"z holds values that are not finite{where}. Did training diverge, or do features have gaps?")
    if z.layout == torch.strided:
        return np.asarray(z.numpy())
    return sp.csr_matrix((z.values().numpy(), z.col_indices().numpy(), z.crow_indices().numpy()), shape=(len(z), z.shape[1]))


def _labels(y: Tensor | Labels, nodes: int) -> Labels:
    array = np.asarray(y.detach().cpu().numpy() if isinstance(y, Tensor) else y)
    if array.ndim != 1 or array.dtype.kind not in "iu" or len(array) != nodes:
        raise InputError(
            f"y must be one integer class for each of the {nodes} rows of z; got shape {array.shape} of {array.dtype}"
            + (": a linear probe knows no multi-label data" if array.ndim == 2 else "")
        )
    return array.astype(np.int64)


def _check_split(split: Split, y: Labels) -> None:
    for part in (split.train, split.val, split.test):
        if part[-1] >= len(y):
            raise InputError(
                f"split '{split.name}' names node {part[-1]} but z has {len(y)} rows: was it made for another graph?"
            )
        unknown = part[y[part] < 0]
        if unknown.size:
            raise InputError(
                f"split '{split.name}' names node {unknown[0]}, which has no class (y = {y[unknown[0]]}): "
                "public_splits and random_splits leave such nodes out"
            )
