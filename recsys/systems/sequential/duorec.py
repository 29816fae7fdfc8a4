"""DuoRec: histories that led to the same item are each other's positives."""

from __future__ import annotations

from typing import Any, Literal, get_args

from torch import Tensor

from graphcl.errors import InputError, unknown_name
from graphcl.losses.standardise import check_weight
from graphcl.negatives import NegativesName
from graphcl.recsys.encoders import Positions
from graphcl.recsys.sequences import PrefixBatch, PrefixRows, SequenceBatches, Sequences, ShiftedBatch
from graphcl.recsys.systems.sequential.contrast import Candidates, SequenceContrast
from graphcl.recsys.systems.sequential.objectives import ObjectiveName
from graphcl.recsys.systems.sequential.system import EncoderName, SequenceSystem
from graphcl.recsys.systems.sequential.views import false_negative_share, last_states

Variant = Literal["un", "su", "us", "us_x"]


class DuoRec(SequenceSystem):
    """Next items of prefixes, and the contrast of a prefix with itself under other dropout and with one of the same target.

    With ``h`` the state that recommends, ``h'`` that of a second pass and ``h_s`` that of another prefix before the same item,
    drawn each time: ``"un"`` adds ``contrast NT-Xent(h, h')``, ``"su"`` adds ``same_target NT-Xent(h, h_s)``, ``"us"`` both,
    and ``"us_x"`` adds ``same_target NT-Xent(h', h_s)``. Time ``O(B B D)`` besides one to two encodings more.

    Qiu et al., 2022, https://arxiv.org/abs/2110.05730. Differs: rows of one target are found in memory, not in a file that all
    data sets share; false negatives can be spared.

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
        variant: Which contrasts.
        contrast: Weight of that of two passes.
        same_target: Weight of those with a prefix of the same target.
        mask_false_negatives: Whether rows of one target are no negatives of each other.
        temperature: Divides the similarity of the contrast.
        loss: One of `graphcl.losses.TWO_VIEWS`.
        negatives: One of `graphcl.negatives.NegativesName`.
        candidates: Views differ from the rest of the ``"batch"``, or from ``"items"``.

    Raises:
        InputError: Unknown names, a value out of range, or dropout 0 where two passes are all there is to tell apart.
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
        variant: Variant = "us_x",
        contrast: float = 0.1,
        same_target: float = 0.1,
        mask_false_negatives: bool = False,
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
        if variant not in get_args(Variant):
            raise unknown_name("variant of DuoRec", variant, get_args(Variant))
        self.weight = check_weight("contrast", contrast) if variant in ("un", "us") else 0.0
        self.same_target = check_weight("same_target", same_target) if variant != "un" else 0.0
        if self.weight > 0 and dropout == 0:
            raise InputError(
                f"variant '{variant}' contrasts two passes, which are equal without dropout: set it, or use 'us_x'"
            )
        self.variant, self.mask_false_negatives = variant, mask_false_negatives
        self.rows = PrefixRows(sequences, max_length)
        self.contrast = SequenceContrast(
            temperature, loss=loss, negatives=negatives, candidates=candidates, masked=mask_false_negatives
        )

    def source(self) -> SequenceBatches:
        """The prefixes of an epoch."""
        return SequenceBatches(self.rows, "prefix", self.batch_size, device=self.encoder.item_table.device)

    def on_epoch_start(self, epoch: int, data: Any) -> None:
        """Clusters of the items, where the estimator stands on some."""
        self.contrast.refresh(self.item_embeddings(), seed=epoch)

    def training_step(self, batch: PrefixBatch | ShiftedBatch) -> dict[str, Tensor]:
        """The terms of a batch of prefixes."""
        assert isinstance(batch, PrefixBatch)
        history, target = batch.history, batch.target
        again = self.weight > 0 or (self.variant == "us_x" and self.same_target > 0)
        histories = [history] * (1 + again)
        if self.same_target > 0:
            histories.append(self.rows.history(self.rows.same_target(batch.rows)))
        state, *others = last_states(self, *histories)
        recommendation = self.recommendation_loss(state, target)
        terms = {"loss": recommendation, "recommendation": recommendation}
        if not others:
            return terms
        ids = target if self.mask_false_negatives else None
        if self.weight > 0:
            terms["contrast"] = self.contrast(state, others[0], target, self.item_embeddings(), ids=ids)
            terms["loss"] = terms["loss"] + self.weight * terms["contrast"]
        if self.same_target > 0:
            own = others[0] if self.variant == "us_x" else state
            terms["same_target"] = self.contrast(own, others[-1], target, self.item_embeddings(), ids=ids)
            terms["loss"] = terms["loss"] + self.same_target * terms["same_target"]
        terms["false_negatives"] = false_negative_share(target)
        return terms
