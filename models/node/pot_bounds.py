"""What a graph convolution of two layers can give at most and at least when edges may be missing."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from graphcl.augment import Probability
from graphcl.errors import InputError
from graphcl.kernels import Adjacency, edge_dot, feature_product, propagate
from graphcl.kernels.csr import CSR, multiply
from graphcl.kernels.pattern import Pattern
from graphcl.models.encoders import GCN
from graphcl.models.node.pot_lines import NOTHING, Parts, relu_lines
from graphcl.models.node.view import DrawnView


class EdgeBounds(NamedTuple):
    """Entry by entry, the least and the largest normalised adjacency of all graphs within the budget.

    Shapes:
        upper: ``(N, N)``; lower: ``(N, N)``, of its entries those that are not 0; floor: ``(nnz,)``, the values of lower on the
            positions of upper.
    """

    upper: CSR
    lower: CSR
    floor: Tensor


class GCNSteps(NamedTuple):
    """A view on its way through the encoder.

    Shapes:
        product: ``(N, H)``, features times first weight; first: ``(N, H)``, the first layer before its activation;
        z: ``(N, D)``, the embeddings.
    """

    product: Tensor
    first: Tensor
    z: Tensor


class Relaxation(NamedTuple):
    """Lines below and above the activations, and ``sum_j A_ij <weight_i, h_j> + constant``, which lies below ``<w_i, z_i>``.

    Shapes:
        slope, offset, low, high: ``(N, H)``, of the first layer's activations: the lower line is ``slope x``, the upper one
            ``offset`` higher, and all values lie between ``low`` and ``high``; weight: ``(N, H)``; constant: ``(N,)``.
    """

    slope: Tensor
    offset: Tensor
    low: Tensor
    high: Tensor
    weight: Tensor
    constant: Tensor


def edge_budget(plain: Adjacency, edge_index: Tensor, p: Probability, edge_weight: Tensor | None = None) -> Tensor:
    """The weight that each node may lose: what it loses on average, rounded, and never so much that less than 1 is left.

    ``min(round(sum_e p_e w_e), max(d - 1, 0))`` over the edges into the node, whose weights sum to ``d``. Time ``O(E)``.

    Args:
        plain: The graph with its plain weights and self-loops.
        edge_index: Its edges.
        p: Probability that an edge is missing, or one for each.
        edge_weight: Of the edges; ones when ``None``.

    Shapes:
        plain: ``(N, N)``; edge_index: ``(2, E)``; p: scalar or ``(E,)``; returns: ``(N,)``.
    """
    source, target = edge_index.long().unbind(0)
    weight = plain.values.new_ones(len(target)) if edge_weight is None else edge_weight.to(plain.values)
    weight = weight.masked_fill(source == target, 0.0)  # loops are never dropped
    degree = plain.values.new_zeros(plain.num_nodes).index_add_(0, target, weight)
    loss = weight * (p.to(weight) if isinstance(p, Tensor) else p)
    expected = torch.zeros_like(degree).index_add_(0, target, loss)
    return torch.minimum(expected.round(), (degree - 1).clamp(min=0))


@torch.no_grad()
def edge_bounds(plain: Adjacency, budget: Tensor) -> EdgeBounds:
    """Bounds of ``D^-1/2 (A + I) D^-1/2`` over all graphs in which no node has lost more than its budget.

    ``w_ij / sqrt((d_i - q_i)(d_j - q_j))`` above, with the loop in ``d``; below ``w_ij / sqrt(d_i d_j)`` for loops and for
    edges heavier than the budget of their target, and 0 for the others. They hold whether or not the two directions of an edge
    go together. Time ``O(E)``, memory ``O(E)``.

    Yu et al., 2023 (POT), https://arxiv.org/abs/2309.13944. Differs: an edge that the budget cannot pay for keeps a lower bound
    above 0, so that without a budget both bounds are the adjacency itself.

    Args:
        plain: Plain weights with self-loops.
        budget: Weight that each node may lose, ``>= 0``.

    Shapes:
        plain: ``(N, N)``; budget: ``(N,)``.

    Raises:
        InputError: A budget that is negative, not finite, of another length, or as large as all that a node has.
    """
    degree = plain.degree
    if budget.shape != degree.shape or not bool((budget.isfinite() & (budget >= 0)).all()):
        raise InputError(f"budget must be finite and >= 0, one for each of {len(degree)} nodes; got {tuple(budget.shape)}")
    if bool(((budget >= degree) & (budget > 0)).any()):
        raise InputError("a node may not lose all that reaches it, its own loop included: keep the budget below the degree")
    pattern, weight = plain.pattern, plain.values
    row, col = pattern.row, pattern.col
    most, least = (_inverse_root(d) for d in (degree - budget, degree))
    upper = most.index_select(0, row) * most.index_select(0, col) * weight
    clean = least.index_select(0, row) * least.index_select(0, col) * weight
    stays = (row == col) | (weight * (1 - 1e-6) > budget.index_select(0, row))
    counts = torch.bincount(row.masked_select(stays), minlength=plain.num_nodes)
    crow = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
    kept = Pattern(crow, col.masked_select(stays), plain.num_nodes)
    return EdgeBounds(
        CSR(pattern, upper, symmetric=True if plain.is_symmetric else None),
        CSR(kept, clean.masked_select(stays)),
        torch.where(stays, clean, 0.0),
    )


def check_encoder(encoder: nn.Module) -> GCN:
    """The encoder itself, if its bounds are known.

    Raises:
        InputError: Anything but a `GCN` of two layers with ReLU or PReLU after both.
    """
    if not isinstance(encoder, GCN) or len(encoder.weights) != 2 or not encoder.activate_last:
        raise InputError(
            "bounds are known for a GCN of two layers with an activation after both; give the system encoder='gcn'"
        )
    if not isinstance(encoder.activation, nn.ReLU | nn.PReLU):
        raise InputError(
            "bounds are known for the activations 'relu' and 'prelu', which have one slope below 0; "
            f"got {type(encoder.activation).__name__}"
        )
    return encoder


def gcn_steps(gcn: GCN, view: DrawnView) -> GCNSteps:
    """What the encoder makes of a view, with the parts that its bounds need as well.

    Shapes:
        view: of ``N`` nodes; see `GCNSteps`.
    """
    (first_weight, weight), (first_bias, bias) = gcn.weights, gcn.biases
    x = view.x.to(torch.promote_types(view.x.dtype, torch.float32))
    if view.columns is not None:
        first_weight = first_weight * view.columns.unsqueeze(1)
    adjacency = view.adjacency.to(dtype=x.dtype)
    product = feature_product(x, first_weight).to(x.dtype)
    first = propagate(adjacency, product) + first_bias
    hidden = gcn.activation(first)
    z = gcn.activation(propagate(adjacency, feature_product(hidden, weight).to(x.dtype)) + bias)
    return GCNSteps(product, first, z)


def relax(gcn: GCN, bounds: EdgeBounds, product: Tensor, direction: Tensor) -> Relaxation:
    """Lines that hold for every adjacency within the bounds.

    Intervals go through both layers; an activation whose input may have either sign lies between its chord and the parallel
    through 0. Four sparse products, two of them as wide as the hidden layer, besides those of the few entries of the lower
    bound: time ``O(E (H + D) + N H D)``, memory ``O(N (H + D))``.

    Args:
        gcn: The encoder.
        bounds: Of the adjacency.
        product: Features times first weight.
        direction: ``w``.

    Shapes:
        product: ``(N, H)``; direction: ``(N, D)``; see `Relaxation`.
    """
    weight, slope = gcn.weights[1], _negative_slope(gcn)
    signs = Parts.of(product)
    bottom, top = _interval(bounds, signs, signs, gcn.biases[0])
    slope_1, offset_1 = _lines(bottom, top, slope)
    low, high = _image(bottom, top, slope)
    centre, radius = (low + high) @ (weight / 2), (high - low) @ (weight.abs() / 2)
    bottom, top = _interval(bounds, Parts.of(centre - radius), Parts.of(centre + radius), gcn.biases[1])
    slope_2, offset_2 = _lines(bottom, top, slope)
    share = slope_2 * direction
    constant = (share * gcn.biases[1] + _facing(direction, slope) * offset_2).sum(1)
    return Relaxation(slope_1, offset_1, low, high, share @ weight.T, constant)


def sampled_bound(gcn: GCN, relaxed: Relaxation, adjacency: Adjacency, first: Tensor) -> Tensor:
    """A lower bound of ``<w_i, z_i>`` at one adjacency, by lines that hold for all within the bounds; two sparse products.

    Exact where no activation can have inputs of either sign.

    Args:
        gcn: The encoder.
        relaxed: By `relax`.
        adjacency: One within the bounds.
        first: The first layer at that adjacency, before its activation.

    Shapes:
        adjacency: ``(N, N)``; first: ``(N, H)``; returns: ``(N,)``.
    """
    adjacency = adjacency.to(dtype=first.dtype)
    along = relaxed.weight * propagate(adjacency, relaxed.slope * first)
    above = propagate(adjacency, relaxed.offset)
    return torch.addcmul(along, _facing(relaxed.weight, _negative_slope(gcn)), above).sum(1) + relaxed.constant


def worst_bound(relaxed: Relaxation, bounds: EdgeBounds) -> Tensor:
    """A lower bound of ``<w_i, z_i>`` over all adjacencies within the bounds: an edge adds least at its one bound or the other.

    Time ``O(E H)``, memory ``O(E + N H)``.

    Args:
        relaxed: By `relax`.
        bounds: Of the adjacency.

    Shapes:
        returns: ``(N,)``.
    """
    pattern = bounds.upper.pattern
    weight = Parts.of(relaxed.weight)
    message = edge_dot(weight.above, relaxed.low, pattern) + edge_dot(weight.below, relaxed.high, pattern)
    least = torch.where(message < 0, bounds.upper.values, bounds.floor) * message
    return relaxed.constant + torch.zeros_like(relaxed.constant).index_add(0, pattern.row, least)


def _interval(bounds: EdgeBounds, bottom: Parts, top: Parts, bias: Tensor) -> tuple[Parts, Parts]:
    """What ``A h + b`` can be, for ``h`` between two bounds."""
    upper, lower = bounds.upper, bounds.lower
    least = multiply(upper, bottom.below) + multiply(lower, bottom.above)
    most = multiply(upper, top.above) + multiply(lower, top.below)
    return Parts.of(least + bias), Parts.of(most + bias)


def _lines(bottom: Parts, top: Parts, slope: Tensor | float) -> tuple[Tensor, Tensor]:
    """The slope of the chord of the activation, and how far the chord lies above (below, for slopes over 1) its parallel."""
    if isinstance(slope, float):
        return relu_lines(bottom.below, top.above)
    gap = top.above - bottom.below + NOTHING
    chord = (top.above - slope * bottom.below) / gap
    return chord, (slope - chord) * bottom.below


def _image(bottom: Parts, top: Parts, slope: Tensor | float) -> tuple[Tensor, Tensor]:
    """Between what the activation lies."""
    if isinstance(slope, float):
        return bottom.above, top.above
    low, high = bottom.above + slope * bottom.below, top.above + slope * top.below
    if _number(slope) >= 0:
        return low, high
    least = torch.minimum(low, high)  # a fall and a rise: 0 is the least where the input may be 0
    return torch.where((bottom.below < 0) & (top.above > 0), least.clamp(max=0), least), torch.maximum(low, high)


def _facing(weight: Tensor, slope: Tensor | float) -> Tensor:
    """Of the weights those to which the chord, and not its parallel, is the bound."""
    return Parts.of(weight).below if _number(slope) <= 1 else torch.relu(weight)


def _negative_slope(gcn: GCN) -> Tensor | float:
    return gcn.activation.weight if isinstance(gcn.activation, nn.PReLU) else 0.0


def _number(slope: Tensor | float) -> float:
    return float(slope.detach()) if isinstance(slope, Tensor) else slope


def _inverse_root(degree: Tensor) -> Tensor:
    root = degree.rsqrt()
    return root.masked_fill(root.isinf(), 0.0)
