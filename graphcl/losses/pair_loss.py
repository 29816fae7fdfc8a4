"""A pairwise contrastive loss is a link applied to positives and an estimate of the negatives."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from graphcl.errors import InputError
from graphcl.kernels import Adjacency, Rule, propagate, segment_sum
from graphcl.losses.anchors import anchor_mean, check_ids
from graphcl.losses.links import Link, coupled
from graphcl.losses.temperature import LearnableTemperature, Temperature, check_temperature
from graphcl.losses.views import check_pairs, full_precision, unit_rows
from graphcl.negatives import Exact, MetaNode, Negatives, check_negatives

Symmetric = Literal["mean", "sum", "off"]
Similarity = Literal["cosine", "dot"]
Intra = bool | Literal["only"]
MissingPositive = Literal["error", "skip"]


class PairLoss(nn.Module):
    """``mean_i link(positive logit of i, log-partition of the negatives of i)``.

    Three ways to say who belongs together. Two views: row ``i`` of ``z1`` pairs with row ``i`` of ``z2``, and every other
    row of ``z2`` is a negative; with ``intra`` every other row of ``z1`` too, or instead. Rows with equal ``ids`` are never
    negatives of each other. Labels: all rows of the anchor's label are positives, and its logit is their mean; rows of other
    labels are negatives. A graph: ``loss(z, z, positives=adjacency)``, where a node's positive logit is the mean of its
    neighbours', weighted by its row of the adjacency, and every other node is a negative. Under cosine a row of zeros is
    similar to nobody and gets no gradient. Half precision is computed with in single precision.

    Args:
        link: ``coupled`` or ``decoupled``, or any function of two ``(N,)`` vectors.
        negatives: Estimator of the log-partition; exact when ``None``.
        temperature: Divides the similarity, ``>= 1e-4``, or a `LearnableTemperature`.
        similarity: ``"cosine"`` normalises the rows, ``"dot"`` takes them as they are.
        symmetric: Both directions averaged or added, or only ``z1`` to ``z2``.
        intra: Whether the anchor's own view holds negatives as well; ``"only"`` where the other view holds none.
        missing_positive: Whether a node without a neighbour is an error or left out of the mean.

    Shapes:
        z1, z2: ``(N, D)``; positives: ``(N, N)`` sparse; labels, ids: ``(N,)`` integers; weight: ``(N,)``; returns: scalar.

    Raises:
        InputError: Wrong shapes, fewer than two rows, non-finite values, a temperature that is not positive; an anchor without
            negatives or without positives, weights that are negative or all zero; an estimator that cannot do what is asked.
    """

    def __init__(
        self,
        link: Link = coupled,
        *,
        negatives: Negatives | None = None,
        temperature: Temperature = 0.5,
        similarity: Similarity = "cosine",
        symmetric: Symmetric = "mean",
        intra: Intra = False,
        missing_positive: MissingPositive = "error",
    ) -> None:
        super().__init__()
        if similarity not in ("cosine", "dot"):
            raise InputError(f"similarity must be 'cosine' or 'dot'; got '{similarity}'")
        if symmetric not in ("mean", "sum", "off"):
            raise InputError(f"symmetric must be 'mean', 'sum' or 'off'; got '{symmetric}'")
        if intra not in (True, False, "only"):
            raise InputError(
                f"intra must be True, False or 'only'; got '{intra}'. It says whether the own view holds negatives."
            )
        if missing_positive not in ("error", "skip"):
            raise InputError(f"missing_positive must be 'error' or 'skip'; got '{missing_positive}'")
        self.link = link
        self.negatives: Negatives = negatives if negatives is not None else Exact()
        self.temperature = temperature if isinstance(temperature, LearnableTemperature) else check_temperature(temperature)
        self.similarity = similarity
        self.symmetric = symmetric
        self.intra = intra
        self.missing_positive = missing_positive

    def forward(
        self,
        z1: Tensor,
        z2: Tensor,
        *,
        labels: Tensor | None = None,
        positives: Adjacency | None = None,
        order: int = 1,
        ids: Tensor | None = None,
        weight: Tensor | None = None,
    ) -> Tensor:
        """The loss of two views, or of one set of nodes with a graph of positives.

        Args:
            z1: Anchors.
            z2: Candidates; with ``positives`` usually the same tensor as ``z1``.
            labels: Of the instances: rows of one label are positives of each other, in place of ``ids``.
            positives: Row-normalised adjacency without self-loops; ``None`` pairs row ``i`` with row ``i``.
            order: Powers ``1 .. order`` of ``positives`` are averaged: influence reaches that many hops.
            ids: Of the instances: rows with equal ids are not negatives of each other; all differ when ``None``.
            weight: Of the anchors in a weighted mean, ``>= 0``; all equal when ``None``.
        """
        check_pairs(z1, z2)
        self._check_call(labels, positives, order, ids)
        for name, names in (("labels", labels), ("ids", ids)):
            if names is not None:
                check_ids(name, names, len(z1))
        with full_precision(z1):
            u1 = self._rows(z1)
            u2 = u1 if z1 is z2 else self._rows(z2)
            scale = self.temperature() if isinstance(self.temperature, LearnableTemperature) else 1.0 / self.temperature
            there, back = self._log_partitions(u1, u2, scale, ids if labels is None else labels)
            loss = self._one_way(u1, u2, scale, there, labels, positives, order, weight)
            if back is None:
                return loss
            other = loss if u1 is u2 else self._one_way(u2, u1, scale, back, labels, positives, order, weight)
            return loss + other if self.symmetric == "sum" else (loss + other) / 2

    def extra_repr(self) -> str:
        """Link, temperature and estimator, for ``print``."""
        name = getattr(self.link, "__name__", repr(self.link))
        intra = f", intra={self.intra!r}" if self.intra else ""
        learned = isinstance(self.temperature, LearnableTemperature)
        return f"{name}, temperature={'learned' if learned else f'{self.temperature:g}'}, negatives={self.negatives!r}{intra}"

    def _check_call(self, labels: Tensor | None, positives: Adjacency | None, order: int, ids: Tensor | None) -> None:
        if order < 1:
            raise InputError(f"order must be >= 1, the hops that positives reach; got {order}")
        if positives is not None and self.link is coupled:
            raise InputError("a graph of positives goes with the decoupled link: its positives are already in the partition")
        if positives is not None and self.intra:
            raise InputError("a graph of positives contrasts one set of nodes; intra is about two views: leave it False")
        if labels is not None and (positives is not None or ids is not None):
            raise InputError("labels say who is positive and who is no negative; leave out positives and ids")
        if self.intra is True and ids is None and labels is None and getattr(self.negatives, "reads_ids", False):
            raise InputError(
                f"{self.negatives!r} remembers instances by their ids: with intra=True pass ids, or positions in the batch "
                "would pose as them"
            )
        other_positive = positives is not None or labels is not None or self.intra == "only"
        if other_positive and getattr(self.negatives, "reads_positive", False):
            raise InputError(
                f"{self.negatives!r} needs the one positive of each anchor among its candidates; contrast two views row by "
                "row, without labels, a graph of positives or intra='only'"
            )

    def _rows(self, z: Tensor) -> Tensor:
        z = z.to(torch.promote_types(z.dtype, torch.float32))
        return unit_rows(z) if self.similarity == "cosine" else z

    def _log_partitions(
        self, u1: Tensor, u2: Tensor, scale: float | Tensor, names: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        """Log-partitions of the anchors of both views; of the first alone where only one direction is asked for."""
        one_way = self.symmetric == "off"
        if u1 is u2 or one_way or self.intra == "only" or not isinstance(self.negatives, Exact):
            there = self._log_z(u1, u2, scale, names)
            if one_way:
                return there, None
            return there, there if u1 is u2 else self._log_z(u2, u1, scale, names)
        # Exact sums of both directions come out of one sweep.
        there, back = self.negatives.log_z_both(u1, u2, scale=scale, rule=_rule(u1, names))
        if self.intra is True:
            there = torch.logaddexp(there, self.negatives.log_z(u1, u1, scale=scale, rule=_rule(u1, names)))
            back = torch.logaddexp(back, self.negatives.log_z(u2, u2, scale=scale, rule=_rule(u2, names)))
        return check_negatives(there), check_negatives(back)

    def _log_z(self, own: Tensor, other: Tensor, scale: float | Tensor, names: Tensor | None) -> Tensor:
        rule = _rule(own, names)
        if self.intra is not True:
            candidates = own if self.intra == "only" else other
            if names is not None:
                self._refuse_meta_nodes()
            return check_negatives(self.negatives.log_z(own, candidates, scale=scale, rule=rule))
        if isinstance(self.negatives, Exact):  # a sum of two exact sums, the second of a set with itself
            across = self.negatives.log_z(own, other, scale=scale, rule=rule)
            return check_negatives(torch.logaddexp(across, self.negatives.log_z(own, own, scale=scale, rule=rule)))
        self._refuse_meta_nodes()
        names = torch.arange(len(own), device=own.device) if names is None else names
        rule = Rule(exclude=rule.exclude, different=(names, torch.cat([names, names])))
        return check_negatives(self.negatives.log_z(own, torch.cat([other, own]), scale=scale, rule=rule))

    def _refuse_meta_nodes(self) -> None:
        if isinstance(self.negatives, MetaNode):
            raise InputError(
                "meta-nodes take one candidate an anchor out of its cluster; ids, labels and intra=True take out more. "
                "Use exact or hybrid negatives, or drop them"
            )

    def _one_way(
        self,
        anchors: Tensor,
        candidates: Tensor,
        scale: float | Tensor,
        log_z: Tensor,
        labels: Tensor | None,
        positives: Adjacency | None,
        order: int,
        weight: Tensor | None,
    ) -> Tensor:
        if positives is not None:
            target, has = _neighbours(positives, candidates, order, self.missing_positive)
        elif labels is not None:
            target, has = _of_one_label(labels, candidates, anchors if self.intra else None), None
        else:
            target, has = candidates, None
        return anchor_mean(self.link(scale * (anchors * target).sum(1), log_z), weight, has)


def _rule(anchors: Tensor, names: Tensor | None) -> Rule:
    """The candidate of the anchor's own row is left out, and those that share its name."""
    own = torch.arange(len(anchors), device=anchors.device)
    return Rule(exclude=own, different=None if names is None else (names, names))


