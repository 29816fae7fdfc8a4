"""CL4SRec: two damaged copies of a history should lead to the same state."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from graphcl.losses.standardise import check_weight
from graphcl.negatives import NegativesName
from graphcl.recsys.encoders import Positions
from graphcl.recsys.sequences import PrefixBatch, Sequences, ShiftedBatch
from graphcl.recsys.sequences.batches import Style
from graphcl.recsys.systems.sequential.contrast import Candidates, SequenceContrast
from graphcl.recsys.systems.sequential.objectives import ObjectiveName
from graphcl.recsys.systems.sequential.system import EncoderName, SequenceSystem
from graphcl.recsys.systems.sequential.views import HistoryViews, row_targets, states_beside


class CL4SRec(SequenceSystem):
    """Next items, and the contrast of two views of each history.

    ``L = L_rec + contrast NT-Xent(f(a_1(s)), f(a_2(s)))``, where ``a_1`` and ``a_2`` are two different ones of cropping,
    masking and reordering. Two encodings of a history more than without contrast, and ``O(B B D)``; ``contrast=0`` is `SASRec`.

    Xie et al., 2022, https://arxiv.org/abs/2010.14395. Differs: the recommendation term is the full softmax by default, there
    one negative a position; a view never writes into the data, as it does in a widespread port; a crop keeps one item at least.

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
        contrast: Weight of the contrast.
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
        crop: float = 0.6,
        mask: float = 0.3,
        reorder: float = 0.6,
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
        self.weight = check_weight("contrast", contrast)
        self.views = HistoryViews(crop, mask, reorder, self.encoder.mask_id)
        self.contrast = SequenceContrast(temperature, loss=loss, negatives=negatives, candidates=candidates)

    def on_epoch_start(self, epoch: int, data: Any) -> None:
        """Clusters of the items, where the estimator stands on some."""
        self.contrast.refresh(self.item_embeddings(), seed=epoch)

    def training_step(self, batch: PrefixBatch | ShiftedBatch) -> dict[str, Tensor]:
        """The terms of a batch."""
        if self.weight == 0:
            return super().training_step(batch)
        states, first, second = states_beside(self, batch, *self.views(batch.history))
        recommendation = self.recommendation_loss(states, batch.target)
        contrast = self.contrast(first, second, row_targets(batch), self.item_embeddings())
        return {
            "loss": recommendation + self.weight * contrast,
            "recommendation": recommendation,
            "contrast": contrast,
        }
