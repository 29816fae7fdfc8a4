"""Clusters of the nodes of a graph, with scikit-learn's manners."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from sklearn.base import BaseEstimator, ClusterMixin
from sklearn.exceptions import NotFittedError
from torch_geometric.data import Data

from graphcl.errors import InputError
from graphcl.evaluation.choose_k import ChoiceOfK, Criterion
from graphcl.evaluation.cluster_quality import ClusterQuality, cluster_quality
from graphcl.evaluation.clustering import clustering_scores
from graphcl.evaluation.selection import Prediction, Rule, Selection
from graphcl.models import find_system
from graphcl.models.clustering.initial import Initial
from graphcl.tasks.choose_k import choose_k
from graphcl.tasks.fitting import build_system, train_system
from graphcl.tasks.prepare import check_graph, place, prepare, scored_nodes
from graphcl.tasks.trained import ABOUT, Trained
from graphcl.training import (
    Checkpoint,
    ClusteringSystem,
    NonFiniteLossError,
    Observer,
    RunFolder,
    TrainingConfig,
    deterministic,
    seed_everything,
)
from graphcl.training.trainer import REMEDY


class GraphClusterer(ClusterMixin, BaseEstimator):  # type: ignore[misc]
    """Trains a clustering system on one graph and says which node belongs where.

    ``GraphClusterer(n_clusters=10).fit_predict(data)`` is all it takes. Labels choose nothing, unless
    ``selection="oracle"`` asks for the literature's loose protocol, and are not looked at unless that or ``oracle`` does.

    Args:
        n_clusters: Number of clusters; the number of classes in ``data.y`` when ``None``; ``"auto"`` to choose it by
            `choose_k` on the filtered features, before training and without labels.
        method: A clustering system, as ``graphcl list systems`` names it.
        params: Keyword hyper-parameters of the system; its defaults where silent.
        training: Epochs, learning rate, device, nodes of a batch; the defaults when ``None``.
        selection: ``"last"`` epoch, ``"label_free"`` stop, or ``"oracle"``; the last alone for systems whose clusters are made
            at the end of training, as those of ``magi`` and ``scgc-l``.
        candidates: Numbers that ``"auto"`` tries; 2 to 20 when ``None``.
        oracle: Whether it is noted, from the same training, what ``selection="oracle"`` would have reported: for a column of
            its own beside figures that no label had a say in. With ``"label_free"`` that is of the epochs up to its stop.
        criterion: What ``"auto"`` chooses by, ``"combined"``, ``"modularity"``, ``"silhouette"`` or ``"stability"``.
        seed: Of everything random.
        progress: Whether a progress bar (plain lines when not a terminal) is shown.

    After ``load`` there are weights to ``predict`` with, and nothing that speaks of the graph fitted: those marked with a star
    are missing.

    Attributes:
        labels_: ``(N,)`` int64, the cluster of each node. *
        confidence_: ``(N,)`` float32, the assignment's weight of that cluster. *
        embedding_: ``(N, D)`` float32. *
        n_clusters_: ``K``.
        n_features_in_: ``F``.
        choice_: What spoke for ``K`` if it was chosen by ``"auto"``, else ``None``. *
        features_: ``"given"``, or ``"positional"`` when the graph brought none.
        history_: One mapping of terms per epoch. *
        epoch_: The epoch that speaks, counted from 0. *
        label_free_epoch_: The epoch at which a label-free stop would have been, or ``None``. *
        oracle_: Epoch and scores of the epoch with the highest ACC; ``None`` if not asked for, without classes, and for systems
            whose clusters are made at the end of training, which have no epochs to choose from. *
        seconds_: Training time, without evaluation. *
        system_: The trained module.
        initial_: Where its clusters began: labels of the first k-means, seconds of pre-training; ``None`` if it does not say. *
        trained_: The same with what it takes to embed a graph, and to be kept on disk.

    Raises:
        InputError: Bad data, an unknown method or parameter, a value out of range.
    """

    def __init__(
        self,
        n_clusters: int | Literal["auto"] | None = None,
        *,
        method: str = "pamc",
        params: Mapping[str, Any] | None = None,
        training: TrainingConfig | None = None,
        selection: Rule = "last",
        oracle: bool = False,
        candidates: Sequence[int] | None = None,
        criterion: Criterion = "combined",
        seed: int = 0,
        progress: bool = False,
    ) -> None:
        self.n_clusters = n_clusters
        self.method = method
        self.params = params
        self.training = training
        self.selection = selection
        self.oracle = oracle
        self.candidates = candidates
        self.criterion = criterion
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
        at_end = getattr(entry.load(), "clusters_at_end", False)
        if self.selection != "last" and at_end:
            raise InputError(
                f"{self.method} makes its clusters at the end of training, so that no epoch can be chosen or stopped at by "
                f"{self.selection}: use selection='last' (on the command line, --selection last)"
            )
        config, params = self.training or TrainingConfig(), dict(self.params or {})
        device = config.torch_device()
        self.choice_ = self._choose(data)
        self.n_clusters_ = self._count(data) if self.choice_ is None else self.choice_.n_clusters
        graph, self.features_ = prepare(data)
        graph = place(graph, device)
        sizes = (graph.x.shape[1], self.n_clusters_)
        looked_at = self.selection == "oracle" or (self.oracle and not at_end)
        labels = data.y.cpu().numpy() if looked_at and data.y is not None and data.y.ndim == 1 else None
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
        self.epoch_, self.label_free_epoch_, self.oracle_ = selection.epoch, selection.label_free_epoch, selection.oracle
        self.history_, self.seconds_ = state.history, state.seconds
        watch.keep_initial()
        self.stamp_, self.initial_ = selection.stamp, watch.initial
        self._take(
            Trained.of(
                system, data, method=self.method, sizes=sizes, params=params, training=config, seed=self.seed,
                features=self.features_,
            )
        )  # fmt: skip
        return self

    def predict(self, data: Data) -> npt.NDArray[np.int64]:
        """Clusters of a graph, possibly another than the one fitted, by the weights of the last epoch.

        New nodes of the graph fitted are a new graph: give all of it, with the edges that they bring.

        Shapes:
            returns: ``(N,)``.

        Raises:
            NotFittedError: Before ``fit``.
            InputError: Features of another width than those fitted, or none on either side.
        """
        self._check_fitted()
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
            InputError: No labels, or no graph after ``load``.
        """
        self._check_fitted(graph=True)
        return self._score(data, y, self.labels_)

    def score_initial(self, data: Data, y: npt.ArrayLike | None = None) -> dict[str, float] | None:
        """The same of the k-means that its clusters began with; ``None`` where the system does not say."""
        self._check_fitted(graph=True)
        return None if self.initial_ is None else self._score(data, y, self.initial_.labels)

    def quality(self, data: Data) -> ClusterQuality:
        """What can be said of ``labels_`` without classes: modularity, conductance, silhouette of the embedding.

        Args:
            data: The graph fitted, for its edges.

        Raises:
            NotFittedError: Before ``fit``.
            InputError: Another graph, or none after ``load``.
        """
        self._check_fitted(graph=True)
        check_graph(data)
        graph, _ = prepare(data)
        weight = graph.edge_weight if "edge_weight" in graph else None
        if graph.num_nodes != len(self.labels_):
            raise InputError(f"the graph fitted has {len(self.labels_)} nodes, and this one has {graph.num_nodes}")
        return cluster_quality(
            graph.edge_index, self.labels_, self.embedding_, edge_weight=weight, n_clusters=self.n_clusters_, seed=self.seed
        )

    def save(self, path: str | Path) -> Path:
        """Writes the trained system into a folder: ``model.safetensors`` and ``model.json``. Nothing is pickled.

        Raises:
            NotFittedError: Before ``fit``.
            InputError: The folder holds a model or a run already, or cannot be written to.
        """
        self._check_fitted()
        if (Path(path) / ABOUT).exists():
            raise InputError(f"{path} holds a model already; name another folder, or remove it")
        self.trained_.write(RunFolder(path))
        return Path(path)

    @classmethod
    def load(cls, path: str | Path, *, device: str = "auto") -> GraphClusterer:
        """What ``save`` wrote, or the first seed of a finished run of a clustering system.

        Args:
            path: The folder.
            device: Where to put the system.

        Raises:
            InputError: No trained clustering system there, or files that are missing or damaged.
        """
        trained = Trained.read(path, device)
        find_system(trained.method, task="clustering")
        params, loop, seed = dict(trained.params), trained.training, trained.seed
        clusterer = cls(trained.sizes[1], method=trained.method, params=params, training=loop, seed=seed)
        clusterer._take(trained)
        return clusterer

    def _take(self, trained: Trained) -> None:
        self.trained_, self.system_, self.features_ = trained, trained.system, trained.features
        self.n_features_in_, self.n_clusters_ = trained.sizes

    def _check_fitted(self, *, graph: bool = False) -> None:
        if not hasattr(self, "trained_"):
            raise NotFittedError("GraphClusterer has no clusters yet: call fit first")
        if graph and not hasattr(self, "labels_"):
            raise InputError("a loaded GraphClusterer holds weights and no clusters of a graph: ask predict for them")

    def _choose(self, data: Data) -> ChoiceOfK | None:
        if self.n_clusters != "auto":
            return None
        return choose_k(data, self.candidates, by=self.criterion, seed=self.seed)

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
        if isinstance(self.n_clusters, str):
            raise InputError(f"n_clusters must be a whole number, 'auto', or None; got '{self.n_clusters}'")
        if self.n_clusters is not None:
            if self.n_clusters != int(self.n_clusters) or not 2 <= self.n_clusters <= data.num_nodes:
                raise InputError(
                    f"n_clusters must be a whole number in 2 .. {data.num_nodes}, the number of nodes; got {self.n_clusters}"
                )
            return int(self.n_clusters)
        if data.y is None or data.y.ndim != 1:
            raise InputError(
                "how many clusters? The data has no classes to count, so give n_clusters, a number or 'auto' (on the command "
                "line, --k)"
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
