"""MCLRec: two small networks learn which further views of a history are worth a contrast."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any, Literal, NamedTuple, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from graphcl.errors import unknown_name
from graphcl.losses.standardise import check_weight
from graphcl.negatives import NegativesName
from graphcl.recsys.encoders import Positions
from graphcl.recsys.sequences import Jagged, PrefixBatch, SequenceBatches, Sequences, ShiftedBatch
from graphcl.recsys.sequences.batches import Style
from graphcl.recsys.systems.sequential.contrast import Candidates, SequenceContrast
from graphcl.recsys.systems.sequential.margin import MarginForm, margin_penalty
from graphcl.recsys.systems.sequential.objectives import ObjectiveName
from graphcl.recsys.systems.sequential.system import EncoderName, SequenceSystem
from graphcl.recsys.systems.sequential.views import HistoryViews, last_states, row_targets, states_beside

Update = Literal["joint", "paper2", "code3"]
Phase = Literal["both", "encoder", "augmenters"]
PHASES: dict[str, tuple[Phase, ...]] = {
    "joint": ("both",),
    "paper2": ("encoder", "augmenters"),
    "code3": ("encoder", "augmenters", "encoder"),
}


class Phased(NamedTuple):
    """A batch, the views of its histories, and what its step moves.

    Args:
        batch: As it came.
        views: Of ``batch.history``; none where nothing is contrasted.
        phase: ``"both"``, or one of ``"encoder"`` and ``"augmenters"``.
    """

    batch: PrefixBatch | ShiftedBatch
    views: tuple[Jagged, ...]
    phase: Phase


class PhasedBatches:
    """Every batch as many times as it has phases, with the same views each time.

    Args:
        source: Of the batches.
        phases: In order.
        views: Draws those of a batch; ``None`` for none.
    """

    def __init__(self, source: SequenceBatches, phases: tuple[Phase, ...], views: HistoryViews | None) -> None:
        self.source, self.phases, self.views = source, phases, views

    def __len__(self) -> int:
        return len(self.source) * len(self.phases)

    def batches(self, epoch: int) -> Iterator[Phased]:
        """The steps of an epoch."""
        for batch in self.source.batches(epoch):
            views = () if self.views is None else self.views(batch.history)
            for phase in self.phases:
                yield Phased(batch, views, phase)


class Augmenter(nn.Module):
    """A network of three layers, ``D -> D / 2 -> D / 4 -> D``, GELU between them, whose output has length 1.

    Shapes:
        states: ``(B, D)``; returns: the same.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        widths = dim, max(1, dim // 2), max(1, dim // 4), dim
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(widths))
        for layer in self.layers:
            assert isinstance(layer, nn.Linear)
            nn.init.xavier_normal_(layer.weight)

    def forward(self, states: Tensor) -> Tensor:
        """The augmented states."""
        first, second, last = self.layers
        return F.normalize(last(F.gelu(second(F.gelu(first(states))))), dim=1)


