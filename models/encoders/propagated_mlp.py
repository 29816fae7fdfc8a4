"""A two-layer perceptron on features that were propagated over the graph first."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from graphcl.errors import InputError
from graphcl.kernels import Adjacency, WeakTensorCache, cached_adjacency, feature_product, propagate, propagate_features

_propagated: WeakTensorCache[Tensor] = WeakTensorCache()
_unit_rows: WeakTensorCache[Tensor] = WeakTensorCache()
MANY = 65_536  # rows above which the hidden layer is not held: made part by part, and again in the backward pass
PART = 16_384  # rows of it: 16 MB of 256 units, which the allocator hands out again; larger ones are fresh pages every time


class PropagatedMLP(nn.Module):
    """``W2 ReLU(W1 A^hops x + b1) + b2`` with rows of ``x`` of length 1 and ``A`` the symmetrically normalised adjacency.

    All smoothing happens before the first weight (Wu et al., 2019, https://arxiv.org/abs/1902.07153), so a training step
    costs what a perceptron costs: dense features are propagated once and remembered as long as they live; sparse ones stay
    sparse, ``A^hops (x W1)``, which is the same number. Differs from SGC in the hidden layer.

    Args:
        in_features: Width ``F`` of the features.
        out_features: Width ``D`` of the embedding.
        hidden: Width of the hidden layer.
        hops: Number of products with ``A``, ``>= 0``; 0 ignores the graph.

    Shapes:
        forward: x ``(N, F)`` dense or CSR, edge_index ``(2, E)``; returns ``(N, D)``.

    Raises:
        InputError: A width below 1 or a negative number of hops.
    """

    def __init__(self, in_features: int, out_features: int, *, hidden: int = 256, hops: int = 2) -> None:
        super().__init__()
        for name, value, least in (
            ("in_features", in_features, 1),
            ("out_features", out_features, 1),
            ("hidden", hidden, 1),
            ("hops", hops, 0),
        ):
            if value < least:
                raise InputError(f"{name} must be >= {least}; got {value}")
        self.hops = hops
        self.first = nn.Linear(in_features, hidden)
        self.second = nn.Linear(hidden, out_features)

    def forward(self, x: Tensor, edge_index: Tensor, edge_weight: Tensor | None = None) -> Tensor:
        """Embeddings of all nodes."""
        if x.ndim != 2 or x.shape[1] != self.first.in_features:
            raise InputError(
                f"this encoder was made for {self.first.in_features} features a node; got x of shape {tuple(x.shape)}"
            )
        if x.requires_grad:
            raise InputError("the features are propagated once, as data: give this encoder an x that requires no gradient")
        adj = cached_adjacency(edge_index, len(x), edge_weight=edge_weight, normalize="sym", self_loops=True)
        if x.layout == torch.strided:
            return self.perceptron(propagated_features(x, adj, self.hops))
        smooth = propagate(adj, feature_product(unit_rows(x), self.first.weight.T), self.hops)
        out: Tensor = self.second(torch.relu(smooth + self.first.bias))
        return out

    def perceptron(self, rows: Tensor) -> Tensor:
        """The two layers alone, of `propagated_features` or some of their rows.

        Shapes:
            rows: ``(n, F)``; returns: ``(n, D)``.
        """
        if len(rows) <= MANY:
            return self._layers(rows)
        parts = torch.split(rows, PART)
        if not torch.is_grad_enabled():
            return torch.cat([self._layers(part) for part in parts])
        # Nothing is drawn on the way, so that no random state has to be kept.
        again = [checkpoint(self._layers, part, use_reentrant=False, preserve_rng_state=False) for part in parts]
        return torch.cat(again)

    def _layers(self, rows: Tensor) -> Tensor:
        out: Tensor = self.second(torch.relu(self.first(rows)))
        return out


def propagated_features(x: Tensor, adj: Adjacency, hops: int) -> Tensor:
    """``A^hops`` times the unit rows of ``x``, dense, remembered as long as ``x`` and the adjacency live.

    Shapes:
        x: ``(N, F)`` dense or CSR; returns: ``(N, F)``.
    """

    def build() -> Tensor:
        with torch.no_grad():  # dense unit rows serve this once: nobody has to remember them
            return propagate_features(adj, F.normalize(x, dim=1) if x.layout == torch.strided else unit_rows(x), hops)

    return _propagated.get((x, adj.values), hops, build)


def unit_rows(x: Tensor) -> Tensor:
    """``x`` with each row divided by its length, remembered as long as ``x`` lives; rows of zeros stay zero.

    Shapes:
        x: ``(N, F)`` dense or CSR; returns: the same layout.
    """

    def build() -> Tensor:
        with torch.no_grad():
            if x.layout == torch.strided:
                return F.normalize(x, dim=1)
            rows = torch.repeat_interleave(x.crow_indices().diff())
            square = x.values().new_zeros(len(x)).index_add(0, rows, x.values().square())
            values = x.values() / square.sqrt().clamp(min=1e-12).index_select(0, rows)
            return torch.sparse_csr_tensor(x.crow_indices(), x.col_indices(), values, x.shape, check_invariants=False)

    return _unit_rows.get((x,), None, build)
