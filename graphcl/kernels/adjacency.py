"""The normalised adjacency of a graph, made once and multiplied many times."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor

from graphcl.errors import InputError
from graphcl.kernels.csr import CSR
from graphcl.kernels.edge_list import EdgeList, check_graph, coalesce, plain_index
from graphcl.kernels.pattern import Pattern

Normalize = Literal["sym", "row"]


class Adjacency:
    """An immutable ``N x N`` operator on node features: ``out[target] = sum of w * x[source]``, as in PyG's message passing.

    Made by ``from_edge_index``; ``reweight`` and ``drop_edges`` give operators on the same positions, which share their indices
    and everything that was ever found out about them (transposed order, symmetry, undirected edges). The number of stored
    entries therefore does not change when edges are dropped. Rows are targets, columns sources.
    """

    __slots__ = ("_degree", "_edges", "_given", "_mirrored", "_weight", "matrix", "normalize")

    def __init__(
        self,
        edges: EdgeList,
        weight: Tensor,
        normalize: Normalize | None,
        *,
        given: bool = False,
        mirrored: bool | None = None,
    ) -> None:
        self._edges = edges
        self._weight = weight
        self._given = given  # by `reweight`: values without a meaning of their own, which a dropped loop does not turn to 1
        self._degree: Tensor | None = None
        self.normalize = normalize
        self._mirrored = mirrored  # whether weights, not values, are symmetric; found out when first asked
        symmetric = True if mirrored and normalize != "row" else None
        self.matrix = CSR(edges.pattern, self._normalized(), symmetric=symmetric)

    @classmethod
    def from_edge_index(
        cls,
        edge_index: Tensor,
        num_nodes: int,
        *,
        edge_weight: Tensor | None = None,
        normalize: Normalize | None = "sym",
        self_loops: bool = True,
    ) -> Adjacency:
        """The operator of a graph given as PyG gives it.

        An edge listed twice counts twice: weights are summed. With ``self_loops`` every node that lists no loop of its own gets
        one of weight 1, and a listed one keeps its weight: the numbers of PyG's ``gcn_norm`` (which keeps the last of several
        loops of one node; here they are summed). Degrees are those of the targets. A node without any weight gets a row of
        zeros.

        Args:
            edge_index: Row 0 sources, row 1 targets, ids in ``[0, num_nodes)``.
            num_nodes: ``N``.
            edge_weight: Finite, ``>= 0``, float32 or float64; ones when ``None``. Learned ones go through ``reweight``.
            normalize: ``"sym"`` is ``D^-1/2 (A + I) D^-1/2``, ``"row"`` is ``D^-1 (A + I)`` with rows that sum to 1,
                ``None`` leaves the weights as they are.
            self_loops: Whether ``I`` is added.

        Shapes:
            edge_index: ``(2, E)``; edge_weight: ``(E,)``.

        Raises:
            InputError: Ids that are not integers or out of range, weights that are negative, not finite or of another length.
        """
        index = plain_index(edge_index)
        check_graph(index, num_nodes, edge_weight)
        if normalize not in (None, *get_args(Normalize)):
            raise InputError(f"normalize must be 'sym', 'row' or None; got {normalize!r}.")
        # What is made while evaluating may be trained with later: never inference tensors, which autograd cannot save.
        with torch.inference_mode(False), torch.no_grad():
            edges, weight = coalesce(index, num_nodes, edge_weight, self_loops)
            return cls(edges, weight, normalize)

    @property
    def pattern(self) -> Pattern:
        """The positions of the entries; shared with every operator derived from this one."""
        return self._edges.pattern

    @property
    def values(self) -> Tensor:
        """``(nnz,)``, what the product multiplies with, target after target. Not to be written to."""
        return self.matrix.values

    @property
    def num_nodes(self) -> int:
        """``N``."""
        return self.pattern.num_rows

    @property
    def nnz(self) -> int:
        """The number of stored entries, self-loops and dropped ones included."""
        return self.pattern.nnz

    @property
    def dtype(self) -> torch.dtype:
        """The type of the values, and of the features it multiplies."""
        return self.values.dtype

    @property
    def device(self) -> torch.device:
        """Where the operator is."""
        return self.pattern.device

    @property
    def self_loops(self) -> bool:
        """Whether every node has a loop."""
        return self._edges.self_loops

    @property
    def is_symmetric(self) -> bool:
        """Whether the operator equals its transpose, so that its backward is its forward."""
        return self.matrix.is_symmetric

    @property
    def degree(self) -> Tensor:
        """``(N,)``, the sum of weights that reach each node before normalisation, self-loops included."""
        if self._given:
            return _row_sums(self.pattern, self._weight)  # learned values change in place: nothing to keep
        if self._degree is None:
            self._degree = _row_sums(self.pattern, self._weight)
        return self._degree

    @property
    def edges(self) -> Tensor:
        """``(2, P)``, sources and targets of what ``drop_edges`` can drop, each once.

        The undirected edges, source <= target, where the pattern is symmetric; else every listed edge in its direction.
        Loops that were listed are among them, those that were added are not.
        """
        return self._edges.endpoints

    @property
    def num_edges(self) -> int:
        """``P``, the length of the mask that ``drop_edges`` takes."""
        return self._edges.num_edges

    def reweight(self, values: Tensor) -> Adjacency:
        """The operator with these values on the same positions, used as they are, for example learned ones.

        Args:
            values: One per stored entry, in the order of ``values``; may require a gradient.

        Shapes:
            values: ``(nnz,)``.

        Raises:
            InputError: Another length, type or device.
        """
        if values.shape != (self.nnz,) or values.dtype not in (torch.float32, torch.float64):
            raise InputError(
                f"values must be float32 or float64 of shape ({self.nnz},), one per stored entry (self-loops included); "
                f"got {tuple(values.shape)} of {values.dtype}. Entry k goes from pattern.col[k] to pattern.row[k]."
            )
        if values.device != self.device:
            raise InputError(
                f"values must be on the device of the adjacency, {self.device}; got {values.device}. Move one: .to(...)."
            )
        return Adjacency(self._edges, values, None, given=True)

    def drop_edges(self, keep: Tensor) -> Adjacency:
        """The operator without some edges, normalised as if it had been made of the others alone.

        Both directions of an undirected edge go together. The entries stay, with the value 0, so nothing is sorted again:
        time ``O(nnz)``. Masks count against the same ``edges`` in every operator derived from one graph, and what was
        dropped before stays dropped. Values given to ``reweight`` are only set to 0.

        Args:
            keep: Whether each of ``edges`` stays.

        Shapes:
            keep: ``(P,)``, boolean.

        Raises:
            InputError: A mask of another length or type.
        """
        if keep.dtype != torch.bool or keep.shape != (self.num_edges,):
            raise InputError(
                f"keep must be boolean of shape ({self.num_edges},), one for each of adj.edges; got {tuple(keep.shape)} of "
                f"{keep.dtype}. An undirected edge counts once there, an added self-loop not at all."
            )
        weight = self._edges.masked(self._weight, keep.to(self.device), refill=not self._given)
        # The two directions of an edge drop as one, so what was symmetric stays so; what was not may have become it.
        mirrored = True if self._has_mirrored_weights() else None
        return Adjacency(self._edges, weight, self.normalize, given=self._given, mirrored=mirrored)

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Adjacency:
        """The same operator elsewhere or in another type; itself where nothing changes.

        Raises:
            InputError: A type that is neither float32 nor float64.
        """
        if dtype not in (None, torch.float32, torch.float64):
            raise InputError(f"an adjacency is float32 or float64; got {dtype}. Keep it so and convert its results.")
        edges = self._edges if device is None else self._edges.to(device)
        weight = self._weight.to(device=edges.pattern.device, dtype=dtype)
        if edges is self._edges and weight is self._weight:
            return self
        return Adjacency(edges, weight, self.normalize, given=self._given)

    def to_dense(self) -> Tensor:
        """``(N, N)``, for tests and small graphs; row ``i`` holds what reaches node ``i``."""
        dense = self.values.new_zeros(self.num_nodes, self.num_nodes)
        return dense.index_put((self.pattern.row.long(), self.pattern.col.long()), self.values)

    def __repr__(self) -> str:
        return (
            f"Adjacency(num_nodes={self.num_nodes}, nnz={self.nnz}, normalize={self.normalize!r}, "
            f"self_loops={self.self_loops}, dtype={self.dtype}, device={self.device})"
        )

    def _has_mirrored_weights(self) -> bool:
        if self._given:
            return False  # learned values change in place: nothing to rely on
        if self._mirrored is None:
            permuted = self._weight.index_select(0, self.pattern.transpose.order)
            self._mirrored = self.pattern.is_symmetric and torch.equal(permuted, self._weight)
        return self._mirrored

    def _normalized(self) -> Tensor:
        if self.normalize is None:
            return self._weight
        pattern = self.pattern
        inverse = self.degree.pow(-0.5 if self.normalize == "sym" else -1.0)
        # A node that nothing reaches has a row of zeros, not of NaN.
        inverse = inverse.masked_fill_(inverse.isinf(), 0.0)
        scale = inverse.index_select(0, pattern.row)
        if self.normalize == "sym":
            # Both scales first: their product is the same in both directions to the last bit, and so is the operator.
            scale = scale.mul_(inverse.index_select(0, pattern.col))
        return scale.mul_(self._weight)


def _row_sums(pattern: Pattern, weight: Tensor) -> Tensor:
    """``(N,)``; entry after entry, so that zeros among the weights change no bit of the sum."""
    return weight.new_zeros(pattern.num_rows).index_add_(0, pattern.row, weight)
