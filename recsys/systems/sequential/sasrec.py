"""SASRec: self-attention over a history, and the whole catalogue as the choice."""

from __future__ import annotations

from graphcl.recsys.encoders import Positions
from graphcl.recsys.sequences import Sequences
from graphcl.recsys.sequences.batches import Style
from graphcl.recsys.systems.sequential.objectives import ObjectiveName
from graphcl.recsys.systems.sequential.system import SequenceSystem


class SASRec(SequenceSystem):
    """Self-attention that predicts each next item of a row from those before it.

    The loss is that of the states among the rows of items, by default cross-entropy over the whole catalogue, with which this
    model has long been stronger than in the tables that train it on one negative; ``objective="bce"`` is that original. Time
    ``O(P I D)`` a step for ``P`` states with the full softmax, besides the encoder's.

    Kang and McAuley, 2018, https://arxiv.org/abs/1808.09781; the loss as Klenitskiy and Vasilev, 2023,
    https://arxiv.org/abs/2309.07602, found best. Differs: the block of `SASEncoder` with norms after the residuals, as in all
    contrastive papers; positions count from the start, so that one pass trains all prefixes as they are met in use; ``"bce"``
    draws its negative among all items but the target, also among those of the history.

    Args:
        sequences: Training rows.
        dim: Width ``D``.
        max_length: Newest items of a history that count.
        layers: Blocks.
        heads: Of attention.
        dropout: Of states and attention, in training.
        positions: ``"start"``, or with ``style="prefix"`` also ``"recency"``.
        objective: ``"ce"``, ``"sampled"``, ``"gbce"`` or ``"bce"``.
        num_negatives: Draws of ``"sampled"`` and ``"gbce"``.
        popularity_power: Of the draws of ``"sampled"``.
        calibration: Of ``"gbce"``.
        style: ``"shifted"`` or ``"prefix"``.
        batch_size: Rows a step.

    Raises:
        InputError: Unknown names, or a value out of range.
    """

    def __init__(
        self,
        sequences: Sequences,
        *,
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
        super().__init__(
            sequences,
            encoder="sas",
            dim=dim,
            max_length=max_length,
            layers=layers,
            heads=heads,
            dropout=dropout,
            positions=positions,
            objective=objective,
            num_negatives=num_negatives,
            popularity_power=popularity_power,
            calibration=calibration,
            style=style,
            batch_size=batch_size,
        )
