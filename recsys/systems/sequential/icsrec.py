"""ICSRec: prefixes that led to the same item share an intent, and so do those whose states lie together."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from graphcl.losses.standardise import check_weight
from graphcl.negatives import NegativesName
from graphcl.recsys.encoders import Positions
from graphcl.recsys.sequences import PrefixBatch, PrefixRows, SequenceBatches, Sequences, ShiftedBatch
from graphcl.recsys.systems.sequential.contrast import Candidates, Clusters, SequenceContrast
from graphcl.recsys.systems.sequential.intents import Intents
from graphcl.recsys.systems.sequential.objectives import ObjectiveName
from graphcl.recsys.systems.sequential.same_target import last_other
from graphcl.recsys.systems.sequential.system import EncoderName, SequenceSystem
from graphcl.recsys.systems.sequential.views import false_negative_share, last_states, prefix_states


class ICSRec(SequenceSystem):
    """Next items of prefixes, the contrast of two prefixes of one target, and that of each with the centre of its intent.

    ``L = L_rec + coarse L_c + fine L_f``. ``L_c = NT-Xent(h(S_1), h(S_2))`` where ``S_2`` is another prefix before the same
    item: a coarse intent. ``L_f = sum_{v = 1, 2} NT-Xent(h(S_v), c(h(S_v)))``, states and centres both anchors, with ``c`` the
    nearest of ``K`` centres, in unit length: a fine intent. Centres are found by k-means over the states of all prefixes before
    each epoch and are constants of it. With ``mask_false_negatives``, rows of one target in ``L_c``, and of one centre in
    ``L_f``, are no negatives of each other; where that leaves nobody any, the loss is 0. ``coarse=fine=0`` is `SASRec` on
    prefixes, the baseline to compare with: prefixes and the full softmax explain much of what this model gains on tables
    without them.

    Three encodings of a batch, two with ``shared_pass``; ``O(B B D + B K D)`` a step; an encoding of all prefixes and k-means
    an epoch, where positions count from the start one pass over each user.

    Qin et al., 2024, https://arxiv.org/abs/2310.14318. Differs: ``S_2`` is drawn each time from all others, there it is always
    the last one with other items (``official_last``); a prefix is one row for each target, without rows set aside twice;
    padding and mask are no items in the recommendation term; positions count from the start by default.

    Args:
        sequences: Training rows.
        encoder: ``"sas"`` or ``"gru"``.
        dim: Width ``D``.
        max_length: Newest items of a history that count.
        layers: Of the encoder.
        heads: Of attention.
        dropout: Of the encoder, in training.
        positions: ``"start"`` or ``"recency"``; see `SASEncoder`.
        objective: Of the recommendation term; see `named_objective`.
        num_negatives: Draws of ``"sampled"`` and ``"gbce"``.
        batch_size: Prefixes a step.
        coarse: Weight of ``L_c``.
        fine: Weight of ``L_f``.
        intents: Centres ``K``; as many as there are prefixes, where these are fewer.
        mask_false_negatives: Whether rows of one intent are no negatives of each other.
        official_last: Whether ``S_2`` is the last prefix of the target whose items differ, ``S_1`` itself where none does.
        shared_pass: Whether the state that recommends is ``h(S_1)`` too: another estimator, since the two then share their
            dropout, at two thirds of the encodings.
        temperature: Divides the similarity of the contrast.
        loss: One of `graphcl.losses.TWO_VIEWS`.
        negatives: One of `graphcl.negatives.NegativesName`.
        candidates: Views differ from the rest of the ``"batch"``, or from ``"items"``.

    Raises:
        InputError: Unknown names, or a value out of range.
    """

    def __init__(
        self,
        sequences: Sequences,
        *,
        encoder: EncoderName = "sas",
        dim: int = 64,
        max_length: int = 50,
        layers: int = 2,
        heads: int = 2,
        dropout: float = 0.5,
        positions: Positions = "start",
        objective: ObjectiveName = "ce",
        num_negatives: int = 256,
        batch_size: int = 256,
        coarse: float = 0.3,
        fine: float = 0.1,
        intents: int = 256,
        mask_false_negatives: bool = True,
        official_last: bool = False,
        shared_pass: bool = False,
        temperature: float = 1.0,
        loss: str = "nt-xent",
        negatives: NegativesName = "exact",
        candidates: Candidates = "batch",
    ) -> None:
        super().__init__(
            sequences,
            encoder=encoder,
            dim=dim,
            max_length=max_length,
            layers=layers,
            heads=heads,
            dropout=dropout,
            positions=positions,
            objective=objective,
            num_negatives=num_negatives,
            style="prefix",
            batch_size=batch_size,
        )
        self.coarse, self.fine = check_weight("coarse", coarse), check_weight("fine", fine)
        self.mask_false_negatives, self.shared_pass = mask_false_negatives, shared_pass
        self.rows = PrefixRows(sequences, max_length)
        self.intents = Intents(min(intents, self.rows.num_rows), dim)
        self._partner = last_other(self.rows) if official_last else None
        self.contrast = SequenceContrast(
            temperature, loss=loss, negatives=negatives, candidates=candidates, masked=mask_false_negatives
        )

    def source(self) -> SequenceBatches:
        """The prefixes of an epoch."""
        return SequenceBatches(self.rows, "prefix", self.batch_size, device=self.encoder.item_table.device)

    def on_epoch_start(self, epoch: int, data: Any) -> None:
        """The fine intents of all prefixes as the encoder sees them now."""
        self.contrast.refresh(self.item_embeddings(), seed=epoch)
        if self.fine > 0:
            self.intents.find(prefix_states(self, self.rows), seed=epoch)

    def training_step(self, batch: PrefixBatch | ShiftedBatch) -> dict[str, Tensor]:
        """The terms of a batch of prefixes."""
        assert isinstance(batch, PrefixBatch)
        if self.coarse == self.fine == 0:
            return super().training_step(batch)
        own = [batch.history] if self.shared_pass else [batch.history, batch.history]
        states = last_states(self, *own, self.rows.history(self.partner(batch.rows)))
        recommendation = self.recommendation_loss(states[0], batch.target)
        terms = {"loss": recommendation, "recommendation": recommendation}
        if self.coarse > 0:
            terms["coarse"] = self.coarse_loss(states[-2], states[-1], batch.target)
            terms["loss"] = terms["loss"] + self.coarse * terms["coarse"]
        if self.fine > 0:
            terms["fine"] = self.fine_loss(states[-2]) + self.fine_loss(states[-1])
            terms["loss"] = terms["loss"] + self.fine * terms["fine"]
        terms["false_negatives"] = false_negative_share(batch.target)
        return terms

    def partner(self, rows: Tensor) -> Tensor:
        """The prefix that each is compared with.

        Shapes:
            rows: ``(B,)``, numbers in ``self.rows``; returns: the same.
        """
        if self._partner is None:
            return self.rows.same_target(rows)
        return self._partner.index_select(0, rows.cpu()).to(rows.device)

    def coarse_loss(self, first: Tensor, second: Tensor, target: Tensor) -> Tensor:
        """``L_c`` of the states of two prefixes of each target.

        Shapes:
            first, second: ``(B, D)``; target: ``(B,)``; returns: scalar.
        """
        ids = target if self.mask_false_negatives else None
        loss: Tensor = self.contrast(first, second, target, self.item_embeddings(), ids=ids)
        return loss

    def fine_loss(self, states: Tensor) -> Tensor:
        """``L_f`` of the states of one prefix of each target.

        Shapes:
            states: ``(B, D)``; returns: scalar.
        """
        own, centre = self.intents(states)
        ids = own if self.mask_false_negatives else None
        return self.contrast.within(states, centre, ids=ids, clusters=Clusters(own, self.intents.count))
