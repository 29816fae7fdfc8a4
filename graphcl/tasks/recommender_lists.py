"""Lists out of a trained recommender: external ids in, tidy frames with external ids out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
import numpy.typing as npt
import polars as pl
import torch
from torch import Tensor

from graphcl.errors import InputError, unknown_name
from graphcl.recsys.anchors import Markov, Popularity
from graphcl.recsys.data import Events, read_events
from graphcl.recsys.data.id_map import IdMap, Ids, as_ids
from graphcl.recsys.fitting import fold_in
from graphcl.recsys.ranking import Embeddings, HasRows, Rows, top_k
from graphcl.recsys.ranking.rows import Flags, Ints, degrees, pairs
from graphcl.recsys.ranking.top_k import Scorer
from graphcl.recsys.sequences import Sequences
from graphcl.recsys.systems.sequential import SequenceSystem
from graphcl.tasks.recommender_store import TrainedRecommender

OnUnknown: TypeAlias = Literal["fallback", "skip", "raise"]
MODEL, APPROXIMATE, FALLBACK = "model", "approximate", "fallback"
SOMEBODY = "new"  # what the user of a bare list of items is called
_SHOWN = 5


def recommend(
    trained: TrainedRecommender,
    users: Ids | None,
    k: int,
    *,
    filter_seen: bool,
    candidates: Ids | None,
    exclude: Ids | None,
    on_unknown: OnUnknown,
) -> pl.DataFrame:
    """The best items of each user; see ``Recommender.recommend``."""
    _check(k, on_unknown)
    ids = trained.users.ids if users is None else _given(users, "user")
    codes = trained.users.find(ids)
    warm = (codes >= 0) & (trained.user_degree[np.maximum(codes, 0)] > 0)
    ids, warm, codes = _heed(ids, warm, codes, on_unknown, "users without a training row")
    seen, allowed = trained.known if filter_seen else None, _allowed(trained, candidates, exclude, on_unknown)
    return _listed(trained, ids, codes, warm, trained.ranker if warm.any() else None, seen, k, allowed, MODEL)


def recommend_to_histories(
    trained: TrainedRecommender,
    history: Any,
    k: int,
    *,
    user: str | None,
    item: str | None,
    time: str | None,
    filter_seen: bool,
    candidates: Ids | None,
    exclude: Ids | None,
    on_unknown: OnUnknown,
) -> tuple[pl.DataFrame, int]:
    """The best items for users whom training did not see, and how many items of theirs were passed over as unknown.

    See ``Recommender.fold_in``.
    """
    _check(k, on_unknown)
    given = _histories(trained, history, user, item, time, on_unknown)
    ids, rows = given.ids, given.pairs
    codes = np.arange(len(ids))
    ids, warm, codes = _heed(ids, degrees(rows) > 0, codes, on_unknown, "histories without an item that training knows")
    source = APPROXIMATE if isinstance(trained.model, Embeddings) else MODEL
    scorer, seen = _scorer_of(trained, given), rows if filter_seen else None
    allowed = _allowed(trained, candidates, exclude, on_unknown)
    return _listed(trained, ids, codes, warm, scorer, seen, k, allowed, source), given.unknown


def similar_items(trained: TrainedRecommender, items: Ids, k: int) -> pl.DataFrame:
    """The items nearest to each; see ``Recommender.similar_items``."""
    _check(k, "raise")
    if isinstance(trained.model, Popularity):
        raise InputError("popularity knows no likeness of items: take item-knn, ease or any other method")
    ids = _given(items, "item")
    codes = trained.items.encode(ids)
    cold = trained.item_degree[codes] == 0
    if cold.any():
        raise InputError(f"items without a training row are like no other: {_some(ids.filter(cold))}")
    itself = _Given(ids, np.arange(len(codes)), codes, len(trained.items), 0)
    found = trained.item_embeddings
    scorer: Scorer
    if found is None:
        scorer = _scorer_of(trained, itself)
    else:
        unit = torch.nn.functional.normalize(found, dim=1)
        scorer = Embeddings(unit.index_select(0, torch.from_numpy(codes).to(unit.device)), unit)
    lists = top_k(scorer, np.arange(len(codes)), k, seen=itself.pairs, candidates=np.flatnonzero(trained.item_degree))
    frame = _frame(ids, lists.items.numpy(), lists.scores.numpy(), np.full(len(ids), MODEL), trained.items)
    return frame.select(pl.col("user").alias("item"), pl.col("item").alias("similar"), "score", "rank")


@dataclass(frozen=True, eq=False)
class _Given:
    """Events of somebody, over items that training knows: whose they are, and for each event the row and the item.

    Events of a row are in order. ``unknown`` says how many were passed over.
    """

    ids: pl.Series
    row: npt.NDArray[np.int64]
    item: Ints
    num_items: int
    unknown: int

    @property
    def pairs(self) -> Rows:
        """Each item of a row once."""
        keys = np.unique(self.row * np.int64(self.num_items) + self.item)
        return Rows(
            _starts(keys // self.num_items, len(self.ids)), (keys % self.num_items).astype(np.int32), len(self.ids),
            self.num_items,
        )  # fmt: skip

    def sequences(self, items: IdMap) -> Sequences:
        """The rows in order."""
        order = np.argsort(self.row, kind="stable")
        values = self.item[order].astype(np.int32)
        return Sequences(IdMap.count(len(self.ids), "user"), items, values, _starts(self.row[order], len(self.ids)))


def _starts(row: npt.NDArray[np.int64], count: int) -> npt.NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(np.bincount(row, minlength=count))]).astype(np.int64)


def _scorer_of(trained: TrainedRecommender, given: _Given) -> Scorer:
    """Scores by histories: users are the rows of what is given."""
    model = trained.model
    if isinstance(model, Popularity):
        return model
    if isinstance(model, Markov | SequenceSystem):
        return model.scorer(given.sequences(trained.items))
    rows = given.pairs
    if isinstance(model, Embeddings):
        users = fold_in(model.items, trained.item_degree, rows).to(model.items)
        return Embeddings(users, model.items, model.bias)

    def score(users: Tensor) -> Tensor:
        return model.score_histories(_take(rows, users.numpy()))

    return score


def _listed(
    trained: TrainedRecommender,
    ids: pl.Series,
    codes: Ints,
    warm: Flags,
    scorer: Scorer | None,
    seen: HasRows | None,
    k: int,
    allowed: Ints,
    source: str,
) -> pl.DataFrame:
    """Lists of the model for who is warm, the most popular items for the others, in the order of ``ids``."""
    items = np.full((len(ids), k), -1, dtype=np.int32)
    scores = np.full((len(ids), k), -np.inf, dtype=np.float32)
    if scorer is not None and warm.any():
        lists = top_k(scorer, codes[warm], k, seen=seen, candidates=allowed)
        items[warm], scores[warm] = lists.items.numpy(), lists.scores.float().numpy()
    if not warm.all():
        counts = trained.item_degree[allowed]
        order = np.argsort(-counts, kind="stable")[:k]
        width = len(order)
        items[~warm, :width], scores[~warm, :width] = allowed[order], counts[order]
    return _frame(ids, items, scores, np.where(warm, source, FALLBACK), trained.items)


def _frame(
    ids: pl.Series,
    items: npt.NDArray[np.int32],
    scores: npt.NDArray[np.float32],
    sources: npt.NDArray[np.str_],
    names: IdMap,
) -> pl.DataFrame:
    row, place = np.nonzero(items >= 0)
    return pl.DataFrame(
        {
            "user": ids.gather(row),
            "item": names.decode(items[row, place]),
            "score": scores[row, place],
            "rank": place + 1,
            "source": pl.Series(sources.tolist(), dtype=pl.String).gather(row),
        }
    )


def _allowed(trained: TrainedRecommender, candidates: Ids | None, exclude: Ids | None, on_unknown: OnUnknown) -> Ints:
    """Numbers of the items that may be listed; only those that training knows."""
    allowed = trained.item_degree > 0
    if candidates is not None:
        given = _given(candidates, "item")
        codes = trained.items.encode(given) if on_unknown == "raise" else trained.items.find(given)
        named = np.zeros(len(allowed), dtype=np.bool_)
        named[codes[codes >= 0]] = True
        allowed = allowed & named
    if exclude is not None:
        codes = trained.items.find(_given(exclude, "item"))
        allowed[codes[codes >= 0]] = False
    if not allowed.any():
        raise InputError("no item is left to list: candidates without exclude must hold an item that has a training row")
    return np.flatnonzero(allowed)


def _histories(
    trained: TrainedRecommender, history: Any, user: str | None, item: str | None, time: str | None, on_unknown: OnUnknown
) -> _Given:
    """Whose they are, and the items of each that training knows."""
    if isinstance(history, str | Path | pl.LazyFrame) or hasattr(history, "columns"):
        history = read_events(history, user=user, item=item, time=time, items=trained.items)
    if isinstance(history, Events):
        order = history.by_time()
        ids, row = history.users.ids, history.user[order].astype(np.int64)
        item_ids = history.items.ids.gather(history.item[order])
    else:
        item_ids = _given(history, "item")
        ids, row = pl.Series("id", [SOMEBODY]), np.zeros(len(item_ids), dtype=np.int64)
    column = trained.items.find(item_ids)
    known = column >= 0
    if on_unknown == "raise" and not known.all():
        raise InputError(f"unknown item ids in the history: {_some(item_ids.filter(~known))}")
    known[known] = trained.item_degree[column[known]] > 0
    return _Given(ids, row[known], column[known], len(trained.items), int(np.count_nonzero(~known)))


def _take(rows: HasRows, users: Ints) -> Rows:
    row, item = pairs(rows, users)
    indptr = np.concatenate([[0], np.cumsum(np.bincount(row, minlength=len(users)))]).astype(np.int64)
    return Rows(indptr, item.astype(np.int32), len(users), rows.num_items)


def _heed(ids: pl.Series, warm: Flags, codes: Ints, on_unknown: OnUnknown, what: str) -> tuple[pl.Series, Flags, Ints]:
    """Does what was asked for about those whom the model cannot serve."""
    if on_unknown == "fallback" or warm.all():
        return ids, warm, codes
    if on_unknown == "raise":
        raise InputError(f"{what}: {_some(ids.filter(~warm))}; on_unknown='fallback' gives them popular items, 'skip' none")
    return ids.filter(warm), warm[warm], codes[warm]


def _given(ids: Ids, kind: str) -> pl.Series:
    given = as_ids(ids)
    if given.null_count():
        raise InputError(f"expected {kind} ids without gaps, number {given.is_null().arg_max()} is missing")
    return given


def _some(ids: pl.Series) -> str:
    different = ids.unique(maintain_order=True)
    more = f" and {len(different) - _SHOWN} more" if len(different) > _SHOWN else ""
    return ", ".join(repr(value) for value in different[:_SHOWN].to_list()) + more


def _check(k: int, on_unknown: str) -> None:
    if k < 1:
        raise InputError(f"k must be 1 or more; got {k}")
    if on_unknown not in get_args(OnUnknown):
        raise unknown_name("policy for unknown ids", on_unknown, get_args(OnUnknown))
