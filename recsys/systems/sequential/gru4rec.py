"""GRU4Rec: a recurrent network over a history, and the whole catalogue as the choice."""

from __future__ import annotations

from graphcl.recsys.sequences import Sequences
from graphcl.recsys.sequences.batches import Style
from graphcl.recsys.systems.sequential.objectives import ObjectiveName
from graphcl.recsys.systems.sequential.system import SequenceSystem


class GRU4Rec(SequenceSystem):
    """A recurrent network that predicts each next item of a row from those before it.

    The state, ``2 D`` wide, is brought to ``D`` and compared with the rows that the items came in by. Time ``O(P I D)`` a step
    for ``P`` states with the full softmax, besides the encoder's.

    Hidasi et al., 2016, https://arxiv.org/abs/1511.06939, and Hidasi and Karatzoglou, 2018, https://arxiv.org/abs/1706.03847.
    Differs: cross-entropy over the whole catalogue by default; ``"sampled"`` with ``popularity_power`` has their additional
    negatives, and corrects each by its probability; whole histories instead of session-parallel batches; no BPR-max.

    Args:
        sequences: Training rows.
        dim: Width ``D``.
        max_length: Newest items of a history that count.
        layers: Recurrent layers.
        dropout: Of items and between layers, in training.
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
        layers: int = 1,
        dropout: float = 0.3,
        objective: ObjectiveName = "ce",
        num_negatives: int = 256,
        popularity_power: float = 0.0,
        calibration: float = 0.75,
        style: Style = "shifted",
        batch_size: int = 256,
    ) -> None:
        super().__init__(
            sequences,
            encoder="gru",
            dim=dim,
            max_length=max_length,
            layers=layers,
            dropout=dropout,
            objective=objective,
            num_negatives=num_negatives,
            popularity_power=popularity_power,
            calibration=calibration,
            style=style,
            batch_size=batch_size,
        )