class MCLRec(SequenceSystem):
    """Next items, the contrast of two views of each history, and those with what two learnt augmenters make of the views.

    ``h_1, h_2`` are the states of two views by different ones of cropping, masking and reordering, ``z_v = w_v(h_v)`` of length
    1. ``L_cl1 = C(h_1, h_2)``, ``L_cl2 = C(z_1, z_2) + C(h_1, z_2) + C(h_2, z_1)`` with ``C`` NT-Xent, and ``R`` the
    `margin_penalty`, of these three pairs for ``margin_form="rows"`` and of ``(z_1, z_2)`` for ``"sets"``. The encoder is moved
    on ``L_0 = L_rec + contrast L_cl1 + augmented (L_cl2 + margin R)``, the augmenters on ``L_1 = L_cl2 + margin R``, for
    ``"sets"`` with ``augmented margin R`` in it. ``update`` says when:

    - ``"code3"``: for each batch the encoder, then the augmenters with the moved encoder and other dropout, then the encoder
      again; the views stay. Two steps of the encoder a batch: compare with baselines that had as many.
    - ``"paper2"``: the first two of them.
    - ``"joint"``: one step of both on ``L_0``.

    No gradient goes through a step, so nothing is learnt to learn: steps alternate. A step moves what has a gradient, hence one
    optimiser and ``accumulate=1`` but for ``"joint"``; the encoder gives the augmenters constants, without a backward pass.
    With ``augmented=0`` augmenters have no use and no step, and with ``contrast=0`` too no view is drawn: what is left is
    `SASRec`, for ``"code3"`` with each batch twice. Terms are means over steps; that of the augmenters' step counts in ``loss``
    with ``L_1``, and shows the recommendation and ``L_cl1`` of the step before it.

    Three encodings of a batch a step of the encoder, two forward alone a step of the augmenters; ``O(B B D)`` for each ``C``
    and ``R``.

    Qin et al., 2023, https://arxiv.org/abs/2304.07763. Differs: masked items are zero as in the official code, and are attended
    to, which they are not there; the padding is no item in the recommendation term; augmenters are part of the state, so that a
    run that goes on has them.

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
        update: ``"joint"``, ``"paper2"`` or ``"code3"``.
        contrast: Weight of ``L_cl1``.
        augmented: Weight of ``L_cl2``.
        margin: Weight of ``R`` beside ``L_cl2``.
        margin_form: ``"rows"``, that of the official code, or ``"sets"``, that of the paper.
        shared_augmenters: Whether both views have the same augmenter.
        crop: Share of a history that a crop keeps.
        mask: Share of items that are masked.
        reorder: Share of a history that is shuffled.
        temperature: Divides the similarity of ``L_cl1``; that of ``L_cl2`` is as it is.
        loss: One of `graphcl.losses.TWO_VIEWS`, in place of NT-Xent.
        negatives: One of `graphcl.negatives.NegativesName`.
        candidates: Of ``L_cl1``: the rest of the ``"batch"``, or ``"items"``.

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
        style: Style = "prefix",
        batch_size: int = 256,
        update: Update = "code3",
        contrast: float = 0.04,
        augmented: float = 0.1,
        margin: float = 0.1,
        margin_form: MarginForm = "rows",
        shared_augmenters: bool = False,
        crop: float = 0.5,
        mask: float = 0.5,
        reorder: float = 0.8,
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
        if update not in PHASES:
            raise unknown_name("order of updates", update, PHASES)
        if margin_form not in get_args(MarginForm):
            raise unknown_name("form of the margin penalty", margin_form, get_args(MarginForm))
        self.weight, self.augmented = check_weight("contrast", contrast), check_weight("augmented", augmented)
        self.margin, self.margin_form, self.update = check_weight("margin", margin), margin_form, update
        self.views = HistoryViews(crop, mask, reorder, self.encoder.pad_id)
        self.augmenters = nn.ModuleList(Augmenter(dim) for _ in range(1 if shared_augmenters else 2))
        self.contrast = SequenceContrast(temperature, loss=loss, negatives=negatives, candidates=candidates)
        self.augmented_contrast = SequenceContrast(1.0, loss=loss, negatives=negatives)
        self._before: dict[str, Tensor] = {}

    @property
    def phases(self) -> tuple[Phase, ...]:
        """The steps of a batch."""
        phases = PHASES[self.update]
        return phases if self.augmented > 0 else tuple(phase for phase in phases if phase != "augmenters")

    def source(self) -> PhasedBatches:  # type: ignore[override]
        """The steps of an epoch."""
        return PhasedBatches(super().source(), self.phases, self.views if self.weight > 0 or self.augmented > 0 else None)

    def on_epoch_start(self, epoch: int, data: Any) -> None:
        """Clusters of the items, where the estimator stands on some."""
        self.contrast.refresh(self.item_embeddings(), seed=epoch)

    def training_step(self, batch: Phased) -> dict[str, Tensor]:  # type: ignore[override]
        """The terms of a step."""
        if batch.phase == "augmenters":
            return self._augmenters_step(batch)
        with _constant(self.augmenters, batch.phase == "encoder"):
            return self._encoder_step(batch)

    def augmented_terms(self, first: Tensor, second: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """``L_cl2`` and ``R`` of the states of two views.

        Shapes:
            first, second: ``(B, D)``; target: ``(B,)``; returns: two scalars.
        """
        z_first, z_second = self.augmenters[0](first), self.augmenters[-1](second)
        pairs = (z_first, z_second), (first, z_second), (second, z_first)
        clusters = self.contrast.clusters(target)
        parts = [self.augmented_contrast.within(*pair, clusters=clusters) for pair in pairs]
        contrast = parts[0] + parts[1] + parts[2]
        if self.margin == 0 or len(first) < 2:  # a row by itself has no negatives to be too far from
            return contrast, contrast.new_zeros(())
        if self.margin_form == "sets":
            return contrast, margin_penalty(z_first, z_second, form="sets")
        penalties = [margin_penalty(*pair) for pair in pairs]
        return contrast, penalties[0] + penalties[1] + penalties[2]

    def _encoder_step(self, step: Phased) -> dict[str, Tensor]:
        states, *views = states_beside(self, step.batch, *step.views)
        recommendation = self.recommendation_loss(states, step.batch.target)
        terms = {"loss": recommendation, "recommendation": recommendation}
        if views:
            first, second = views
            target = row_targets(step.batch)
            if self.weight > 0:
                terms["contrast"] = self.contrast(first, second, target, self.item_embeddings())
                terms["loss"] = terms["loss"] + self.weight * terms["contrast"]
            if self.augmented > 0:
                terms["augmented"], terms["margin"] = self.augmented_terms(first, second, target)
                terms["loss"] = terms["loss"] + self.augmented * (terms["augmented"] + self.margin * terms["margin"])
        self._before = {name: term.detach() for name, term in terms.items()}
        return terms

    def _augmenters_step(self, step: Phased) -> dict[str, Tensor]:
        with torch.no_grad():
            first, second = last_states(self, *step.views)
        contrast, margin = self.augmented_terms(first, second, row_targets(step.batch))
        weight = self.margin * (self.augmented if self.margin_form == "sets" else 1.0)
        return {**self._before, "augmented": contrast, "margin": margin, "loss": contrast + weight * margin}


@contextmanager
def _constant(module: nn.Module, really: bool) -> Iterator[None]:
    """A block in whose graph the parameters of a module are constants."""
    if not really:
        yield
        return
    module.requires_grad_(False)
    try:
        yield
    finally:
        module.requires_grad_(True)
