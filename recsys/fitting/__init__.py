"""From training rows to a recommender: the epoch is chosen on validation, and the test part is never seen."""

from graphcl.recsys.fitting.best_epoch import BestEpoch
from graphcl.recsys.fitting.fit_sequences import fit_sequences
from graphcl.recsys.fitting.fit_system import fit_system
from graphcl.recsys.fitting.fold_in import fold_in
from graphcl.recsys.fitting.next_item import NextItem
from graphcl.recsys.fitting.rounds import Fitted
from graphcl.recsys.fitting.served import Served
from graphcl.recsys.fitting.validation import Validation, list_scores

__all__ = [
    "BestEpoch", "Fitted", "NextItem", "Served", "Validation", "fit_sequences", "fit_system", "fold_in", "list_scores",
]  # fmt: skip
