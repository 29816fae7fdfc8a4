"""Recommendations out of interactions, with scikit-learn's manners."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
import numpy.typing as npt
import polars as pl
import torch
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError

from graphcl.datasets.provenance import Provenance
from graphcl.errors import InputError, unknown_name
from graphcl.models import SystemEntry
from graphcl.recsys.data import Events, Interactions, Split, read_interactions, with_validation
from graphcl.recsys.data.id_map import Ids
from graphcl.recsys.fitting import Served, fit_system
from graphcl.recsys.methods import ANCHORS, build_anchor, find_method
from graphcl.recsys.ranking import HasRows, RankingResult, evaluate
from graphcl.recsys.ranking.rows import union
from graphcl.tasks.fitting import build_system
from graphcl.tasks.recommender_export import export_embeddings
from graphcl.tasks.recommender_lists import OnUnknown, recommend, recommend_to_histories, similar_items
from graphcl.tasks.recommender_store import ABOUT, Model, TrainedRecommender
from graphcl.training import Checkpoint, Observer, RunFolder, TrainingConfig, deterministic

SelectionRule: TypeAlias = Literal["valid-from-train", "last"]
HELD_OUT = 0.1  # of each user's training rows, where a split has no validation part
HELD_OUT_SEED = 0  # the same rows whatever the seed of the model, so that numbers compare


class Recommender(BaseEstimator):  # type: ignore[misc]
    """Learns who likes what from interactions, and lists what else they may like; ids of any kind in, the same ids out.

    ``Recommender().fit("log.csv").recommend(["ann", "bob"], k=10)`` is all it takes. Repeated interactions count once, weights
    do not count. A test part is never looked at, except by ``score``.

    Args:
        method: ``"popularity"``, ``"item-knn"``, ``"ease"``, ``"gf-cf"``, ``"ials"``, or a system as ``graphcl list systems``
            names it.
        params: Hyper-parameters of the method; its defaults where silent.
        training: Epochs, learning rate, device of a system; the defaults when ``None``.
        selection: ``"valid-from-train"``: a system's epoch is chosen by nDCG@20 on the validation part, or where there is none
            on 10 % of each user's training rows, the same rows for every method and seed. ``"last"``: no choice.
        refit: Whether the method learns from the validation rows too, once they have chosen. When ``None`` it does where they
            were held out of training, and leaves a split's own validation part alone.
        every: Epochs between two validations.
        patience: Validations without a gain after which training stops.
        seed: Of everything random.
        progress: Whether a progress bar (plain lines when not a terminal) is shown.

    Attributes:
        n_users_: Users with an id.
        n_items_: Items with an id.
        n_interactions_: Training rows.
        best_epoch_: Of a system: the epoch that validation chose, counted from 0; ``None`` where nothing was chosen.
        best_value_: Its nDCG@20 on validation; not there after ``load``.
        history_: One mapping of terms per epoch; empty for a method without epochs; not there after ``load``.
        seconds_: Training time; not there after ``load``.
        system_: The trained module of a system; not there after ``load``.
        scorer_: What ranks, by row numbers; ``evaluate`` takes it.
        trained_: What was learned, to be kept on disk.

    Raises:
        InputError: Bad data, an unknown method or parameter, a value out of range.
    """

    def __init__(
        self,
        method: str = "xsimgcl",
        *,
        params: Mapping[str, Any] | None = None,
        training: TrainingConfig | None = None,
        selection: SelectionRule = "valid-from-train",
        refit: bool | None = None,
        every: int = 5,
        patience: int = 10,
        seed: int = 0,
        progress: bool = False,
    ) -> None:
        self.method = method
        self.params = params
        self.training = training
        self.selection = selection
        self.refit = refit
        self.every = every
        self.patience = patience
        self.seed = seed
        self.progress = progress

    def fit(
        self,
        data: Any,
        y: None = None,
        *,
        user: str | None = None,
        item: str | None = None,
        observers: Sequence[Observer] = (),
        checkpoint: Checkpoint | None = None,
    ) -> Recommender:
        """Learns from interactions.

        Args:
            data: ``Interactions``, ``Events``, a ``Split`` (whose test part stays closed), or a file or frame of rows as
                ``read_interactions`` takes it.
            y: Not used; scikit-learn's signature has it.
            user: Column of users, of a file or frame; the usual names when ``None``.
            item: Column of items.
            observers: Told of every epoch of a system before any refit, a log for example.
            checkpoint: Where the training is kept, and taken up again; nowhere when ``None``.
        """
        entry = find_method(self.method)
        if self.selection not in get_args(SelectionRule):
            raise unknown_name("selection", self.selection, get_args(SelectionRule))
        config, params = self.training or TrainingConfig(), dict(self.params or {})
        parts = _parts(data, user, item)
        began = time.perf_counter()
        if entry.name in ANCHORS:
            rows, model, self.best_epoch_ = self._fit_anchor(entry, params, parts)
            self.history_: Sequence[Mapping[str, float]] = []
            self.seconds_ = time.perf_counter() - began
            self.best_value_: float | None = None
        else:
            rows, model, self.best_epoch_ = self._fit_system(entry, params, config, parts, observers, checkpoint)
        self._pandas = type(data).__module__.startswith("pandas")
        ids = parts.train.users, parts.train.items
        self._take(TrainedRecommender(entry.name, params, config, self.seed, *ids, rows, model, self.best_epoch_))
        return self

    def recommend(
        self,
        users: Ids | None = None,
        k: int = 10,
        *,
        filter_seen: bool = True,
        candidates: Ids | None = None,
        exclude: Ids | None = None,
        on_unknown: OnUnknown = "fallback",
    ) -> Any:
        """The best items of each user, over all items that training knows.

        Args:
            users: Their ids, in any order; everybody when ``None``.
            k: Length of the lists; a list is shorter where fewer items are left.
            filter_seen: Whether items of the user's training rows are left out.
            candidates: Ids of the items that may be listed; all when ``None``.
            exclude: Ids of items that may not.
            on_unknown: About users without a training row: ``"fallback"`` gives them the most popular items, ``"skip"`` leaves
                them out, ``"raise"`` refuses. ``"raise"`` refuses unknown candidates too, which otherwise are passed over.

        Returns:
            A frame of polars, or of pandas where ``fit`` got one: ``user``, ``item``, ``score`` (comparable within a list),
            ``rank`` from 1, and ``source``, ``"model"`` or ``"fallback"``.

        Raises:
            NotFittedError: Before ``fit``.
            InputError: As above; or no candidate is left.
        """
        frame = recommend(
            self._fitted(), users, k, filter_seen=filter_seen, candidates=candidates, exclude=exclude, on_unknown=on_unknown
        )
        return self._native(frame)

    def fold_in(
        self,
        history: Any,
        k: int = 10,
        *,
        user: str | None = None,
        item: str | None = None,
        filter_seen: bool = True,
        candidates: Ids | None = None,
        exclude: Ids | None = None,
        on_unknown: OnUnknown = "fallback",
    ) -> Any:
        """The best items for users whom training did not see, or knows less of, by their whole history.

        Exact for popularity, item-knn, ease, gf-cf and ials, which score any history. Trained systems place a new user at
        ``p_u = sum_{i in h} q_i / sqrt(|h| d_i)``, which ``source`` calls ``"approximate"``.

        Args:
            history: Rows of user and item in a file or frame; or a list of item ids, of one user who is called ``"new"``.
            k: As for ``recommend``; so are the last four.
            user: Column of users, of a file or frame.
            item: Column of items.
            filter_seen: Whether items of the history are left out.
            candidates: Ids of the items that may be listed.
            exclude: Ids of items that may not.
            on_unknown: ``"raise"`` refuses unknown items, which otherwise are passed over; the rest is about users of whose
                items training knows none.

        Returns:
            As ``recommend`` does.

        Raises:
            NotFittedError: Before ``fit``.
            InputError: A fault in the rows, or as ``recommend``.
        """
        frame = recommend_to_histories(
            self._fitted(), history, k, user=user, item=item, filter_seen=filter_seen, candidates=candidates, exclude=exclude,
            on_unknown=on_unknown,
        )  # fmt: skip
        return self._native(frame)

    def similar_items(self, items: Ids, k: int = 10) -> Any:
        """The items nearest to each of some items.

        By the cosine of embeddings where there are any; else by what the model recommends to whoever has that item alone,
        which for item-knn and ease are the item's own weights.

        Args:
            items: Their ids.
            k: How many of each.

        Returns:
            A frame: ``item``, ``similar``, ``score``, ``rank``.

        Raises:
            NotFittedError: Before ``fit``.
            InputError: Unknown items, items without a training row, or a method that knows no likeness.
        """
        return self._native(similar_items(self._fitted(), items, k))

    def score(self, split: Split, y: None = None, *, part: Literal["test", "valid"] = "test") -> RankingResult:
        """How good the lists are by the split's protocol; see ``evaluate``. Users without a history are served by the fallback.

        Args:
            split: The one fitted, or another with the same training rows.
            y: Not used; scikit-learn's signature has it.
            part: ``"test"``, or ``"valid"``.

        Raises:
            NotFittedError: Before ``fit``.
            InputError: Other ids, or other training rows, than the model's.
        """
        trained = self._fitted()
        split.users.expect(trained.users.sha256, "this recommender")
        split.items.expect(trained.items.sha256, "this recommender")
        return evaluate(trained.scorer, self.judged(split), part=part)

    def judged(self, split: Split) -> Split:
        """The split as its numbers must be read: with the validation part that was held out, where it had none of its own."""
        if split.valid is not None or self.selection == "last":
            return split
        return with_validation(split, HELD_OUT, generator=torch.Generator().manual_seed(HELD_OUT_SEED))

    def save(self, path: str | Path) -> Path:
        """Writes the model, its training rows and both maps of ids into a folder. Nothing is pickled.

        Raises:
            NotFittedError: Before ``fit``.
            InputError: The folder holds a model or a run already, or cannot be written to.
        """
        trained = self._fitted()
        if (Path(path) / ABOUT).exists():
            raise InputError(f"{path} holds a model already; name another folder, or remove it")
        trained.write(RunFolder(path))
        return Path(path)

    @classmethod
    def load(cls, path: str | Path, *, device: str = "auto") -> Recommender:
        """What ``save`` wrote; it recommends the same, bit for bit.

        Args:
            path: The folder.
            device: Where to put the embeddings of a system.

        Raises:
            InputError: No recommender there, or files that are missing or damaged.
        """
        trained = TrainedRecommender.read(path, device)
        recommender = cls(trained.method, params=dict(trained.params), training=trained.training, seed=trained.seed)
        recommender.best_epoch_, recommender._pandas = trained.best_epoch, False
        recommender._take(trained)
        return recommender

    def export_embeddings(self, path: str | Path) -> Path:
        """Writes the embeddings of users, then items, whose inner products are the scores; they are not normalised.

        ``.parquet`` has columns ``side``, ``id``, ``e0``, ``e1``, ...; ``.npy`` and ``.safetensors`` have ``side`` and
        ``id`` of each row in ``NAME.ids.csv``. ``NAME.about.json`` says the metric, and which maps of ids they belong to.

        Args:
            path: A ``.npy``, ``.parquet`` or ``.safetensors`` file.

        Raises:
            NotFittedError: Before ``fit``.
            InputError: Another ending, a folder that is missing, or a method without embeddings.
        """
        return export_embeddings(self._fitted(), Path(path))

    @property
    def user_embedding_(self) -> npt.NDArray[np.float32] | None:
        """``(U, D)`` float32; ``None`` for a method without."""
        return self._embedding(0)

    @property
    def item_embedding_(self) -> npt.NDArray[np.float32] | None:
        """``(I, D)`` float32; ``None`` for a method without."""
        return self._embedding(1)

    @property
    def embedding_(self) -> npt.NDArray[np.float32] | None:
        """``(U + I, D)`` float32, users first; ``None`` for a method without."""
        users, items = self.user_embedding_, self.item_embedding_
        return None if users is None or items is None else np.concatenate([users, items])

    @property
    def scorer_(self) -> Served:
        """What ranks, by row numbers: the model, with popular items for who has no history."""
        return self._fitted().scorer

    def _embedding(self, side: int) -> npt.NDArray[np.float32] | None:
        found = self._fitted().embeddings
        return None if found is None else np.asarray(found[side].float().cpu().numpy())

    def _fit_anchor(self, entry: SystemEntry, params: Mapping[str, Any], parts: _Parts) -> tuple[HasRows, Model, None]:
        rows: HasRows = parts.train if parts.valid is None or not self.refit else union(parts.train, parts.valid)
        return rows, build_anchor(entry, params, seed=self.seed).fit(rows), None

    def _fit_system(
        self,
        entry: SystemEntry,
        params: Mapping[str, Any],
        config: TrainingConfig,
        parts: _Parts,
        observers: Sequence[Observer],
        checkpoint: Checkpoint | None,
    ) -> tuple[HasRows, Model, int | None]:
        train, valid = parts.train, parts.valid
        if self.selection == "last":
            valid = None
        elif valid is None:
            held = self.judged(_unjudged(train))
            train, valid = held.train, held.valid
        refit = parts.valid is None if self.refit is None else self.refit
        with deterministic(config.deterministic):
            fitted = fit_system(
                lambda graph: build_system(entry, (graph,), params),
                train,
                valid,
                config,
                every=self.every,
                patience=self.patience,
                refit=refit,
                seed=self.seed,
                observers=observers,
                checkpoint=checkpoint,
                title=f"{entry.name}, seed {self.seed}" if self.progress else None,
            )
            model = fitted.system.scorer()
        self.history_, self.seconds_, self.best_value_ = fitted.history, fitted.seconds, fitted.best_value
        self.system_ = fitted.system
        return fitted.system.graph, model, fitted.best_epoch

    def _take(self, trained: TrainedRecommender) -> None:
        self.trained_ = trained
        self.n_users_, self.n_items_ = len(trained.users), len(trained.items)
        self.n_interactions_ = len(trained.rows.indices)

    def _fitted(self) -> TrainedRecommender:
        if not hasattr(self, "trained_"):
            raise NotFittedError("Recommender knows nobody yet: call fit first")
        return self.trained_

    def _native(self, frame: pl.DataFrame) -> Any:
        if not self._pandas:
            return frame
        import pandas as pd

        return pd.DataFrame(frame.to_dict(as_series=False))


@dataclass(frozen=True)
class _Parts:
    train: Interactions
    valid: Interactions | None


def _parts(data: Any, user: str | None, item: str | None) -> _Parts:
    """What may be learned from; of a split everything but the test part."""
    if isinstance(getattr(data, "train", None), Interactions):
        return _Parts(data.train, data.valid)
    if isinstance(data, Interactions):
        return _Parts(data, None)
    if isinstance(data, Events):
        return _Parts(data.interactions(), None)
    return _Parts(read_interactions(data, user=user, item=item), None)


def _unjudged(train: Interactions) -> Split:
    """Training rows as a split with nothing to judge."""
    nothing = train.select(np.zeros(train.num_interactions, dtype=np.bool_))
    return Split(train, None, nothing, "lit-ratio", Provenance("interactions", "own", "given", "not stated", ""), "none")
