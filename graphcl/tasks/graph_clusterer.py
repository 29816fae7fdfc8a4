"""Clusters of the nodes of a graph, with scikit-learn's manners."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from sklearn.base import BaseEstimator, ClusterMixin
from sklearn.exceptions import NotFittedError
from torch_geometric.data import Data

from graphcl.errors import InputError
from graphcl.evaluation.clustering import clustering_scores
from graphcl.evaluation.selection import Prediction, Rule, Selection
from graphcl.models import find_system
from graphcl.models.clustering.initial import Initial
from graphcl.tasks.fitting import build_system, train_system
from graphcl.tasks.prepare import check_graph, place, prepare, scored_nodes
from graphcl.tasks.trained import Trained
from graphcl.training import (
    Checkpoint,
    ClusteringSystem,
    NonFiniteLossError,
    Observer,
    TrainingConfig,
    deterministic,
    seed_everything,
)
from graphcl.training.trainer import REMEDY


class GraphClusterer(ClusterMixin, BaseEstimator):  # type: ignore[misc]
    """Trains a clustering system on one graph and says which node belongs where.

    ``GraphClusterer(n_clusters=10).fit_predict(data)`` is all it takes. Labels are never looked at, unless
    ``selection="oracle"`` asks for the literature's loose protocol.

    Args:
        n_clusters: Number of clusters; the number of classes in ``data.y`` when ``None``.
        method: A clustering system, as ``graphcl list systems`` names it.
        params: Keyword hyper-parameters of the system; its defaults where silent.
        training: Epochs, learning rate, device; the defaults when ``None``.
        selection: ``"last"`` epoch, ``"label_free"`` stop, or ``"oracle"``.
        seed: Of everything random.
        progress: Whether a progress bar (plain lines when not a terminal) is shown.

    Attributes:
        labels_: ``(N,)`` int64, the cluster of each node.
        confidence_: ``(N,)`` float32, the assignment's weight of that cluster.
        embedding_: ``(N, D)`` float32.
        n_clusters_: ``K``.
        features_: ``"given"``, or ``"positional"`` when the graph brought none.
        history_: One mapping of terms per epoch.
        epoch_: The epoch that speaks, counted from 0.
        label_free_epoch_: The epoch at which a label-free stop would have been, or ``None``.
        seconds_: Training time, without evaluation.
        system_: The trained module.
        initial_: Where its clusters began: labels of the first k-means, seconds of pre-training; ``None`` if it does not say.
        trained_: The same with what it takes to embed a graph, and to be kept on disk.

    Raises:
        InputError: Bad data, an unknown method or parameter, a value out of range.
    """

    def __init__(
        self,
        n_clusters: int | None = None,
        *,
        method: str = "pamc",
        params: Mapping[str, Any] | None = None,
        training: TrainingConfig | None = None,
        selection: Rule = "last",
        seed: int = 0,
        progress: bool = False,
    ) -> None:
        self.n_clusters = n_clusters
        self.method = method
        self.params = params
        self.training = training
        self.selection = selection
        self.seed = seed
        self.progress = progress

    def fit(
        self, data: Data, y: None = None, *, observers: Sequence[Observer] = (), checkpoint: Checkpoint | None = None
    ) -> GraphClusterer:
        """Trains on the graph.

        Args:
            data: Features ``x`` (dense or CSR; positional ones are made where there are none) and ``edge_index``. Not changed.
            y: Not used; scikit-learn's signature has it.
            observers: Told of every epoch besides our own, a log for example.
            checkpoint: Where the training is kept, and taken up again; nowhere when ``None``.
        """
        check_graph(data)
        entry = find_system(self.method, task="clustering")
        config, params = self.training or TrainingConfig(), dict(self.params or {})
        device = config.torch_device()
        self.n_clusters_ = self._count(data)
        graph, self.features_ = prepare(data)
        graph = place(graph, device)
        sizes = (graph.x.shape[1], self.n_clusters_)
        labels = None if self.selection != "oracle" or data.y is None or data.y.ndim != 1 else data.y.cpu().numpy()
        scored = scored_nodes(data)
        selection = Selection(self.selection, labels, None if scored is None else scored.cpu().numpy())
        seed_everything(self.seed)
        with deterministic(config.deterministic):
            system = build_system(entry, sizes, params).to(device)
            watch = _Watch(system, graph, selection)
            title = f"{self.method}, seed {self.seed}" if self.progress else None
            state = train_system(system, graph, config, [watch, *observers], checkpoint, title)
            if selection.chosen is None:  # the run ended before the system had clusters
                selection.observe(state.epoch - 1, _predict(system, graph))
        chosen = selection.chosen
        if chosen is None or selection.epoch is None:
            raise InputError(f"{self.method} gave no clusters in {config.epochs} epochs; train longer")
        self.labels_, self.confidence_, self.embedding_ = chosen.labels, chosen.confidence, chosen.embedding
        self.epoch_, self.label_free_epoch_ = selection.epoch, selection.label_free_epoch
        self.history_, self.seconds_, self.system_ = state.history, state.seconds, system
        watch.keep_initial()
        self.stamp_, self.initial_ = selection.stamp, watch.initial
        self.trained_ = Trained.of(
            system, data, method=self.method, sizes=sizes, params=params, training=config, seed=self.seed,
            features=self.features_,
        )  # fmt: skip
        return self

    def predict(self, data: Data) -> npt.NDArray[np.int64]:
        """Clusters of a graph, possibly another than the one fitted, by the weights of the last epoch.

        Shapes:
            returns: ``(N,)``.

        Raises:
            NotFittedError: Before ``fit``.
            InputError: Features of another width than those fitted, or none on either side.
        """
        if not hasattr(self, "system_"):
            raise NotFittedError("GraphClusterer has no clusters yet: call fit first")
        self.trained_.check(data)
        graph, _ = prepare(data)
        return _predict(self.system_, place(graph, next(self.system_.parameters()).device)).labels

    def score(self, data: Data, y: npt.ArrayLike | None = None) -> dict[str, float]:
        """ACC, NMI, ARI and macro-F1 of ``labels_`` against the classes.

        Args:
            data: The graph fitted, for its ``y``.
            y: Classes, instead of ``data.y``.

        Raises:
            NotFittedError: Before ``fit``.
            InputError: No labels.
        """
        if not hasattr(self, "labels_"):
            raise NotFittedError("GraphClusterer has no clusters yet: call fit first")
        return self._score(data, y, self.labels_)

    def score_initial(self, data: Data, y: npt.ArrayLike | None = None) -> dict[str, float] | None:
        """The same of the k-means that its clusters began with; ``None`` where the system does not say."""
        if not hasattr(self, "labels_"):
            raise NotFittedError("GraphClusterer has no clusters yet: call fit first")
        return None if self.initial_ is None else self._score(data, y, self.initial_.labels)

    def _score(self, data: Data, y: npt.ArrayLike | None, labels: npt.NDArray[np.int64]) -> dict[str, float]:
        if y is None and data.y is None:
            raise InputError("there is nothing to score against: the data has no y")
        true = np.asarray(data.y.cpu() if y is None else y)
        scored = scored_nodes(data)
        if scored is None:
            return clustering_scores(true, labels)
        mask = scored.cpu().numpy()
        return clustering_scores(true[mask], labels[mask])

    def _count(self, data: Data) -> int:
        if self.n_clusters is not None:
            if self.n_clusters != int(self.n_clusters) or not 2 <= self.n_clusters <= data.num_nodes:
                raise InputError(
                    f"n_clusters must be a whole number in 2 .. {data.num_nodes}, the number of nodes; got {self.n_clusters}"
                )
            return int(self.n_clusters)
        if data.y is None or data.y.ndim != 1:
            raise InputError(
                "how many clusters? The data has no classes to count, so give n_clusters (on the command line, --k)"
            )
        scored = scored_nodes(data)
        classes = len(torch.unique(data.y if scored is None else data.y[scored]))
        if classes < 2:
            raise InputError(f"clusters need at least two classes to be counted, and y has {classes}: give n_clusters instead")
        return classes


class _Watch:
    """Shows every epoch's prediction to the selection."""

    def __init__(self, system: ClusteringSystem, data: Data, selection: Selection) -> None:
        self.system, self.data, self.selection = system, data, selection
        self.initial: Initial | None = None

    def on_epoch_end(self, epoch: int, terms: dict[str, float]) -> bool:
        self.keep_initial()
        prediction = _predict_if_ready(self.system, self.data)
        if prediction is None:
            return False
        stop = self.selection.observe(epoch, prediction)
        if self.selection.changed is not None:
            terms["changed"] = self.selection.changed
        return stop

    def keep_initial(self) -> None:
        """Keeps where the clusters began: a system that comes back from a checkpoint has forgotten it."""
        if self.initial is None:
            self.initial = getattr(self.system, "initial", None)

    def state_dict(self) -> Mapping[str, Any]:
        initial = None if self.initial is None else (self.initial.labels, self.initial.seconds)
        return {"selection": self.selection.state_dict(), "initial": initial}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        self.selection.load_state_dict(state_dict["selection"])
        self.initial = None if state_dict["initial"] is None else Initial(*state_dict["initial"])


def _predict_if_ready(system: ClusteringSystem, data: Data) -> Prediction | None:
    system.eval()
    z = system.embed(data)
    soft = system.assign(z)
    if soft is None:
        return None
    confidence, labels = soft.max(1)
    if not bool(torch.isfinite(confidence).all()):
        raise NonFiniteLossError(f"the embedding is not finite: training diverged; {REMEDY}")
    return Prediction(labels.cpu().numpy(), confidence.float().cpu().numpy(), z.float().cpu().numpy())


def _predict(system: ClusteringSystem, data: Data) -> Prediction:
    prediction = _predict_if_ready(system, data)
    if prediction is None:
        raise InputError("the system has no clusters to predict with")
    return prediction
