"""ICLRec: a history agrees with its views, and its views with what it seems to be after."""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np
import torch
from torch import Tensor

from graphcl.errors import InputError, unknown_name
from graphcl.losses.standardise import check_weight
from graphcl.negatives import NegativesName
from graphcl.recsys.encoders import Positions
from graphcl.recsys.sequences import Jagged, PrefixBatch, Sequences, ShiftedBatch
from graphcl.recsys.sequences.batches import Style
from graphcl.recsys.systems.sequential.contrast import Candidates, Clusters, SequenceContrast
from graphcl.recsys.systems.sequential.intents import Intents
from graphcl.recsys.systems.sequential.objectives import ObjectiveName
from graphcl.recsys.systems.sequential.system import EVENTS, EncoderName, SequenceSystem
from graphcl.recsys.systems.sequential.views import HistoryViews, at_rest, flat_states, joined, mean_states, row_targets

Summary = Literal["flat", "last"]


class ICLRec(SequenceSystem):
    """Next items, the contrast of two views of each history, and that of each view with the centre of the history's intent.

    ``L = L_rec + contrast NT-Xent(v_1, v_2) + intent 1/2 sum_{v = 1, 2} NT-Xent(mean state of view v, c)``, where ``c`` of unit
    length is the centre nearest to the mean state of the history, found by k-means over all training rows before each epoch.
    Views are compared by all of their states in a row, the newest beside the newest, or by the last ones. Two encodings of a
    history more than without contrast, ``O(B B M D)``, and an encoding and k-means of all rows an epoch.

    Chen et al., 2022, https://arxiv.org/abs/2202.02519. Differs: means are over the items of a history, there over its padding
    as well, in which short histories agree; the recommendation term is the full softmax by default, there one negative a
    position; with fewer rows than intents there are as many intents as rows.

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
        style: Training rows, ``"shifted"`` (users) or ``"prefix"``.
        batch_size: Rows a step.
        contrast: Weight of the contrast of views.
        intent: Weight of the contrast with intents.
        intents: Centres ``K``.
        summary: ``"flat"``, all states of a view, or ``"last"``.
        mask_false_negatives: Whether rows of one intent, or of one target between views, are no negatives of each other.
        crop: Share of a history that a crop keeps.
        mask: Share of items that are masked.
        reorder: Share of a history that is shuffled.
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
        style: Style = "shifted",
        batch_size: int = 256,
        contrast: float = 0.1,
        intent: float = 0.1,
        intents: int = 256,
        summary: Summary = "flat",
        mask_false_negatives: bool = False,
        crop: float = 0.2,
        mask: float = 0.7,
        reorder: float = 0.2,
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
            style=style,
            batch_size=batch_size,
        )
        if summary not in get_args(Summary):
            raise unknown_name("summary of a view", summary, get_args(Summary))
        if candidates == "items" and summary == "flat":
            raise InputError("all states of a view are wider than items: candidates='items' goes with summary='last'")
        self.weight, self.intent = check_weight("contrast", contrast), check_weight("intent", intent)
        self.summary, self.mask_false_negatives = summary, mask_false_negatives
        self.views = HistoryViews(crop, mask, reorder, self.encoder.mask_id)
        self.intents = Intents(min(intents, int((sequences.lengths > 1).sum())), dim)
        self.contrast = SequenceContrast(
            temperature, loss=loss, negatives=negatives, candidates=candidates, masked=mask_false_negatives
        )

    def on_epoch_start(self, epoch: int, data: Any) -> None:
        """The intents of the training rows as the encoder sees them now."""
        self.contrast.refresh(self.item_embeddings(), seed=epoch)
        if self.intent > 0:
            self.intents.find(self._row_means(), seed=epoch)

    def training_step(self, batch: PrefixBatch | ShiftedBatch) -> dict[str, Tensor]:
        """The terms of a batch."""
        if self.weight == self.intent == 0:
            return super().training_step(batch)
        history, target = batch.history, row_targets(batch)
        views = self.views(history)
        states, *others = self._all_states(history, *views)
        wanted = states.index_select(0, history.indptr[1:] - 1) if isinstance(batch, PrefixBatch) else states
        recommendation = self.recommendation_loss(wanted, batch.target)
        terms = {"loss": recommendation, "recommendation": recommendation}
        if self.weight > 0:
            first, second = (self._summary(*view) for view in zip(others, views, strict=True))
            ids = target if self.mask_false_negatives else None
            terms["contrast"] = self.contrast(first, second, target, self.item_embeddings(), ids=ids)
            terms["loss"] = terms["loss"] + self.weight * terms["contrast"]
        if self.intent > 0:
            own, centre = self.intents(mean_states(states, history))
            clusters, ids = Clusters(own, self.intents.count), own if self.mask_false_negatives else None
            means = [mean_states(*view) for view in zip(others, views, strict=True)]
            parts = [self.contrast.within(mean, centre, ids=ids, clusters=clusters) for mean in means]
            terms["intent"] = (parts[0] + parts[1]) / 2
            terms["loss"] = terms["loss"] + self.intent * terms["intent"]
        return terms

    def _all_states(self, *histories: Jagged) -> tuple[Tensor, ...]:
        """States at all places of several sets of histories, from one pass."""
        states = self.encoder.all_states(joined(histories))
        return tuple(torch.split(states, [len(history.values) for history in histories]))

    def _summary(self, states: Tensor, view: Jagged) -> Tensor:
        if self.summary == "flat":
            return flat_states(states, view, self.encoder.max_length)
        return states.index_select(0, view.indptr[1:].to(states.device) - 1)

    def _row_means(self) -> Tensor:
        """The mean state of each user's training row, in evaluation mode."""
        all_rows = self.sequences.jagged()
        users = torch.from_numpy(np.flatnonzero(self.sequences.lengths > 1))
        ends, starts = all_rows.indptr.index_select(0, users + 1) - 1, all_rows.indptr.index_select(0, users)
        rows = all_rows.spans(starts, ends - starts).last(self.encoder.max_length)
        with at_rest(self):
            return torch.cat([mean_states(self.encoder.all_states(part), part) for part in rows.chunks(EVENTS)])
