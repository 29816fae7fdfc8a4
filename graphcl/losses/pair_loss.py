"""A pairwise contrastive loss is a link applied to positives and an estimate of the negatives."""

from __future__ import annotations

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from graphcl.errors import InputError
from graphcl.kernels import Adjacency, Rule, propagate
from graphcl.losses.anchors import anchor_mean, check_ids
from graphcl.losses.links import Link, coupled
from graphcl.negatives import Exact, MetaNode, Negatives

Symmetric = Literal["mean", "sum", "off"]
Similarity = Literal["cosine", "dot"]
Intra = bool | Literal["only"]
MIN_TEMPERATURE = 1e-4  # below it fp32 logits lose the digits that tell two candidates apart


def check_temperature(temperature: float) -> float:
    """The temperature itself, or an `InputError` that says what is wrong with it."""
    if not math.isfinite(temperature) or temperature <= 0:
        raise InputError(f"temperature must be > 0, since it divides the similarity; got {temperature}")
    if temperature < MIN_TEMPERATURE:
        raise InputError(f"temperature must be at least {MIN_TEMPERATURE}; got {temperature}")
    return temperature


class PairLoss(nn.Module):
    """``mean_i link(positive logit of i, log-partition of the negatives of i)``.

    Two ways to say who belongs together. Two views: row ``i`` of ``z1`` pairs with row ``i`` of ``z2``, and every other
    row of ``z2`` is a negative; with ``intra`` every other row of ``z1`` too, or instead. Rows with equal ``ids`` are never
    negatives of each other. A graph: ``loss(z, z, positives=adjacency)``, where a node's positive logit is the mean of its
    neighbours', weighted by its row of the adjacency, and every other node is a negative; nodes without a neighbour
    have nothing to agree with and are left out of the mean. Under cosine a row of zeros is similar to nobody and gets no
    gradient.

    Args:
        link: ``coupled`` or ``decoupled``, or any function of two ``(N,)`` vectors.
        negatives: Estimator of the log-partition; exact when ``None``.
        temperature: Divides the similarity, ``>= 1e-4``.
        similarity: ``"cosine"`` normalises the rows, ``"dot"`` takes them as they are.
        symmetric: Both directions averaged or added, or only ``z1`` to ``z2``.
        intra: Whether the anchor's own view holds negatives as well; ``"only"`` where the other view holds none.

    Shapes:
        z1, z2: ``(N, D)``; positives: ``(N, N)`` sparse; ids: ``(N,)`` integers; weight: ``(N,)``; returns: scalar.

    Raises:
        InputError: Wrong shapes, fewer than two rows, non-finite values, a temperature that is not positive; ids that leave
            no negatives, weights that are negative or all zero; an estimator that cannot leave out more than one candidate.
    """

    def __init__(
        self,
        link: Link = coupled,
        *,
        negatives: Negatives | None = None,
        temperature: float = 0.5,
        similarity: Similarity = "cosine",
        symmetric: Symmetric = "mean",
        intra: Intra = False,
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
        self.link = link
        self.negatives: Negatives = negatives if negatives is not None else Exact()
        self.scale = 1.0 / check_temperature(temperature)
        self.similarity = similarity
        self.symmetric = symmetric
        self.intra = intra

    def forward(
        self,
        z1: Tensor,
        z2: Tensor,
        *,
        positives: Adjacency | None = None,
        order: int = 1,
        ids: Tensor | None = None,
        weight: Tensor | None = None,
    ) -> Tensor:
        """The loss of two views, or of one set of nodes with a graph of positives.

        Args:
            z1: Anchors.
            z2: Candidates; with ``positives`` usually the same tensor as ``z1``.
            positives: Row-normalised adjacency without self-loops; ``None`` pairs row ``i`` with row ``i``.
            order: Powers ``1 .. order`` of ``positives`` are averaged: influence reaches that many hops.
            ids: Of the instances: rows with equal ids are not negatives of each other; all differ when ``None``.
            weight: Of the anchors in a weighted mean, ``>= 0``; all equal when ``None``.
        """
        check_pairs(z1, z2)
        if order < 1:
            raise InputError(f"order must be >= 1, the hops that positives reach; got {order}")
        if positives is not None and self.link is coupled:
            raise InputError("a graph of positives goes with the decoupled link: its positives are already in the partition")
        if positives is not None and self.intra:
            raise InputError("a graph of positives contrasts one set of nodes; intra is about two views: leave it False")
        if ids is not None:
            check_ids("ids", ids, len(z1))
        same = z1 is z2
        u1 = self._rows(z1)
        u2 = u1 if same else self._rows(z2)
        loss = self._one_way(u1, u2, positives, order, ids, weight)
        if self.symmetric == "off":
            return loss
        back = loss if same else self._one_way(u2, u1, positives, order, ids, weight)
        return loss + back if self.symmetric == "sum" else (loss + back) / 2

    def extra_repr(self) -> str:
        """Link, temperature and estimator, for ``print``."""
        name = getattr(self.link, "__name__", repr(self.link))
        intra = f", intra={self.intra!r}" if self.intra else ""
        return f"{name}, temperature={1 / self.scale:g}, negatives={self.negatives!r}{intra}"

    def _rows(self, z: Tensor) -> Tensor:
        return unit_rows(z) if self.similarity == "cosine" else z

    def _log_z(self, own: Tensor, other: Tensor, ids: Tensor | None) -> Tensor:
        instances = torch.arange(len(own), device=own.device)
        candidates = own if self.intra == "only" else other
        if ids is None and self.intra is not True:
            return self.negatives.log_z(own, candidates, scale=self.scale, rule=Rule(exclude=instances))
        if isinstance(self.negatives, MetaNode):
            raise InputError(
                "meta-nodes take one candidate an anchor out of its cluster; ids and intra=True take out more. "
                "Use exact negatives, or drop them"
            )
        ids = instances if ids is None else ids
        theirs = ids
        if self.intra is True:
            candidates, theirs = torch.cat([other, own]), torch.cat([ids, ids])
        return self.negatives.log_z(own, candidates, scale=self.scale, rule=Rule(different=(ids, theirs)))

    def _one_way(
        self,
        anchors: Tensor,
        candidates: Tensor,
        positives: Adjacency | None,
        order: int,
        ids: Tensor | None,
        weight: Tensor | None,
    ) -> Tensor:
        log_z = self._log_z(anchors, candidates, ids)
        if positives is None:
            return anchor_mean(self.link(self.scale * (anchors * candidates).sum(1), log_z), weight)
        if positives.num_nodes != len(anchors):
            raise InputError(f"positives speak of {positives.num_nodes} nodes, the embeddings of {len(anchors)}")
        target = hop = propagate(positives, candidates)
        for _ in range(order - 1):
            hop = propagate(positives, hop)
            target = target + hop
        has = positives.degree > 0
        if not bool(has.any()):
            raise InputError("no node has a positive: the graph has no edges; add edges, or contrast two views instead")
        terms = self.link(self.scale * (anchors * target).sum(1) / order, log_z)
        return anchor_mean(terms, weight, has)


def unit_rows(z: Tensor) -> Tensor:
    """Rows divided by their length; a row of zeros stays zero and gets no gradient.

    Shapes:
        z: ``(N, D)``; returns: the same.
    """
    # A row of zeros has no direction to move in; `normalize` alone would divide its gradient by eps.
    return F.normalize(z, dim=1, eps=1e-8).masked_fill((z == 0).all(1, keepdim=True), 0.0)


def check_pairs(z1: Tensor, z2: Tensor) -> None:
    """Refuses views that do not pair row by row, that leave no negatives, or that are not finite."""
    if z1.ndim != 2 or z1.shape != z2.shape:
        raise InputError(
            f"z1 and z2 must both be (N, D) with equal N and D; got {tuple(z1.shape)} and {tuple(z2.shape)}. "
            "Row i of each view must be the same node: did an augmenter drop nodes?"
        )
    if len(z1) < 2:
        raise InputError(f"contrast needs at least 2 rows, or there are no negatives; got {len(z1)}")
    for name, z in (("z1", z1), ("z2", z2)):
        if not z.is_cuda and not bool(torch.isfinite(z).all()):
            row = int((~torch.isfinite(z)).any(1).nonzero()[0])
            raise InputError(f"{name} has a value that is not finite in row {row}: the encoder diverged or its input was bad")
