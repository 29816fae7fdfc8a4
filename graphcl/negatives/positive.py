"""Where the rule names the positive of each anchor."""

from __future__ import annotations

from torch import Tensor

from graphcl.errors import InputError
from graphcl.kernels import Rule


def positive_positions(rule: Rule, num_candidates: int, remedy: str) -> Tensor:
    """``rule.exclude``, which names the candidate that is the anchor's positive, by position.

    Args:
        rule: Of an estimator that reads the positive.
        num_candidates: ``M``.
        remedy: What to do where the positives are others.

    Shapes:
        returns: ``(N,)`` int64 in ``0 .. M - 1``.

    Raises:
        InputError: The rule names none, or a position that is not there; the latter is asked on the CPU only.
    """
    exclude = rule.exclude
    if exclude is None or (
        not exclude.is_cuda and len(exclude) > 0 and (int(exclude.min()) < 0 or int(exclude.max()) >= num_candidates)
    ):
        raise InputError(
            f"the positive of each anchor must be named by rule.exclude, one of {num_candidates} candidates by its position; "
            f"{remedy} where the positives are others."
        )
    return exclude
