"""How a recommender learns: from pairs, or from what every user did in order; the test part of a split stays closed."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import numpy as np
import torch

from graphcl.datasets.provenance import Provenance
from graphcl.errors import InputError
from graphcl.models import SystemEntry
from graphcl.recsys.anchors import Markov
from graphcl.recsys.data import Events, Interactions, Split, read_events, read_interactions, with_validation
from graphcl.recsys.data.events import as_events
from graphcl.recsys.data.id_map import IdMap
from graphcl.recsys.fitting import fit_sequences, fit_system
from graphcl.recsys.methods import ANCHORS, SEQUENTIAL, build_anchor
from graphcl.recsys.ranking import HasRows
from graphcl.recsys.ranking.rows import union
from graphcl.recsys.sequences import Sequences, SequenceSplit, sequence_split
from graphcl.tasks.fitting import build_system
from graphcl.tasks.recommender_order import Order, held_out
from graphcl.tasks.recommender_store import Model
from graphcl.training import Checkpoint, Observer, TrainingConfig, deterministic

SelectionRule: TypeAlias = Literal["valid-from-train", "last"]
HELD_OUT = 0.1  # of each user's training rows, where a split has no validation part
HELD_OUT_SEED = 0  # the same rows whatever the seed of the model, so that numbers compare


@dataclass(frozen=True)
class Columns:
    """Of a file or frame; the usual names where ``None``."""

    user: str | None = None
    item: str | None = None
    time: str | None = None


@dataclass(frozen=True)
class Wanted:
    """What is to be fitted and how; see `Recommender`."""

    entry: SystemEntry
    params: Mapping[str, Any]
    config: TrainingConfig
    selection: SelectionRule
    refit: bool | None
    every: int
    patience: int
    mask_seen: bool
    seed: int
    progress: bool
    observers: Sequence[Observer] = ()
    checkpoint: Checkpoint | None = None

    def loop(self, refit: bool) -> dict[str, Any]:
        """What training loops of both kinds are told."""
        title = f"{self.entry.name}, seed {self.seed}" if self.progress else None
        return {
            "every": self.every, "patience": self.patience, "refit": refit, "seed": self.seed, "observers": self.observers,
            "checkpoint": self.checkpoint, "title": title,
        }  # fmt: skip


@dataclass(frozen=True, eq=False)
class Learned:
    """What came of it.

    Args:
        users: Ids of the users.
        items: Ids of the items.
        rows: The pairs that were learned from.
        model: What scores.
        seconds: Of fitting.
        order: Of a sequential method: the histories.
        system: The module of a system.
        history: The terms of every epoch.
        best_epoch: Counted from 0.
        best_value: Its score on validation.
    """

    users: IdMap
    items: IdMap
    rows: HasRows
    model: Model
    seconds: float
    order: Order | None = None
    system: Any = None
    history: Sequence[Mapping[str, float]] = field(default_factory=list)
    best_epoch: int | None = None
    best_value: float | None = None


def learn(wanted: Wanted, data: Any, columns: Columns) -> Learned:
    """Fits a method on the data of its task.

    Raises:
        InputError: Data of another kind, a fault in them, or settings that cannot be used.
        NonFiniteLossError: Training diverged.
    """
    ordered = wanted.entry.task == SEQUENTIAL
    anchor = wanted.entry.name in ANCHORS
    if ordered:
        sequences = _sequences(wanted.entry.name, data, columns)
        return _markov(wanted, *sequences) if anchor else _sequence_system(wanted, *sequences)
    pairs = _pairs(data, columns)
    return _anchor(wanted, *pairs) if anchor else _pair_system(wanted, *pairs)


def judged(split: Split | SequenceSplit, selection: SelectionRule) -> Any:
    """The split as its numbers must be read: with the validation part that was held out, where it had none of its own."""
    if split.valid is not None or selection == "last":
        return split
    if isinstance(split, SequenceSplit):
        return held_out(split)
    return with_validation(split, HELD_OUT, generator=torch.Generator().manual_seed(HELD_OUT_SEED))


def _anchor(wanted: Wanted, train: Interactions, valid: Interactions | None) -> Learned:
    began = time.perf_counter()
    rows: HasRows = train if valid is None or not wanted.refit else union(train, valid)
    model = build_anchor(wanted.entry, wanted.params, seed=wanted.seed).fit(rows)
    return Learned(train.users, train.items, rows, model, time.perf_counter() - began)


def _pair_system(wanted: Wanted, train: Interactions, given: Interactions | None) -> Learned:
    valid = None if wanted.selection == "last" else given
    if wanted.selection != "last" and given is None:
        held = judged(_unjudged(train), wanted.selection)
        train, valid = held.train, held.valid
    refit = given is None if wanted.refit is None else wanted.refit
    with deterministic(wanted.config.deterministic):
        fitted = fit_system(
            lambda graph: build_system(wanted.entry, (graph,), wanted.params), train, valid, wanted.config, **wanted.loop(refit)
        )
        model = fitted.system.scorer()
    return Learned(
        train.users, train.items, fitted.system.graph, model, fitted.seconds, None, fitted.system, fitted.history,
        fitted.best_epoch, fitted.best_value,
    )  # fmt: skip


def _markov(wanted: Wanted, train: Sequences, valid: Sequences | None) -> Learned:
    began = time.perf_counter()
    histories = train if valid is None else train.extended(valid)
    chooses = None if wanted.selection == "last" else valid
    model = build_anchor(wanted.entry, wanted.params, mask_seen=wanted.mask_seen).fit(train, chooses)
    if valid is not None and wanted.refit:
        train = histories
        model = Markov(model.decay_, model.power_, gap=model.gap, recent=model.recent, mask_seen=model.mask_seen).fit(train)
    seconds = time.perf_counter() - began
    return Learned(train.users, train.items, train.interactions(), model, seconds, Order.of(histories, train))


def _sequence_system(wanted: Wanted, train: Sequences, given: Sequences | None) -> Learned:
    histories = train if given is None else train.extended(given)
    valid = None if wanted.selection == "last" else given
    if wanted.selection != "last" and given is None:
        held = sequence_split(train, valid=False)
        train, valid = held.train, held.test
    refit = given is None if wanted.refit is None else wanted.refit
    with deterministic(wanted.config.deterministic):
        fitted = fit_sequences(
            lambda sequences: build_system(wanted.entry, (sequences,), wanted.params), train, valid, wanted.config,
            mask_seen=wanted.mask_seen, **wanted.loop(refit),
        )  # fmt: skip
    learned = fitted.system.sequences
    return Learned(
        train.users, train.items, learned.interactions(), fitted.system, fitted.seconds, Order.of(histories, learned),
        fitted.system, fitted.history, fitted.best_epoch, fitted.best_value,
    )  # fmt: skip


def _pairs(data: Any, columns: Columns) -> tuple[Interactions, Interactions | None]:
    """What may be learned from; of a split everything but the test part."""
    if isinstance(data, SequenceSplit):
        data = data.split
    if isinstance(getattr(data, "train", None), Interactions):
        return data.train, data.valid
    if isinstance(data, Interactions):
        return data, None
    if isinstance(data, Events | Sequences):
        return data.interactions(), None
    return read_interactions(data, user=columns.user, item=columns.item, time=columns.time), None


def _sequences(method: str, data: Any, columns: Columns) -> tuple[Sequences, Sequences | None]:
    """The same, in order."""
    if isinstance(getattr(data, "train", None), Sequences):
        return data.train, data.valid
    if isinstance(data, Sequences):
        return data, None
    if isinstance(getattr(data, "train", None), Interactions):
        raise InputError(
            f"{method} learns from the order of events, and a Split of pairs has none: pass a SequenceSplit, which "
            "load_sequences and sequence_split make"
        )
    events = data if isinstance(data, Events) else None
    if isinstance(data, Interactions):
        events = as_events(data)
    if events is not None and (events.time is not None or isinstance(data, Events)):
        return Sequences.of_events(events), None
    if events is None:
        events = read_events(data, user=columns.user, item=columns.item, time=columns.time)
    if events.time is None:
        raise InputError(
            f"{method} learns from the order of events, and these have no times: name their column with time=, or pass Events "
            "whose rows are in order"
        )
    return Sequences.of_events(events), None


def _unjudged(train: Interactions) -> Split:
    """Training rows as a split with nothing to judge."""
    nothing = train.select(np.zeros(train.num_interactions, dtype=np.bool_))
    return Split(train, None, nothing, "lit-ratio", Provenance("interactions", "own", "given", "not stated", ""), "none")
