"""One normalisation per graph: the adjacency of an edge list, kept as long as the list lives."""

from __future__ import annotations

from torch import Tensor

from graphcl.kernels.adjacency import Adjacency, Normalize
from graphcl.kernels.weak_cache import WeakTensorCache

_cache: WeakTensorCache[Adjacency] = WeakTensorCache()


def cached_adjacency(
    edge_index: Tensor,
    num_nodes: int,
    *,
    edge_weight: Tensor | None = None,
    normalize: Normalize | None = "sym",
    self_loops: bool = True,
) -> Adjacency:
    """``Adjacency.from_edge_index``, made once for these very tensors and options.

    A training loop over one PyG ``Data`` so normalises once, and the ``Data`` stays as it is. The tensors are told apart by
    identity; one that was written to in place is read again, and what was made from a tensor goes when the tensor does.

    Args:
        edge_index: Row 0 sources, row 1 targets.
        num_nodes: ``N``.
        edge_weight: As in ``from_edge_index``.
        normalize: As in ``from_edge_index``.
        self_loops: As in ``from_edge_index``.

    Shapes:
        edge_index: ``(2, E)``; edge_weight: ``(E,)``.

    Raises:
        InputError: As in ``from_edge_index``.
    """

    def build() -> Adjacency:
        return Adjacency.from_edge_index(
            edge_index, num_nodes, edge_weight=edge_weight, normalize=normalize, self_loops=self_loops
        )

    tensors = (edge_index,) if edge_weight is None else (edge_index, edge_weight)
    return _cache.get(tensors, (num_nodes, normalize, self_loops), build)
