"""Embeddings that nobody trained: the rows that every table of node embeddings has to beat."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from graphcl.errors import InputError
from graphcl.kernels import Adjacency, feature_product, propagate, propagate_features


def node_baselines(x: Tensor, adj: Adjacency, width: int, *, seed: int, hops: int = 2) -> dict[str, Tensor]:
    """Features as they are, features filtered by the graph, and what random weights make of them.

    ``raw`` is ``x``; ``filtered-2`` is ``A^2 x`` on unit rows. At the width of the systems they stand beside:
    ``projected-2-256`` is the filter's random projection, and ``random-gcn-256`` is an untrained network of two layers,
    ``A relu(A x W_1) W_2`` with ``W_1`` of twice the width and Glorot's (2010) uniform weights. Give each to
    ``linear_probe`` or ``link_prediction``, with the operator of the training edges for the latter.

    Time ``O(hops * nnz(A) * F + nnz(x) * width)``; memory two dense arrays of ``N x F`` for the filter.

    Args:
        x: Features, dense or ``torch.sparse_csr``.
        adj: Symmetrically normalised, with self-loops.
        width: ``D`` of the systems compared.
        seed: Of the random weights: one for each encoder seed.
        hops: Of the filter.

    Shapes:
        x: ``(N, F)``; returns: ``raw`` as given, ``filtered`` ``(N, F)``, the others ``(N, D)``.

    Raises:
        InputError: ``width < 1``, or features that do not go with the operator.
    """
    if width < 1:
        raise InputError(f"width must be 1 or more, the dimension of the embeddings compared; got {width}")
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        filtered = propagate_features(adj, F.normalize(x if x.layout == torch.strided else x.to_dense(), dim=1), hops)
        hidden = propagate(adj, feature_product(x, _glorot(x.shape[1], 2 * width, x, generator))).relu_()
        return {
            "raw": x,
            f"filtered-{hops}": filtered,
            f"projected-{hops}-{width}": filtered @ torch.randn(x.shape[1], width, generator=generator).to(x) / width**0.5,
            f"random-gcn-{width}": propagate(adj, hidden @ _glorot(2 * width, width, x, generator)),
        }


def _glorot(rows: int, columns: int, like: Tensor, generator: torch.Generator) -> Tensor:
    bound = (6 / (rows + columns)) ** 0.5
    weight = torch.empty(rows, columns).uniform_(-bound, bound, generator=generator)
    return weight.to(like.device, like.dtype)
