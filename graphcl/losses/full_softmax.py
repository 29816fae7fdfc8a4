"""Full softmax: the chosen item is found in the whole catalogue."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from graphcl.errors import InputError
from graphcl.kernels import Rule
from graphcl.losses.anchors import anchor_mean, check_ids
from graphcl.losses.links import coupled
from graphcl.losses.pair_loss import Similarity
from graphcl.losses.temperature import LearnableTemperature, Temperature, check_temperature
from graphcl.losses.views import full_precision, unit_rows
from graphcl.negatives import ColumnBias, Exact, Negatives, Sampled


class FullSoftmax(nn.Module):
    """Cross-entropy of the target item among all items of a catalogue.

    ``-l_it + log sum_j exp(l_ij)`` with ``l_ij = <q_i, v_j> / temperature + b_j``: what `torch.nn.functional.cross_entropy`
    makes of the ``(B, M)`` logits, which are never held. Time ``O(B M D)``, memory ``O((B + M) D)`` with exact negatives.
    Items that a query has seen can be left out of the sum, and so are those that share the target's id; the target itself is
    always part of it. A query to which nothing but its target is left is worth 0.
    Klenitskiy and Vasilev, 2023, https://arxiv.org/abs/2309.07602, among many. Differs: logits are met in tiles.

    Args:
        temperature: Divides the similarity, ``>= 1e-4``, or a `LearnableTemperature`; not the bias.
        similarity: ``"dot"``, or ``"cosine"``, which normalises queries and items.
        negatives: Estimator of the sum over the other items; exact when ``None``.

    Shapes:
        queries: ``(B, D)``; items: ``(M, D)``; target: ``(B,)`` in ``0 .. M - 1``; bias, ids: ``(M,)``; seen:
            ``((B + 1,), (E,))``; weight: ``(B,)``; returns: scalar, ``>= 0``.

    Raises:
        InputError: Arguments out of range; shapes that do not fit, no query, fewer than two items, a target that is no item,
            values that are not finite; an estimator that cannot do what is asked.
    """

    def __init__(
        self, temperature: Temperature = 1.0, *, similarity: Similarity = "dot", negatives: Negatives | None = None
    ) -> None:
        super().__init__()
        if similarity not in ("cosine", "dot"):
            raise InputError(f"similarity must be 'cosine' or 'dot'; got '{similarity}'")
        self.temperature = temperature if isinstance(temperature, LearnableTemperature) else check_temperature(temperature)
        self.similarity = similarity
        self.negatives: Negatives = negatives if negatives is not None else Exact()

    def forward(
        self,
        queries: Tensor,
        items: Tensor,
        target: Tensor,
        *,
        bias: Tensor | None = None,
        seen: tuple[Tensor, Tensor] | None = None,
        ids: Tensor | None = None,
        weight: Tensor | None = None,
    ) -> Tensor:
        """The loss of queries among items.

        Args:
            queries: Users, or states of their histories.
            items: The catalogue, or the candidates that a batch shares.
            target: Position of the chosen item among the items.
            bias: Added to every logit of an item, the target's included; gradients reach it.
            seen: Row pointers and columns of a CSR pattern: items that are no negatives of a query, by position. It may list
                the target as well.
            ids: Of the items, where one can stand in several places: the target's copies are no negatives.
            weight: Of the queries in a weighted mean, ``>= 0``; all equal when ``None``.
        """
        queries, items = _checked(queries, items)
        target = _positions(target, len(queries), len(items))
        different = None
        if ids is not None:
            check_ids("ids", ids, len(items))
            different = ids.index_select(0, target), ids
        with full_precision(queries):
            if self.similarity == "cosine":
                queries, items = unit_rows(queries), unit_rows(items)
            scale = self.temperature() if isinstance(self.temperature, LearnableTemperature) else 1.0 / self.temperature
            positive = scale * (queries * items.index_select(0, target)).sum(1)
            negatives = self.negatives
            if bias is not None:
                negatives = ColumnBias(bias, negatives, correct_positive=False)
            log_z = negatives.log_z(queries, items, scale=scale, rule=Rule(exclude=target, different=different, seen=seen))
            if bias is not None:
                positive = positive + bias.to(positive).index_select(0, target)
            return anchor_mean(coupled(positive, log_z), weight)

    def extra_repr(self) -> str:
        """Temperature, similarity and estimator, for ``print``."""
        temperature = "learned" if isinstance(self.temperature, LearnableTemperature) else f"{self.temperature:g}"
        return f"temperature={temperature}, similarity={self.similarity!r}, negatives={self.negatives!r}"


def SampledSoftmax(
    num: int = 256,
    proposal: Tensor | None = None,
    *,
    temperature: Temperature = 1.0,
    similarity: Similarity = "dot",
    generator: torch.Generator | None = None,
) -> FullSoftmax:
    """`FullSoftmax` whose other items are a few draws, corrected by how probable each was.

    ``-l_it + log( exp(l_it) + sum_s exp(l_is - log(num q_s)) )`` over draws ``s`` that are neither the target nor left out by
    the call. The sum over draws is unbiased, so the loss is too low on average, and the less the more draws there are.
    The target is always in the sum, so its own logit is not corrected. Time ``O(B num D)``, memory ``O((B + num) D)``.
    Jean, Cho, Memisevic and Bengio, 2015, https://arxiv.org/abs/1412.2007. Differs: a draw that hits the target is dropped, and
    counts as a draw.

    Args:
        num: Draws, ``>= 1``, shared by the queries of a batch.
        proposal: Weights that items are drawn by, such as popularities; uniform when ``None``.
        temperature: Divides the similarity, ``>= 1e-4``, or a `LearnableTemperature`.
        similarity: ``"dot"`` or ``"cosine"``.
        generator: Where the draws come from; torch's default when ``None``.

    Shapes:
        proposal: ``(M,)``; the rest as `FullSoftmax`.

    Raises:
        InputError: As `FullSoftmax` and `Sampled`.
    """
    return FullSoftmax(temperature, similarity=similarity, negatives=Sampled(num, proposal, generator=generator))


def _checked(queries: Tensor, items: Tensor) -> tuple[Tensor, Tensor]:
    """Both sides in one type, single precision or better."""
    if queries.ndim != 2 or items.ndim != 2 or queries.shape[1] != items.shape[1]:
        raise InputError(
            f"queries (B, D) and items (M, D) must share D; got {tuple(queries.shape)} and {tuple(items.shape)}. "
            "A batch of sequences is flattened first: queries[mask], without the padded positions."
        )
    if len(queries) == 0 or len(items) < 2:
        raise InputError(f"there must be a query and at least 2 items, one to choose; got {len(queries)} and {len(items)}")
    for name, rows in (("queries", queries), ("items", items)):
        if not rows.is_floating_point():
            raise InputError(f"{name} must be floating point, since embeddings are; got {rows.dtype}")
        if not rows.is_cuda and not bool(torch.isfinite(rows).all()):
            row = int((~torch.isfinite(rows)).any(1).nonzero()[0])
            raise InputError(f"{name} has a value that is not finite in row {row}: the encoder diverged or its input was bad")
    dtype = torch.promote_types(torch.promote_types(queries.dtype, items.dtype), torch.float32)
    return queries.to(dtype), items.to(dtype)


def _positions(target: Tensor, num_queries: int, num_items: int) -> Tensor:
    if target.shape != (num_queries,) or target.is_floating_point() or target.dtype == torch.bool:
        raise InputError(
            f"target must be ({num_queries},) integers, the item that each query chose; got {tuple(target.shape)} "
            f"{target.dtype}"
        )
    low, high = int(target.min()), int(target.max())
    if low < 0 or high >= num_items:
        raise InputError(
            f"target must lie in 0 .. {num_items - 1}, positions among the items; got {low} .. {high}. "
            "Are these ids that start at 1, or is padding among them? Leave padded positions out before the loss."
        )
    return target.long()
