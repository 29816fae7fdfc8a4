"""How a run of a recommender is judged: all items ranked for every test user, once a seed, with simple models beside it."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import numpy.typing as npt
import polars as pl
import torch

from graphcl.errors import InputError
from graphcl.evaluation import summarise
from graphcl.recsys import Split
from graphcl.recsys.anchors import Popularity
from graphcl.recsys.anchors.ease import is_quick
from graphcl.recsys.fitting.validation import METRIC
from graphcl.recsys.ranking import RankingResult, evaluate
from graphcl.tasks.recommender import Recommender
from graphcl.tasks.run_config import RunConfig
from graphcl.tasks.verdict import Say, Verdict
from graphcl.training import available_memory

PROTOCOL = "recommendation"
LENGTHS = (10, 20)
METRICS = ("recall", "ndcg", "hr", "mrr", "coverage", "gini", "novelty")
BESIDE = ("popularity", "item-knn", "ease", "gf-cf", "ials")


@dataclass(frozen=True)
class _Anchor:
    """What one simple model reached, and how long it took to fit."""

    result: RankingResult
    seconds: float


# By the split and how it is judged: a benchmark runs many systems on one split, and these are the same for all.
_known: WeakKeyDictionary[Any, dict[Hashable, dict[str, _Anchor]]] = WeakKeyDictionary()


class RecommendationJudge:
    """Reads the test part once a seed, when everything was chosen on the validation part.

    A split without a validation part gets one: 10 % of each user's training items, the same for every seed and every model;
    ``selection=valid-from-train`` is then stamped. Beside the system stand simple models with their defaults, fitted on the
    rows that the system saw last; EASE is left out where the square of the items would not fit into memory.
    ``per_user.parquet`` has the scores of every user by the first seed and by each of these.

    Args:
        config: The resolved run.
        data: The split.

    Raises:
        InputError: Not a split, or a protocol that the split does not allow.
    """

    lengths: Sequence[int] = LENGTHS
    names: Sequence[str] = METRICS
    beside: Sequence[str] = BESIDE
    chosen_by = METRIC

    def __init__(self, config: RunConfig, data: Any) -> None:
        self.config, self.given = config, data
        self.data = self.prepared(data)
        self.refit = config.refit if config.refit is not None else self.pairs.selection == "valid-from-train"
        # What would be refused after hours of training is refused now, and the test part stays unread.
        self._score(Popularity().fit(self.pairs.train), "valid")

    @property
    def pairs(self) -> Split:
        """What ranking takes of the data."""
        split: Split = self.data
        return split

    @property
    def protocol(self) -> str | None:
        """The id that numbers carry; the split's own when ``None``."""
        return self.config.protocol

    def prepared(self, data: Any) -> Any:
        """The data as all seeds are trained on them.

        Raises:
            InputError: Data of another kind.
        """
        if not isinstance(data, Split):
            raise InputError(f"a recommendation system takes a Split of interactions; got {type(data).__name__}")
        return Recommender(self.config.system).judged(data)

    def face(self, seed: int, *, progress: bool) -> Recommender:
        """A recommender with the settings of the run."""
        config = self.config
        return Recommender(
            config.system,
            params=config.model,
            training=config.training,
            every=config.every,
            patience=config.patience,
            refit=self.refit,
            seed=seed,
            progress=progress,
        )

    def judge(self, fitted: Sequence[Recommender], say: Say) -> Verdict:
        """Recall, NDCG and the rest at every length over the seeds, and the simple models."""
        say(f"ranking {self.pairs.train.num_items:,} items for every user of the test part")
        results = [self._score(face.scorer_) for face in fitted]
        anchors = self._anchors(say) if self.config.baselines else {}
        baselines = {name: summarise([_finite(anchor.result.metrics)]) for name, anchor in anchors.items()}
        first = results[0]
        more = {
            "counts": {name: count for name, count in first.counts.items() if name != "test_reads"},
            "companions": {name: _finite(scores) for name, scores in first.companions.items()},
            "ties": {str(k): count for k, count in first.ties.items()},
            "expected": _finite(first.expected),
        }
        seconds = {"baselines": {name: anchor.seconds for name, anchor in anchors.items()}}
        named = {self.config.system: first, **{name: anchor.result for name, anchor in anchors.items()}}
        frame = pl.concat([self._frame(name, result) for name, result in named.items()])
        return Verdict(
            self._protocol(results, fitted),
            summarise([_finite(result.metrics) for result in results]),
            baselines,
            more,
            seconds,
            {"per_user.parquet": frame},
            [face.seed for face in fitted if face.best_epoch_ == self.config.training.epochs - 1],
        )

    def arrays(self, first: Recommender) -> Mapping[str, npt.NDArray[Any]]:
        """Embeddings of users and of items, where the model has them."""
        named = {"users.npy": first.user_embedding_, "items.npy": first.item_embedding_}
        return {name: array for name, array in named.items() if array is not None}

    def anchor(self, name: str) -> Recommender:
        """A simple model fitted on what the system saw last."""
        return Recommender(name, refit=self.refit).fit(self.data)

    def _score(self, scorer: Any, part: Any = "test") -> RankingResult:
        return evaluate(scorer, self.pairs, self.lengths, self.names, part=part, protocol=self.protocol)

    def _anchors(self, say: Say) -> dict[str, _Anchor]:
        known = _known.setdefault(self.given, {}).setdefault((self.protocol, self.refit), {})
        names = [name for name in self.beside if name != self.config.system]
        for name in names:
            if name not in known and self._fits(name, say):
                say(f"{name}, for comparison")
                known[name] = self._anchor(name)
        return {name: known[name] for name in names if name in known}

    def _fits(self, name: str, say: Say) -> bool:
        items = self.pairs.train.num_items
        if name != "ease" or is_quick(items, available_memory(torch.device("cpu"))):
            return True
        say(f"no ease: {items:,} items would take it long, or more memory than there is; it can be run by itself")
        return False

    def _anchor(self, name: str) -> _Anchor:
        model = self.anchor(name)
        return _Anchor(self._score(model.scorer_), model.seconds_)

    def _frame(self, name: str, result: RankingResult) -> pl.DataFrame:
        frame = result.per_user
        ids = self.pairs.users.ids.gather(frame["user"])
        return frame.drop("user").insert_column(0, ids.alias("user")).insert_column(0, pl.Series("method", [name] * len(frame)))

    def _protocol(self, results: Sequence[RankingResult], fitted: Sequence[Recommender]) -> dict[str, Any]:
        stamps = list(dict.fromkeys(stamp for result in results for stamp in result.stamps))
        checks = {name: list(dict.fromkeys(result.checks[name] for result in results)) for name in results[0].checks}
        return {
            "name": PROTOCOL,
            "id": results[0].protocol,
            "selection": self.pairs.selection,
            "refit": self.refit,
            "stamp": "; ".join(stamps) or None,
            "stamps": stamps,
            "checks": {name: "; ".join(said) for name, said in checks.items()},
            "data": results[0].data,
            "epochs": [len(face.history_) for face in fitted],
            "best_epochs": [face.best_epoch_ for face in fitted],
            f"valid {self.chosen_by}": [face.best_value_ for face in fitted],
        }


def _finite(scores: Mapping[str, float]) -> dict[str, float]:
    """Those that are a number: the novelty of lists of unknown items is none."""
    return {name: value for name, value in scores.items() if math.isfinite(value)}
