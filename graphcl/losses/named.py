"""Losses of two views by name, for settings that come from a command line or a recipe."""

from __future__ import annotations

from inspect import signature
from typing import Any

from torch import nn

from graphcl.errors import InputError, unknown_name
from graphcl.losses.table import LOSSES
from graphcl.negatives import Negatives

# Every loss that takes two views and nothing else; those that keep a memory of the instances are told their number first.
TWO_VIEWS = (
    "info-nce", "nt-xent", "dcl", "dclw", "dhel", "mv-info-nce", "mv-dhel", "a-info-nce", "debiased", "hcl", "hard-contrast",
    "kernel-info-nce", "kcl", "alignment", "decoupled-uniformity", "bce", "jsd", "triplet", "bootstrap", "barlow-twins",
    "vicreg", "cca-ssg", "ssge", "w-mse",
)  # fmt: skip


def two_view_loss(name: str, temperature: float, negatives: Negatives | None = None) -> nn.Module:
    """A loss with its published defaults, called as ``loss(z1, z2)``.

    Args:
        name: One of `TWO_VIEWS`.
        temperature: Of the losses that have one.
        negatives: Estimator of the negative term, for the losses that take any; their own when ``None``.

    Raises:
        InputError: Unknown, no loss of two views alone, or an estimator for a loss that takes none.
    """
    if name not in TWO_VIEWS:
        raise unknown_name("loss of two views", name, TWO_VIEWS)
    make = LOSSES[name].make
    known = signature(make).parameters
    if negatives is not None and "negatives" not in known:
        takers = [other for other in TWO_VIEWS if "negatives" in signature(LOSSES[other].make).parameters]
        raise InputError(f"'{name}' takes no estimator of negatives; got {negatives!r}. These do: {', '.join(takers)}")
    given: dict[str, Any] = {"temperature": temperature} if "temperature" in known else {}
    return make(**given) if negatives is None else make(**given, negatives=negatives)
