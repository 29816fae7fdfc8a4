"""MV-InfoNCE: all views of an instance find each other in one term."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from graphcl.errors import InputError
from graphcl.kernels import Columns, Rule, pair_lse
from graphcl.losses.anchors import anchor_mean
from graphcl.losses.temperature import check_temperature
from graphcl.losses.views import full_precision, unit_rows


class MVInfoNCE(nn.Module):
    """Cross-entropy of all pairs of views of one instance among all pairs that hold a view of it; any number of views.

    ``-log( sum_{l != l'} exp(s_il,il' / t) / sum_l sum_{(j, m) != (i, l)} exp(s_il,jm / t) )``: one term an instance, whatever
    the number ``V`` of views. At ``V = 2`` it is the two directions of `NTXent` joined inside the logarithm. Time
    ``O(V V N N D)``, memory ``O(N V (D + V))``.
    Koromilas, Georgiou, Bouritsas, Giannakopoulos, Nicolaou and Panagakis, 2025, https://arxiv.org/abs/2507.06979. Follows the
    code in having negatives of the own view; the published formula, without them, is ``same_view_negatives=False``.

    Args:
        temperature: Divides the similarity, ``> 0``.
        same_view_negatives: Whether rows of one view are negatives of each other.

    Shapes:
        views: ``(V, N, D)``, or ``V`` times ``(N, D)``, row ``i`` of all is one instance; weight: ``(N,)``; returns: scalar.

    Raises:
        InputError: ``temperature <= 0``; fewer than two views, shapes that differ, fewer than two rows, values that are not
            finite.
    """

    def __init__(self, temperature: float = 0.2, *, same_view_negatives: bool = True) -> None:
        super().__init__()
        self.scale = 1.0 / check_temperature(temperature)
        self.same_view_negatives = same_view_negatives

    def forward(self, views: Tensor | Sequence[Tensor], *more: Tensor, weight: Tensor | None = None) -> Tensor:
        """The loss of two or more views.

        Args:
            views: All views, or the first of them.
            *more: The others: ``loss(z1, z2, z3)`` is ``loss([z1, z2, z3])``.
            weight: Of the instances in a weighted mean, ``>= 0``; all equal when ``None``.
        """
        z = stacked_views(views, *more)
        num_views, n, _ = z.shape
        with full_precision(z):
            u = unit_rows(z.flatten(0, 1))
            rows = torch.arange(len(u), device=u.device)
            view = rows // n
            rule = Rule(exclude=rows) if self.same_view_negatives else Rule(different=(view, view))
            log_z = pair_lse(u, Columns(u), scale=self.scale, rule=rule).view(num_views, n).logsumexp(0)
            return anchor_mean(log_z - agreement(u.view(z.shape), self.scale), weight)

    def extra_repr(self) -> str:
        """Temperature and candidates, for ``print``."""
        return f"temperature={1 / self.scale:g}, same_view_negatives={self.same_view_negatives}"


def agreement(u: Tensor, scale: float) -> Tensor:
    """``log sum_{l != l'} exp(scale <u_il, u_il'>)`` over the ordered pairs of views of each instance.

    Time ``O(N V V D)``, memory ``O(N V (D + V))``.

    Args:
        u: Views.
        scale: Multiplies the dot product.

    Shapes:
        u: ``(V, N, D)``, ``V >= 2``; returns: ``(N,)``.
    """
    u = u.transpose(0, 1)
    logits = scale * (u @ u.transpose(1, 2))
    itself = torch.eye(u.shape[1], dtype=torch.bool, device=u.device)
    return logits.masked_fill(itself, -torch.inf).flatten(1).logsumexp(1)


def stacked_views(views: Tensor | Sequence[Tensor], *more: Tensor) -> Tensor:
    """All views in one tensor, checked, in single precision or better.

    Args:
        views: A stack, a sequence, or the first view.
        *more: The other views, where the first is given on its own.

    Shapes:
        views: ``(V, N, D)``, or ``V`` times ``(N, D)``; returns: ``(V, N, D)``, ``float32`` for half precision.

    Raises:
        InputError: Fewer than two views or rows, shapes that differ, no columns, values not finite or not floating.
    """
    first = [views] if isinstance(views, Tensor) and views.ndim != 3 else list(views)
    parts = [*first, *more]
    if len(parts) < 2:
        raise InputError(f"agreement needs at least 2 views, (V, N, D) or a sequence of (N, D); got {len(parts)}")
    for number, z in enumerate(parts):
        if z.ndim != 2 or z.shape != parts[0].shape:
            raise InputError(
                f"views must all be (N, D) with equal N and D; view {number} is {tuple(z.shape)}, view 0 "
                f"{tuple(parts[0].shape)}. Row i of each view must be the same instance."
            )
        if not z.is_floating_point():
            raise InputError(f"view {number} must be floating point, since embeddings are; got {z.dtype}")
        if not z.is_cuda and not bool(torch.isfinite(z).all()):
            row = int((~torch.isfinite(z)).any(1).nonzero()[0])
            raise InputError(f"view {number} has a value that is not finite in row {row}: the encoder diverged, or bad input")
    if len(parts[0]) < 2 or parts[0].shape[1] < 1:
        raise InputError(
            f"contrast needs at least 2 rows, or there are no negatives, and 1 column; got {tuple(parts[0].shape)}"
        )
    dtype = torch.float32
    for z in parts:
        dtype = torch.promote_types(dtype, z.dtype)
    return torch.stack([z.to(dtype) for z in parts])
