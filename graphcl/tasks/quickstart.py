"""From a log of interactions to recommendations: a few methods compared honestly, the simplest good one kept."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
import polars as pl
import torch

from graphcl.errors import InputError, unknown_name
from graphcl.evaluation import summarise
from graphcl.models import SYSTEMS
from graphcl.recsys.anchors.ease import is_quick
from graphcl.recsys.data import Events, Interactions, Split, k_core, ratio_split, temporal_split
from graphcl.recsys.data.split import pair_keys
from graphcl.recsys.fitting.validation import METRIC
from graphcl.recsys.methods import ANCHORS, SEQUENTIAL, find_method, methods
from graphcl.tasks.recommender import Recommender
from graphcl.training import RunFolder, TrainingConfig, available_memory, environment, peak_memory_mb

How: TypeAlias = Literal["auto", "time", "random"]
Table: TypeAlias = Literal["csv", "parquet"]
AUTO = "auto"
LENGTHS, NAMES = (10, 20), ("ndcg", "recall", "hr", "coverage")
PATIENCE = 5  # validations, of every fifth epoch
# The weight that papers give to the contrast is for large and sparse logs; with it small and dense ones end at popularity.
GENTLE: Mapping[str, Mapping[str, float]] = {"xsimgcl": {"contrast": 0.02}}
RULE = f"the simplest within one standard error of the best {METRIC} on validation"


@dataclass(frozen=True)
class Core:
    """Which interactions are learned from: of users and items that have enough of them.

    Args:
        user: Fewest items of a user.
        item: Fewest users of an item.

    Raises:
        InputError: A negative number.
    """

    user: int = 0
    item: int = 0

    def __post_init__(self) -> None:
        if self.user < 0 or self.item < 0:
            raise InputError(
                f"expected fewest items of a user and users of an item of 0 or more; got {self.user} and {self.item}"
            )

    def of(self, data: Interactions) -> Interactions:
        """Those, over the same ids.

        Raises:
            InputError: None is left.
        """
        return k_core(data, self.user, items=self.item, compact=False) if self.user > 1 or self.item > 1 else data

    def of_events(self, events: Events) -> Events:
        """Every event of those, in order.

        Raises:
            InputError: None is left.
        """
        pairs = events.interactions()
        kept = self.of(pairs)
        return events if kept is pairs else events.take(np.isin(events.keys(), pair_keys(kept)))


@dataclass(frozen=True)
class Contender:
    """A method in the comparison.

    Args:
        method: Its name.
        valid: Mean nDCG@20 on validation over the users with a history; the others get the same list from every method.
        error: Standard error of that mean.
        test: Means over the users of the test part.
        seconds: Of fitting, with the validation of a system.
        megabytes: What it takes to recommend.
        best_epoch: Of a system.
        stamps: What must stand beside the numbers of the test part.
    """

    method: str
    valid: float
    error: float
    test: Mapping[str, float]
    seconds: float
    megabytes: float
    best_epoch: int | None
    stamps: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Comparison:
    """Methods on one split.

    Args:
        split: The parts.
        contenders: Simplest first.
        chosen: The name of one of them.
        valid_users: How many users with a history chose.
        test_users: How many judged.
    """

    split: Split
    contenders: tuple[Contender, ...]
    chosen: str
    valid_users: int
    test_users: int


@dataclass(frozen=True, eq=False)
class Quickstart:
    """What came of it.

    Args:
        recommender: Fitted on everything.
        recommendations: ``user``, ``item``, ``score``, ``rank``, ``source``.
        comparison: ``None`` where the method was given.
        metrics: The content of ``metrics.json``.
    """

    recommender: Recommender
    recommendations: pl.DataFrame = field(repr=False)
    comparison: Comparison | None
    metrics: Mapping[str, Any]


def quickstart(
    events: Events,
    folder: RunFolder,
    *,
    name: str = "own",
    method: str = AUTO,
    k: int = 10,
    how: How = "auto",
    core: Core | None = None,
    training: TrainingConfig | None = None,
    seed: int = 0,
    table: Table = "csv",
    asked: Mapping[str, Any] | None = None,
    progress: bool = False,
    say: Callable[[str], None] = lambda line: None,
) -> Quickstart:
    """Compares a few methods, fits the chosen one on everything, and writes lists for everybody into a run folder.

    The split is by time where there are times, else at random, 8:1:1. All are fitted on the training part and chosen among on
    validation: `RULE`. Then the test part is scored once for each, for the record. A method that is named is fitted at once,
    without a comparison. Sequential methods are only ever named: they are made to find the next event of a user, the others
    all that will come, and no protocol is fair to both. Nothing is written before everything was computed.

    Files: ``recommendations.csv`` or ``.parquet``, the model as `Recommender.save` writes it, ``environment.json``,
    ``config.yaml``, and last ``metrics.json``.

    Args:
        events: The log.
        folder: Where to write.
        name: What the log is called.
        method: ``"auto"`` compares; else a name.
        k: Length of the lists.
        how: How to split.
        core: Which interactions are learned from; all when ``None``.
        training: Settings of the loop of a system.
        seed: Of everything random.
        table: How the lists are written.
        asked: What else ``config.yaml`` should say, plain values: the columns of the file, for example.
        progress: Whether progress bars are shown.
        say: Told what is being done, line by line.

    Raises:
        InputError: An unknown name, a log that is too small to be split, or one without times for a sequential method.
    """
    check_request(method=method, k=k, how=how, table=table)
    ordered = method != AUTO and find_method(method).task == SEQUENTIAL
    if ordered and events.time is None:
        raise InputError(f"{method} goes by the order of events, and these have no times: name their column with --time")
    began, core, config = time.perf_counter(), core or Core(), training or TrainingConfig()
    everything = core.of(events.interactions())
    comparison, epochs = None, None
    if method == AUTO:
        split = split_own(events, how, core, seed=seed, name=name)
        comparison = compare(split, suited(split.train), training=config, seed=seed, progress=progress, say=say)
        method = comparison.chosen
        epochs = next(row.best_epoch for row in comparison.contenders if row.method == method)
    learned = core.of_events(events) if ordered else everything
    count = len(learned) if isinstance(learned, Events) else learned.num_interactions
    say(f"fitting {method} on all {count:,} interactions")
    params = GENTLE.get(method) if comparison is not None else None
    recommender = Recommender(method, params=params, training=config, seed=seed, progress=progress, patience=PATIENCE)
    if epochs is not None:
        recommender.set_params(training=replace(config, epochs=epochs + 1), selection="last")
    recommender.fit(learned)
    lists = recommender.recommend(k=k)
    metrics = {
        **_told(name, method, seed, comparison),
        "data": {"users": len(events.users), "items": len(events.items), "interactions": count},
        "seconds": {
            "training": summarise([{"s": recommender.seconds_}])["s"],
            "total": time.perf_counter() - began,
        },
        "peak_memory_mb": round(peak_memory_mb(config.torch_device()), 1),
    }
    settings = {
        "data": name,
        **(asked or {}),
        "method": method,
        "params": dict(params or {}),
        "compared": comparison is not None,
        "k": k,
        "split": how,
        "core": asdict(core),
        "seed": seed,
        "training": asdict(recommender.trained_.training),
    }
    folder.write_json("environment.json", environment(config.torch_device()))
    folder.write_yaml("config.yaml", settings)
    recommender.trained_.write(folder)
    folder.write(f"recommendations.{table}", lists.write_csv if table == "csv" else lists.write_parquet)
    folder.write_json("metrics.json", metrics)
    return Quickstart(recommender, lists, comparison, metrics)


def check_request(*, method: str, k: int, how: str, table: str) -> None:
    """Refuses what `quickstart` could not do, before anything is read.

    Raises:
        InputError: An unknown name, or lists without a place.
    """
    for what, given, known in (("way to split", how, get_args(How)), ("format of lists", table, get_args(Table))):
        if given not in known:
            raise unknown_name(what, given, known)
    if method not in (AUTO, *methods()):
        raise unknown_name("recommendation method", method, (AUTO, *methods()))
    if k < 1:
        raise InputError(f"k must be 1 or more; got {k}")


def split_own(events: Events, how: How = "auto", core: Core | None = None, *, seed: int = 0, name: str = "own") -> Split:
    """Training, validation and test out of a log, 8:1:1; only training is filtered.

    Args:
        events: The log.
        how: ``"time"``, ``"random"`` for each user, or ``"auto"``: by time where there are times.
        core: Which interactions are learned from.
        seed: Of a random split.
        name: What the log is called.

    Raises:
        InputError: No times to split by, or a log that is too small.
    """
    if how == "random" or (how == "auto" and events.time is None):
        split = ratio_split(events, generator=torch.Generator().manual_seed(seed), name=name)
    else:
        try:
            split = temporal_split(events, name=name)
        except InputError as error:
            raise InputError(f"{error}; or split at random with --split random") from error
    split = replace(split, train=(core or Core()).of(split.train))
    if split.valid is None or not ((split.train.user_degrees > 0) & (split.valid.user_degrees > 0)).any():
        other = "--split random, or " if split.protocol == "strict" else ""
        raise InputError(
            f"{name}: nobody has both training and validation rows, so nothing can be compared: take {other}more data, "
            "or name a method with --method"
        )
    return split


def suited(train: Interactions) -> list[str]:
    """The methods worth a comparison on such data, simplest first: three that need no training loop, and a learned one.

    EASE holds every pair of items; where that does not fit, or would take long, iALS takes its place.
    """
    fits = is_quick(train.num_items, available_memory(torch.device("cpu")))
    learned = "xsimgcl" if "xsimgcl" in SYSTEMS else "lightgcn"
    return ["popularity", "item-knn", "ease" if fits else "ials", learned]


def compare(
    split: Split,
    names: Sequence[str],
    *,
    training: TrainingConfig | None = None,
    seed: int = 0,
    progress: bool = False,
    say: Callable[[str], None] = lambda line: None,
) -> Comparison:
    """Fits methods on the training part, chooses on validation, and then scores the test part once for each.

    Args:
        split: With a validation part.
        names: Which methods.
        training: Settings of the loop of a system.
        seed: Of everything random.
        progress: Whether progress bars are shown.
        say: Told what is being done, line by line.

    Raises:
        InputError: An unknown name, or a split without validation.
    """
    order = [name for name in methods() if name in names]
    fitted: list[tuple[Recommender, float, float, float]] = []
    users = 0
    for number, name in enumerate(order, start=1):
        say(f"{number}/{len(order)} {name}: {find_method(name).description}")
        began = time.perf_counter()
        recommender = Recommender(
            name, params=GENTLE.get(name), training=training, seed=seed, refit=False, patience=PATIENCE, progress=progress
        ).fit(split)
        seconds = time.perf_counter() - began
        frame = recommender.score(split, part="valid").per_user
        each = frame.filter(pl.col("history") > 0)[METRIC]
        users = len(each)
        mean, error = float(each.mean()), float(each.std() or 0.0) / math.sqrt(users)  # type: ignore[arg-type]
        fitted.append((recommender, seconds, mean, error))
    chosen = simplest([(mean, error) for _, _, mean, error in fitted])
    rows, judges = [], 0
    for recommender, seconds, mean, error in fitted:
        result = recommender.score(split)
        judges = result.counts["users"]
        size = recommender.trained_.num_bytes / 2**20
        rows.append(
            Contender(
                recommender.method, mean, error, dict(result.metrics), seconds, size, recommender.best_epoch_, result.stamps
            )
        )
    return Comparison(split, tuple(rows), order[chosen], users, judges)


def simplest(scores: Sequence[tuple[float, float]]) -> int:
    """The first whose mean is no more than one standard error of the best below the best.

    Breiman et al., 1984, Classification and Regression Trees, section 3.4.3: the one-standard-error rule.

    Args:
        scores: Mean and its standard error of each method, simplest first.
    """
    best, error = max(scores, key=lambda pair: pair[0])
    return next(place for place, (mean, _) in enumerate(scores) if mean >= best - error)


def _told(name: str, method: str, seed: int, comparison: Comparison | None) -> dict[str, Any]:
    """Who was chosen and why."""
    told: dict[str, Any] = {"system": method, "dataset": name, "seeds": [seed]}
    if comparison is None:
        return {**told, "protocol": {"name": None, "selection": "given"}, "metrics": {}, "baselines": {}, "validation": {}}
    test = {row.method: summarise([row.test]) for row in comparison.contenders}
    return {
        **told,
        "protocol": {
            "name": comparison.split.protocol, "selection": RULE, "order": [row.method for row in comparison.contenders],
            "valid_users": comparison.valid_users, "test_users": comparison.test_users,
            "notes": dict(comparison.split.notes),
        },
        "metrics": test.pop(method),
        "baselines": test,
        "validation": {
            row.method: {
                METRIC: row.valid, "standard_error": row.error, "seconds": row.seconds, "model_mb": row.megabytes,
                "best_epoch": row.best_epoch, "stamps": list(row.stamps), "learned": row.method not in ANCHORS,
            }
            for row in comparison.contenders
        },
    }  # fmt: skip
