"""How well an embedding tells edges it never saw from pairs that are no edges."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
import torch
from sklearn.metrics import average_precision_score, roc_auc_score
from threadpoolctl import threadpool_limits
from torch import Tensor

from graphcl.errors import InputError
from graphcl.evaluation.linear_probe import STRENGTHS
from graphcl.evaluation.link_split import LinkSplit, check_no_leak
from graphcl.evaluation.logistic import logistic_path

Decoder = Literal["dot", "hadamard"]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class LinkResult:
    """Test and validation scores of one embedding.

    Args:
        protocol: Shares, seed and decoder.
        auc: Area under the ROC curve of the test pairs.
        ap: Average precision of the test pairs.
        val_auc: Of the validation pairs; what hyper-parameters are chosen by.
        val_ap: Of the validation pairs.
        c: Strength of the probe, chosen by ``val_auc``; ``None`` for the dot product, which has none.
    """

    protocol: str
    auc: float
    ap: float
    val_auc: float
    val_ap: float
    c: float | None


def link_prediction(z: Tensor, split: LinkSplit, *, message_edges: Tensor, decoder: Decoder = "dot") -> LinkResult:
    """AUC and AP of held-out edges against sampled non-edges.

    ``"dot"`` scores a pair by ``sigma(z_u . z_v)``. It is ranked by the product itself: the sigmoid keeps the order, but
    rounds large products to equal ones. ``"hadamard"`` is logistic regression on ``z_u * z_v`` of unit rows, times the root
    of ``D`` so that features are of the size of one, fitted on the training pairs, with ``C`` of ``2^-10 .. 2^10`` chosen by
    validation AUC. Test pairs are read once, by the scores. Memory of the probe: three arrays of ``2 E_train x D`` float64.

    Args:
        z: The embedding of every node, from an encoder trained on ``message_edges`` and run on them.
        split: The edges.
        message_edges: The edges that the encoder was given, in training and in embedding; checked to hold no edge of
            validation or test.
        decoder: ``"dot"`` or ``"hadamard"``.

    Shapes:
        z: ``(N, D)``; message_edges: ``(2, E)``.

    Raises:
        InputError: A leak, another number of nodes, values that are not finite, an unknown decoder.
    """
    if decoder not in get_args(Decoder):
        raise InputError(f"decoder must be one of {', '.join(get_args(Decoder))}; got '{decoder}'")
    check_no_leak(message_edges, split)
    rows = _rows(z, split.num_nodes)
    with threadpool_limits(1):
        if decoder == "dot":
            val, test = (_products(rows, pairs).sum(1) for pairs in (_both(split, "val"), _both(split, "test")))
            c = None
        else:
            val, test, c = _probe(rows, split)
    return LinkResult(f"{split.protocol}, {decoder}", *_scores(test), *_scores(val), c)


def _probe(rows: Floats, split: LinkSplit) -> tuple[Floats, Floats, float]:
    """Scores of validation and test pairs, and the strength that did best on the former."""
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    unit = rows / np.maximum(norms, np.finfo(float).tiny) * rows.shape[1] ** 0.25  # the product of two has root D
    train = _products(unit, _both(split, "train"))
    truth = _truth(len(train)).astype(np.int64)
    val = _products(unit, _both(split, "val"))
    best, highest, scores = None, -1.0, np.empty(0)
    for model in logistic_path(train, truth, 2, STRENGTHS):
        margin = np.asarray(model.logits(val) @ [-1.0, 1.0])
        auc = _scores(margin)[0]
        if auc > highest:
            best, highest, scores = model, auc, margin
    assert best is not None  # the grid is not empty
    return scores, np.asarray(best.logits(_products(unit, _both(split, "test"))) @ [-1.0, 1.0]), best.c


def _both(split: LinkSplit, part: Literal["train", "val", "test"]) -> Tensor:
    """``(2, 2E)``, edges first, then as many non-edges."""
    return torch.cat([getattr(split, part), getattr(split, f"{part}_negatives")], 1)


def _products(rows: Floats, pairs: Tensor) -> Floats:
    low, high = pairs.numpy()
    return np.asarray(rows[low] * rows[high])


def _truth(pairs: int) -> npt.NDArray[np.bool_]:
    return np.arange(pairs) < pairs // 2


def _scores(values: Floats) -> tuple[float, float]:
    """AUC and AP of scores whose first half belongs to edges."""
    truth = _truth(len(values))
    return float(roc_auc_score(truth, values)), float(average_precision_score(truth, values))


def _rows(z: Tensor, nodes: int) -> Floats:
    if z.ndim != 2 or len(z) != nodes or not z.is_floating_point() or z.layout != torch.strided:
        raise InputError(
            f"z must be (N, D) of a floating type with a row for each of the {nodes} nodes; got {tuple(z.shape)} of {z.dtype}"
        )
    if not bool(torch.isfinite(z).all()):
        raise InputError("z holds values that are not finite. Did training diverge?")
    return np.asarray(z.detach().cpu().double().numpy())
