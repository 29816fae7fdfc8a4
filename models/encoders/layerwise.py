"""Embedding a large graph layer by layer: nothing wider than what has to travel along edges is ever there as a whole."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from graphcl.kernels import Adjacency, feature_product, propagate

LARGE = 2**17  # nodes from which on it is worth while: below, a whole layer is a few hundred megabytes
ROWS = 2**14  # of a block: the widest layer of so many nodes stays near the processor

RowWork = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class ConvolutionLayer:
    """``after(A h W + b)``.

    Args:
        weight: ``W``.
        bias: ``b``.
        after: What is done to each row by itself, an activation for example; nothing when ``None``.

    Shapes:
        weight: ``(F, D)``; bias: ``(D,)``; after: ``(n, D)`` to the same.
    """

    weight: Tensor
    bias: Tensor
    after: RowWork | None = None


@torch.no_grad()
def encode_by_layers(adj: Adjacency, x: Tensor, layers: Sequence[ConvolutionLayer], *, rows: int = ROWS) -> Tensor:
    """What graph convolutions make of all nodes, in evaluation mode, with the memory of the narrow ends of the layers.

    Between two products with ``A`` everything is done to rows by themselves: those steps run through blocks of rows, one after
    the other, so that a wide hidden layer exists a block at a time. ``A`` multiplies before or after ``W``, whichever is
    narrower, as in training: the numbers are the same up to rounding. Time ``O(sum E min(F, D) + N F D)``, memory two arrays of
    ``N`` times the widest of those minima or of the result, and a block.

    Args:
        adj: The operator ``A``.
        x: Features, dense or CSR, of the operator's type.
        layers: From the first to the last.
        rows: Of a block.

    Shapes:
        x: ``(N, F)``; returns: ``(N, D)``.
    """
    waiting: list[RowWork] = []
    for layer in layers:
        if x.layout != torch.strided:
            x = propagate(adj, feature_product(x, layer.weight))
        elif layer.weight.size(0) < layer.weight.size(1):
            x = propagate(adj, _in_blocks(x, waiting, rows))
            waiting = [_times(layer.weight)]
        else:
            x = propagate(adj, _in_blocks(x, [*waiting, _times(layer.weight)], rows))
            waiting = []
        waiting.append(_plus(layer.bias))
        if layer.after is not None:
            waiting.append(layer.after)
    return _in_blocks(x, waiting, rows)


def _times(weight: Tensor) -> RowWork:
    return lambda part: part @ weight


def _plus(bias: Tensor) -> RowWork:
    return lambda part: part + bias


def _in_blocks(x: Tensor, work: Sequence[RowWork], rows: int) -> Tensor:
    """All of the work done to each block of rows; ``x`` itself where there is none."""
    if not work:
        return x
    out: Tensor | None = None
    for start in range(0, len(x), rows):
        part = x[start : start + rows]
        for step in work:
            part = step(part)
        if out is None:
            out = part.new_empty(len(x), part.size(1))
        out[start : start + rows] = part
    return x if out is None else out
