"""What all sequential recommenders share: training rows, an encoder of histories, and a loss of its states among the items."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor, nn

from graphcl.errors import InputError, unknown_name
from graphcl.recsys.encoders import GRUEncoder, Positions, SASEncoder, SequenceEncoder
from graphcl.recsys.ranking import Embeddings
from graphcl.recsys.sequences import Jagged, PrefixBatch, SequenceBatches, Sequences, ShiftedBatch
from graphcl.recsys.sequences.batches import Style
from graphcl.recsys.systems.sequential.objectives import ObjectiveName, named_objective

EncoderName = Literal["sas", "gru"]
EVENTS = 2**14  # of histories, encoded at a time where no gradient is wanted: 17 MB for each of the widest arrays


class SequenceSystem(nn.Module):
    """An encoder of histories whose states are compared with the rows of items by the inner product.

    ``"shifted"`` trains on whole rows, with a loss at every position; ``"prefix"`` on single prefixes, with a loss after the
    last item. With positions from the start both have the same terms: the first meets a row's prefixes in one pass, the other
    mixes users better, at about as many times the cost as rows are long. A subclass may add terms in ``training_step``.

    Args:
        sequences: Training rows; no part of the state.
        encoder: ``"sas"`` or ``"gru"``.
        dim: Width ``D``.
        max_length: Newest items of a history that count.
        layers: Of the encoder.
        heads: Of attention; ``"gru"`` has none.
        dropout: In training, on everything the encoder drops.
        positions: ``"start"`` or ``"recency"``; see `SASEncoder`. ``"gru"`` has none.
        objective: ``"ce"``, ``"sampled"``, ``"gbce"`` or ``"bce"``; see `named_objective`.
        num_negatives: Draws of ``"sampled"`` (a batch) and ``"gbce"`` (a position).
        popularity_power: Draws of ``"sampled"`` follow the count of an item to this power; 0 is uniform.
        calibration: ``t`` of ``"gbce"``, from 0 to 1.
        style: ``"shifted"`` or ``"prefix"``.
        batch_size: Rows a step: users, or prefixes.

    Attributes:
        encoder: The `SequenceEncoder`.
        objective: The loss.

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
        popularity_power: float = 0.0,
        calibration: float = 0.75,
        style: Style = "shifted",
        batch_size: int = 256,
    ) -> None:
        super().__init__()
        if encoder not in get_args(EncoderName):
            raise unknown_name("encoder of histories", encoder, get_args(EncoderName))
        if style not in get_args(Style):
            raise unknown_name("style of training rows", style, get_args(Style))
        if batch_size < 1:
            raise InputError(f"batch_size must be 1 or more; got {batch_size}")
        if style == "shifted" and encoder == "sas" and positions == "recency":
            raise InputError(
                "positions='recency' name the distance to the newest item, which differs from prefix to prefix: "
                "use style='prefix', or positions='start'"
            )
        self.sequences, self.style, self.batch_size = sequences, style, batch_size
        self.encoder: SequenceEncoder
        if encoder == "sas":
            self.encoder = SASEncoder(
                sequences.num_items, dim=dim, max_length=max_length, layers=layers, heads=heads, dropout=dropout,
                positions=positions,
            )  # fmt: skip
        else:
            self.encoder = GRUEncoder(sequences.num_items, dim=dim, max_length=max_length, layers=layers, dropout=dropout)
        counts = sequences.jagged().values.bincount(minlength=sequences.num_items)
        self.objective = named_objective(
            objective, counts, num_negatives=num_negatives, popularity_power=popularity_power, calibration=calibration
        )

    def source(self) -> SequenceBatches:
        """The batches of an epoch, in the system's style."""
        return SequenceBatches(
            self.sequences, self.style, self.batch_size, max_length=self.encoder.max_length,
            device=self.encoder.item_table.device,
        )  # fmt: skip

    def batch_states(self, batch: PrefixBatch | ShiftedBatch) -> Tensor:
        """The states that the batch has a target for, with gradients.

        Shapes:
            returns: ``(P, D)`` beside ``batch.target (P,)``.
        """
        if isinstance(batch, PrefixBatch):
            return self.encoder.last_states(batch.history)
        return self.encoder.all_states(batch.history)

    def recommendation_loss(self, states: Tensor, target: Tensor) -> Tensor:
        """The objective of states among the items, the mean over states.

        Shapes:
            states: ``(P, D)``; target: ``(P,)`` in ``0 .. I - 1``; returns: scalar.
        """
        loss: Tensor = self.objective(states, self.item_embeddings(), target.to(states.device))
        return loss

    def training_step(self, batch: PrefixBatch | ShiftedBatch) -> dict[str, Tensor]:
        """The loss of a batch."""
        return {"loss": self.recommendation_loss(self.batch_states(batch), batch.target)}

    def item_embeddings(self) -> Tensor:
        """Rows of the items, with gradients.

        Shapes:
            returns: ``(I, D)``.
        """
        return self.encoder.items()

    @torch.no_grad()
    def encode(self, history: Jagged) -> Tensor:
        """States after the newest items, in evaluation mode and without gradients, the same at every call.

        Time that of one pass; memory ``O(B D)`` and one chunk of events.

        Shapes:
            history.indptr: ``(B + 1,)``; returns: ``(B, D)``, zeros for an empty history.
        """
        training = self.training
        self.eval()
        try:
            parts = [self.encoder.last_states(part) for part in history.chunks(EVENTS)]
        finally:
            self.train(training)
        return torch.cat(parts) if parts else self.item_embeddings().new_zeros(0, self.encoder.dim)

    def scorer(self, histories: Sequences) -> Embeddings:
        """What ranks: users by their histories, with the fingerprint of the rows that the weights were learned from.

        Args:
            histories: What is known of each user before the part that is judged.

        Raises:
            InputError: Histories over other items, or weights that are not finite.
        """
        if histories.num_items != self.encoder.num_items:
            raise InputError(
                f"histories must be over the {self.encoder.num_items} items of training; got {histories.num_items}"
            )
        states = self.encode(histories.jagged())
        return Embeddings(states, self.item_embeddings(), trained_on=self.sequences.fingerprint)
