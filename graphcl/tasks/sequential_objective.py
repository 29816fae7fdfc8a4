"""What a trial of tuning a sequential recommender is worth: the next item on validation; the test part is taken away before."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from graphcl.errors import InputError
from graphcl.recsys.fitting.next_item import METRIC
from graphcl.recsys.methods import ANCHORS
from graphcl.recsys.ranking import evaluate
from graphcl.recsys.sequences import SequenceSplit
from graphcl.tasks.recommender import Recommender
from graphcl.tasks.run_config import RunConfig
from graphcl.tasks.sequential_run import SequentialJudge


class NextItemObjective:
    """nDCG@10 of the next item on the validation part, of the epoch that is best by it; nothing is trained again.

    The split is that of a run with the same configuration, and seen items count as its protocol has it.

    Args:
        config: The run that is tuned.
        data: The split of sequences.

    Raises:
        InputError: What a run would refuse.
    """

    metric = f"valid {METRIC}"

    def __init__(self, config: RunConfig, data: SequenceSplit) -> None:
        judge = SequentialJudge(config, data)
        split, self.protocol, self.mask_seen = judge.data, judge.protocol, judge.mask_seen
        nothing = split.test.select(np.zeros(split.test.num_events, dtype=np.bool_))
        pairs = replace(split.split, test=nothing.interactions())
        self.split = SequenceSplit(pairs, split.train, split.valid, nothing)
        self.said = f"all items ranked for the users of the validation part ({pairs.selection}), protocol {self.protocol}"

    def value(self, config: RunConfig, seed: int) -> float:
        """The score of the best epoch, or of a model without epochs."""
        recommender = Recommender(
            config.system, params=config.model, training=config.training, every=config.every, patience=config.patience,
            refit=False, mask_seen=self.mask_seen, seed=seed,
        ).fit(self.split)  # fmt: skip
        if config.system in ANCHORS:
            scorer = recommender.trained_.scorer_after(self.split.train)
            found = evaluate(
                scorer, self.split.for_part("valid"), (10,), ("ndcg",), part="valid", protocol=self.protocol
            )  # fmt: skip
            return float(found.metrics[METRIC])
        if recommender.best_value_ is None:
            raise InputError(f"{config.system} was not scored on validation in {config.training.epochs} epochs; train longer")
        return recommender.best_value_
