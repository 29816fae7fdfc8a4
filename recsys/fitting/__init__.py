"""From training rows to a recommender: the epoch is chosen on validation, and the test part is never seen."""

from graphcl.recsys.fitting.fit_system import Fitted, fit_system
from graphcl.recsys.fitting.fold_in import fold_in
from graphcl.recsys.fitting.served import Served
from graphcl.recsys.fitting.validation import Validation, list_scores

__all__ = ["Fitted", "Served", "Validation", "fit_system", "fold_in", "list_scores"]
