"""The first layer of systems that smooth the features once and learn a linear map of them."""

from __future__ import annotations

import torch
from torch import Tensor

from graphcl.kernels import Adjacency, WeakTensorCache, feature_product, propagate, propagate_features

_filtered: WeakTensorCache[Tensor] = WeakTensorCache()


def filtered_product(x: Tensor, adj: Adjacency, hops: int, weight: Tensor) -> Tensor:
    """``A^hops x W``, for features that are data.

    Dense features are filtered once and remembered as long as they live: ``O(N F D)`` from then on. Sparse ones stay sparse,
    ``A^hops (x W)``, the same number in ``O((nnz(x) + hops E) D)``.

    Args:
        x: Features.
        adj: The operator ``A``.
        hops: Number of products with it, ``>= 0``.
        weight: What the filtered features are multiplied with.

    Shapes:
        x: ``(N, F)`` dense or CSR; weight: ``(F, D)``; returns: ``(N, D)``.

    Raises:
        InputError: Features, weight and operator that do not go together, or ``hops < 0``.
    """
    if x.layout != torch.strided:
        return propagate(adj, feature_product(x, weight), hops)
    filtered = _filtered.get((x, adj.values), hops, lambda: propagate_features(adj, x, hops))
    return feature_product(filtered, weight)
