"""Agreement without negatives: an online network predicts what a slowly moving copy of it sees."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn

from graphcl.errors import InputError
from graphcl.losses.anchors import anchor_mean
from graphcl.losses.binary import checked
from graphcl.losses.views import unit_rows


class Bootstrap(nn.Module):
    """Distance between the online network's prediction and the target network's embedding of the other view.

    ``mean_i 2 - 2 cos(q_i, t_i)`` with ``t`` a constant: no gradient flows into the target. ``loss(q1, t2)`` is one direction;
    ``loss(q1, t2, q2, t1)`` joins both. Nothing but the predictor and the slow target keeps the embeddings from collapsing.
    A row of zeros is worth 2 and gets no gradient. Time and memory ``O(N D)``.
    Grill et al., 2020 (BYOL), https://arxiv.org/abs/2006.07733, and Thakoor et al., 2022 (BGRL),
    https://arxiv.org/abs/2102.06514. Differs: both directions are averaged unless told otherwise, where BYOL adds them.

    Args:
        symmetric: Both directions averaged or added; without effect on one.

    Shapes:
        all: ``(N, D)``; weight: ``(N,)``; returns: scalar in ``[0, 4]``, or ``[0, 8]`` for a sum.

    Raises:
        InputError: Shapes differ, no rows, values that are not finite, the way back given by half, or weights that are
            negative or all zero.
    """

    def __init__(self, *, symmetric: Literal["mean", "sum"] = "mean") -> None:
        super().__init__()
        if symmetric not in ("mean", "sum"):
            raise InputError(f"symmetric must be 'mean' or 'sum'; got '{symmetric}'. For one direction call loss(q1, t2).")
        self.symmetric = symmetric

    def forward(
        self,
        prediction: Tensor,
        target: Tensor,
        back_prediction: Tensor | None = None,
        back_target: Tensor | None = None,
        *,
        weight: Tensor | None = None,
    ) -> Tensor:
        """The loss of one direction, or of both.

        Args:
            prediction: The online network's prediction from the first view.
            target: The target network's embedding of the second view.
            back_prediction: The same with the views exchanged; both or neither.
            back_target: See ``back_prediction``.
            weight: Of the rows in a weighted mean, in both directions, ``>= 0``; all equal when ``None``.
        """
        loss = _one_way(prediction, target, weight)
        if back_prediction is None and back_target is None:
            return loss
        if back_prediction is None or back_target is None:
            raise InputError("both directions take four tensors: loss(prediction1, target2, prediction2, target1)")
        back = _one_way(back_prediction, back_target, weight)
        return loss + back if self.symmetric == "sum" else (loss + back) / 2

    def extra_repr(self) -> str:
        """How the directions are joined, for ``print``."""
        return f"symmetric={self.symmetric}"


def update_target(target: nn.Module, online: nn.Module, momentum: float) -> None:
    """Moves every parameter of the target, ``t = m t + (1 - m) o``, in place and without gradients.

    Buffers stay the target's own: its batch statistics come from its own passes, in training mode. Keep the target in float32
    or wider, since a step of ``1 - m`` vanishes in half precision. Grill et al., 2020, https://arxiv.org/abs/2006.07733.

    Args:
        target: The slow copy, made once by ``copy.deepcopy(online)``.
        online: The network that is trained; without the predictor, which the target does not have.
        momentum: What the target keeps, from 0 (all replaced) to 1 (nothing moves).

    Raises:
        InputError: Momentum out of range, parameters that do not match by name and shape, or that are the same tensors.
    """
    if not 0 <= momentum <= 1:
        raise InputError(f"momentum must lie in 0 .. 1, the share that the target keeps; got {momentum}")
    slow, fast = dict(target.named_parameters()), dict(online.named_parameters())
    if odd := sorted(slow.keys() ^ fast.keys()):
        raise InputError(f"target and online must have the same parameters; only one of them has '{odd[0]}'. Leave out heads.")
    for name, own in slow.items():
        if own is fast[name]:
            raise InputError(f"target and online share '{name}': make the target by copy.deepcopy(online)")
        if own.shape != fast[name].shape:
            raise InputError(
                f"'{name}' is {tuple(own.shape)} in the target and {tuple(fast[name].shape)} in the online network"
            )
    with torch.no_grad():
        for name, own in slow.items():
            own.lerp_(fast[name].to(own), 1 - momentum)


def cosine_momentum(step: int, total: int, base: float = 0.99) -> float:
    """``1 - (1 - base) (cos(pi step / total) + 1) / 2``: from ``base`` at the first step to 1, a frozen target, at the last.

    Grill et al., 2020, https://arxiv.org/abs/2006.07733, where ``base`` is 0.996.

    Args:
        step: Where training stands, ``0 .. total``.
        total: Steps of the whole run, ``>= 1``.
        base: The momentum to begin with, in ``0 .. 1``.

    Raises:
        InputError: A value out of range.
    """
    if total < 1 or not 0 <= step <= total:
        raise InputError(f"step must lie in 0 .. total and total be >= 1; got step {step} of {total}")
    if not 0 <= base <= 1:
        raise InputError(f"base must lie in 0 .. 1; got {base}")
    return 1 - (1 - base) * (math.cos(math.pi * step / total) + 1) / 2


def _one_way(prediction: Tensor, target: Tensor, weight: Tensor | None) -> Tensor:
    if prediction.ndim != 2 or prediction.shape != target.shape:
        raise InputError(
            f"prediction and target must both be (N, D); got {tuple(prediction.shape)} and {tuple(target.shape)}. "
            "The predictor must map back to the target's width."
        )
    u, v = unit_rows(checked("prediction", prediction)), unit_rows(checked("target", target.detach()))
    return 2 - 2 * anchor_mean((u * v).sum(1), weight)
