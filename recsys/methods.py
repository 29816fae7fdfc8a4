"""The router from names to recommenders: anchors that need no training loop, and every system of both tasks."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from graphcl.errors import InputError, unknown_name
from graphcl.models import SYSTEMS, SystemEntry

TASK, SEQUENTIAL = "recommendation", "sequential"
_ANCHORS = "graphcl.recsys.anchors"

# Simplest first: this is the order in which one that is good enough is preferred. Systems come after all of them.
ANCHORS = {
    entry.name: entry
    for entry in (
        SystemEntry("popularity", TASK, f"{_ANCHORS}.popularity", "Popularity", "what most people have"),
        SystemEntry("item-knn", TASK, f"{_ANCHORS}.item_knn", "ItemKNN", "cosine of items over users (Sarwar et al., 2001)"),
        SystemEntry("ease", TASK, f"{_ANCHORS}.ease", "EASE", "linear from items to items, closed form (Steck, 2019)"),
        SystemEntry("gf-cf", TASK, f"{_ANCHORS}.gf_cf", "GFCF", "two fixed filters over the graph (Shen et al., 2021)"),
        SystemEntry("ials", TASK, f"{_ANCHORS}.ials", "IALS", "matrix factorisation by least squares (Rendle et al., 2021)"),
        SystemEntry("markov", SEQUENTIAL, f"{_ANCHORS}.markov", "Markov", "what came after this came after it before, counted"),
    )
}


def methods() -> dict[str, SystemEntry]:
    """Every recommender by name, simplest first; those of task ``"sequential"`` learn from the order of events."""
    return {**ANCHORS, **{name: entry for name, entry in SYSTEMS.items() if entry.task in (TASK, SEQUENTIAL)}}


def find_method(name: str) -> SystemEntry:
    """The entry of a recommender.

    Raises:
        InputError: Unknown, with the nearest names.
    """
    known = methods()
    if name not in known:
        raise unknown_name("recommendation method", name, known)
    return known[name]


def build_anchor(entry: SystemEntry, params: Mapping[str, Any], *, seed: int = 0, mask_seen: bool = True) -> Any:
    """A model of `ANCHORS` that has learnt nothing yet.

    Args:
        entry: Which one.
        params: Its arguments; its defaults where silent.
        seed: Where it takes one that ``params`` does not give.
        mask_seen: The same: whether what it tunes is tuned on lists without items of the history.

    Raises:
        InputError: A parameter it does not have, or a value out of range.
    """
    model = entry.load()
    names = list(inspect.signature(model).parameters)
    for name in params:
        if name not in names:
            raise unknown_name(f"parameter of {entry.name}", name, names)
    told = {name: value for name, value in (("seed", seed), ("mask_seen", mask_seen)) if name in names}
    try:
        return model(**{**told, **params})
    except TypeError as error:
        raise InputError(f"{entry.name} cannot be made with {dict(params)}: {error}") from error