def _neighbours(adjacency: Adjacency, candidates: Tensor, order: int, missing: MissingPositive) -> tuple[Tensor, Tensor]:
    """Mean of the candidates that are positives of each node, and whether it has any.

    Shapes:
        candidates: ``(N, D)``; returns: ``(N, D)`` and ``(N,)`` bool.
    """
    if adjacency.num_nodes != len(candidates):
        raise InputError(f"positives speak of {adjacency.num_nodes} nodes, the embeddings of {len(candidates)}")
    has = adjacency.degree > 0
    if not bool(has.any()):
        raise InputError("no node has a positive: the graph has no edges; add edges, or contrast two views instead")
    if missing == "error" and not bool(has.all()):
        raise InputError(
            f"node {int((~has).nonzero()[0])} has no positive: it has no edge; give it one, or leave such nodes out of the "
            "mean: missing_positive='skip'"
        )
    target = hop = propagate(adjacency, candidates)
    for _ in range(order - 1):
        hop = propagate(adjacency, hop)
        target = target + hop
    return target / order, has


def _of_one_label(labels: Tensor, candidates: Tensor, own: Tensor | None) -> Tensor:
    """Mean of the candidates of each anchor's label, with the other rows of its own view where these count too.

    Shapes:
        labels: ``(N,)``; candidates, own: ``(N, D)``; returns: ``(N, D)``.
    """
    _, classes, sizes = torch.unique(labels, return_inverse=True, return_counts=True)
    count: Tensor = sizes.index_select(0, classes)[:, None].to(candidates.dtype)
    total: Tensor = segment_sum(candidates, classes, len(sizes)).index_select(0, classes)
    if own is not None:
        total = total + segment_sum(own, classes, len(sizes)).index_select(0, classes) - own
        count = 2 * count - 1
    return total / count
