"""Recommendations out of interactions, with scikit-learn's manners."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
import polars as pl
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError

from graphcl.errors import InputError, unknown_name
from graphcl.recsys.data import Split
from graphcl.recsys.data.id_map import Ids
from graphcl.recsys.fitting import Served
from graphcl.recsys.methods import find_method
from graphcl.recsys.ranking import RankingResult, evaluate
from graphcl.recsys.sequences import SequenceSplit
from graphcl.tasks.recommender_export import export_embeddings
from graphcl.tasks.recommender_fit import Columns, SelectionRule, Wanted, judged, learn
from graphcl.tasks.recommender_lists import OnUnknown, recommend, recommend_to_histories, similar_items
from graphcl.tasks.recommender_store import ABOUT, TrainedRecommender
from graphcl.training import Checkpoint, Observer, RunFolder, TrainingConfig


class Recommender(BaseEstimator):  # type: ignore[misc]
    """Learns who likes what from interactions, and lists what else they may like; ids of any kind in, the same ids out.

    ``Recommender().fit("log.csv").recommend(["ann", "bob"], k=10)`` is all it takes. Weights do not count. A test part is never
    looked at, except by ``score``. Sequential methods go by the order of events and list what may come next,
    ``Recommender("sasrec").fit("log.csv", time="when")``; for the others repeated interactions count once.

    Args:
        method: ``"popularity"``, ``"item-knn"``, ``"ease"``, ``"gf-cf"``, ``"ials"``, ``"markov"``, or a system as ``graphcl
            list systems`` names it, of task recommendation or sequential.
        params: Hyper-parameters of the method; its defaults where silent.
        training: Epochs, learning rate, device of a system; the defaults when ``None``.
        selection: ``"valid-from-train"``: a system's epoch is chosen by nDCG@20 on the validation part, or where there is none
            on 10 % of each user's training rows, the same rows for every method and seed; that of a sequential system by
            nDCG@10 of the next item, or of each user's last training event. ``"last"``: no choice.
        refit: Whether the method learns from the validation rows too, once they have chosen. When ``None`` it does where they
            were held out of training, and leaves a split's own validation part alone.
        every: Epochs between two validations.
        patience: Validations without a gain after which training stops.
        mask_seen: Of a sequential method: whether what chooses leaves out items of the history, as ``recommend`` does.
        seed: Of everything random.
        progress: Whether a progress bar (plain lines when not a terminal) is shown.

    Attributes:
        n_users_: Users with an id.
        n_items_: Items with an id.
        n_interactions_: Training rows.
        best_epoch_: Of a system: the epoch that validation chose, counted from 0; ``None`` where nothing was chosen.
        best_value_: Its score on validation; not there after ``load``.
        history_: One mapping of terms per epoch; empty for a method without epochs; not there after ``load``.
        seconds_: Training time; not there after ``load``.
        system_: The trained module of a system; not there after ``load``.
        unknown_items_: How many items of the histories that ``fold_in`` last got were passed over, unknown to training.
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
        mask_seen: bool = True,
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
        self.mask_seen = mask_seen
        self.seed = seed
        self.progress = progress

    def fit(
        self,
        data: Any,
        y: None = None,
        *,
        user: str | None = None,
        item: str | None = None,
        time: str | None = None,
        observers: Sequence[Observer] = (),
        checkpoint: Checkpoint | None = None,
    ) -> Recommender:
        """Learns from interactions.

        Args:
            data: ``Interactions``, ``Events``, a ``Split`` (whose test part stays closed), or a file or frame of rows as
                ``read_interactions`` takes it. For a sequential method ``Events`` (whose order of rows counts where they have
                no times), ``Sequences``, a ``SequenceSplit``, or a file or frame with times; lists are then made from all
                that it has but the test part, whatever was learned from.
            y: Not used; scikit-learn's signature has it.
            user: Column of users, of a file or frame; the usual names when ``None``.
            item: Column of items.
            time: Column of times; the usual names when ``None``.
            observers: Told of every epoch of a system before any refit, a log for example.
            checkpoint: Where the training is kept, and taken up again; nowhere when ``None``.
        """
        entry = find_method(self.method)
        if self.selection not in get_args(SelectionRule):
            raise unknown_name("selection", self.selection, get_args(SelectionRule))
        wanted = Wanted(
            entry, dict(self.params or {}), self.training or TrainingConfig(), self.selection, self.refit, self.every,
            self.patience, self.mask_seen, self.seed, self.progress, observers, checkpoint,
        )  # fmt: skip
        found = learn(wanted, data, Columns(user, item, time))
        self.history_: Sequence[Mapping[str, float]] = found.history
        self.seconds_, self.best_epoch_, self.best_value_ = found.seconds, found.best_epoch, found.best_value
        if found.system is not None:
            self.system_ = found.system
        self._pandas = type(data).__module__.startswith("pandas")
        ids = found.users, found.items
        trained = TrainedRecommender(entry.name, wanted.params, wanted.config, self.seed, *ids, found.rows, found.model)
        self._take(replace(trained, best_epoch=found.best_epoch, order=found.order))
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
            filter_seen: Whether items of the user's training rows, or history, are left out.
            candidates: Ids of the items that may be listed; all when ``None``.
            exclude: Ids of items that may not.
            on_unknown: About users without a history: ``"fallback"`` gives them the most popular items, ``"skip"`` leaves
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
        time: str | None = None,
        filter_seen: bool = True,
        candidates: Ids | None = None,
        exclude: Ids | None = None,
        on_unknown: OnUnknown = "fallback",
    ) -> Any:
        """The best items for users whom training did not see, or knows less of, by their whole history.

        Exact for popularity, item-knn, ease, gf-cf and ials, which score any history, and for all sequential methods. Other
        trained systems place a new user at ``p_u = sum_{i in h} q_i / sqrt(|h| d_i)``, which ``source`` calls
        ``"approximate"``. Items that training does not know are passed over; ``unknown_items_`` counts them.

        Args:
            history: Rows of user and item in a file, a frame or ``Events``, in order of time where they have times; or a list
                of item ids, oldest first, of one user who is called ``"new"``.
            k: As for ``recommend``; so are the last four.
            user: Column of users, of a file or frame.
            item: Column of items.
            time: Column of times.
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
        frame, self.unknown_items_ = recommend_to_histories(
            self._fitted(), history, k, user=user, item=item, time=time, filter_seen=filter_seen, candidates=candidates,
            exclude=exclude, on_unknown=on_unknown,
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

    def score(self, split: Split | SequenceSplit, y: None = None, *, part: Literal["test", "valid"] = "test") -> RankingResult:
        """How good the lists are by the split's protocol; see ``evaluate``. Users without a history are served by the fallback.

        A sequential method takes a ``SequenceSplit``, goes by the histories before the part, and is to find the next item.

        Args:
            split: The one fitted, or another with the same training rows.
            y: Not used; scikit-learn's signature has it.
            part: ``"test"``, or ``"valid"``.

        Raises:
            NotFittedError: Before ``fit``.
            InputError: Other ids, or other training rows, than the model's; or pairs where an order is needed.
        """
        trained = self._fitted()
        split.train.users.expect(trained.users.sha256, "this recommender")
        split.train.items.expect(trained.items.sha256, "this recommender")
        known = self.judged(split)
        if not isinstance(known, SequenceSplit):
            if trained.order is not None:
                raise InputError(f"{self.method} goes by the order of events: score it on a SequenceSplit")
            return evaluate(trained.scorer, known, part=part)
        scorer = trained.scorer if trained.order is None else trained.scorer_after(known.histories(part))
        return evaluate(scorer, known.for_part(part), part=part)

    def judged(self, split: Any) -> Any:
        """The split as its numbers must be read: with the validation part that was held out, where it had none of its own.

        Args:
            split: A ``Split`` or ``SequenceSplit``.

        Returns:
            The same kind.
        """
        return judged(split, self.selection)

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
