"""What losses over anchors share: ids that tell who is who, and the mean over the anchors that have something to say."""

from __future__ import annotations

import torch
from torch import Tensor

from graphcl.errors import InputError


def check_ids(name: str, ids: Tensor, num_rows: int, *, differ: bool = True) -> Tensor:
    """The ids themselves, or an `InputError` that says what is wrong with them.

    Whether any two differ is asked on the CPU only: elsewhere the answer would stall the device.

    Args:
        name: What the message calls them.
        ids: Integers; rows with equal ones are not negatives of each other.
        num_rows: ``N``.
        differ: Whether at least two ids must differ, so that there are negatives.

    Shapes:
        ids: ``(N,)``; returns: the same.

    Raises:
        InputError: Another shape, not integers, all equal.
    """
    if ids.shape != (num_rows,):
        raise InputError(f"{name} must be ({num_rows},), one for each row of a view; got {tuple(ids.shape)}")
    if ids.is_floating_point() or ids.is_complex():
        raise InputError(f"{name} must be integers, or ids that should be equal may differ; got {ids.dtype}. Use .long().")
    if differ and num_rows and not ids.is_cuda and bool((ids == ids[0]).all()):
        raise InputError(
            f"{name} are all equal to {int(ids[0])}, so no anchor has a negative; at least two must differ: "
            "sample batches that mix them"
        )
    return ids


def anchor_mean(terms: Tensor, weight: Tensor | None = None, has: Tensor | None = None) -> Tensor:
    """``sum_i w_i terms_i / sum_i w_i`` over the anchors that take part; gradients go to terms and weights.

    Args:
        terms: One number an anchor; those that do not take part may hold anything.
        weight: Of each anchor, ``>= 0``; all equal when ``None``.
        has: Which anchors take part; all when ``None``.

    Shapes:
        terms, weight: ``(N,)``; has: ``(N,)`` bool; returns: scalar.

    Raises:
        InputError: Weights of another shape, negative or not finite; none above zero among the anchors that take part.
    """
    if has is not None:
        terms = torch.where(has, terms, 0.0)
    if weight is None:
        return terms.mean() if has is None else terms.sum() / has.sum()
    if weight.shape != terms.shape:
        raise InputError(f"weight must be {tuple(terms.shape)}, one for each anchor; got {tuple(weight.shape)}")
    weight = weight.to(terms.dtype)
    if has is not None:
        weight = torch.where(has, weight, 0.0)
    if not weight.is_cuda and not (bool((weight >= 0).all()) and bool(weight.isfinite().all()) and bool((weight > 0).any())):
        raise InputError(
            "weight must be finite, >= 0 and above 0 for an anchor that takes part; "
            f"got values from {weight.min():g} to {weight.max():g}"
        )
    return (weight * terms).sum() / weight.sum()
